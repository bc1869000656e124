"""What starting a command costs beyond what it cannot do without.

`--help` of each command against an interpreter that does nothing; `similarity.py`, from the shell to the
printed distance, against a script of bare Keras that loads the same small model and runs it on the same two
images. Beside them, for scale: `import keras`. Each in a new process; the least of some rounds, in turns.

    python benchmarks/start_up.py [--quick]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from outcome import Outcome
from photos import write_photos
from scale import scale
from timing import least_seconds

from deep_ranking import COMMANDS, import_keras

ROOT = Path(__file__).parents[1]
ALLOWED = 0.2  # seconds
BARE = """
import sys
import keras
import deep_ranking
from PIL import Image
model = keras.models.load_model(sys.argv[1], compile=False)
size = model.input_shape[1:3]
images = (Image.open(path).convert("RGB").resize(size) for path in sys.argv[2:])
one, two = (model.predict_on_batch(keras.utils.img_to_array(image)[None]) for image in images)
print(((one - two) ** 2).sum() ** 0.5)
"""


def start(*command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *command], env=environment, check=True, capture_output=True)


def main() -> None:
    part = scale(__doc__, "two rounds instead of seven")
    rounds = {"full": 7, "quick": 2, "tiny": 1}[part]
    outcome = Outcome("start_up")

    commands = list(COMMANDS)[:2] if part == "tiny" else list(COMMANDS)
    helps = {name: lambda name=name: start("-m", "deep_ranking", name, "--help") for name in commands}
    times = least_seconds({"nothing": lambda: start("-c", ""), **helps}, rounds)
    print(", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in times.items()))
    slowest = max(commands, key=lambda name: times[name])
    report(outcome, f"--help, the slowest: {slowest}", times[slowest] - times["nothing"])

    import_keras()
    from deep_ranking import NetworkSettings, build_network, save_network

    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model.h5")
        save_network(build_network(NetworkSettings("simple", 64, 64)), model, {})
        one, two = (str(Path(folder) / name) for name in write_photos(Path(folder), 200, 2))
        similarity = [str(ROOT / "similarity.py"), "--model", model, "--image1", one, "--image2", two]
        times = least_seconds(
            {
                "similarity.py": lambda: start(*similarity),
                "bare Keras": lambda: start("-c", BARE, model, one, two),
                "import keras": lambda: start("-c", "import keras"),
            },
            rounds,
        )
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items()))
    report(outcome, "similarity.py", times["similarity.py"] - times["bare Keras"])
    outcome.show()


def report(outcome: Outcome, case: str, added: float) -> None:
    print(f"{case}: {added:+.3f} s")
    outcome.add(case, f"{ALLOWED} s over the time added", ALLOWED / max(added, 0.001), 1)


if __name__ == "__main__":
    main()
