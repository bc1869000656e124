"""What a person waits for one answer, against bare Keras that loads the same network and describes one image.

`search` and `similarity` of a new image, `index` with one new file and with nothing new, each in a new
process, once the network is kept as OpenVINO's: seconds of processor time and peak memory. And `serve`, from
the shell to the first page by the clock, against `import keras`.

    python benchmarks/first_answer.py [--quick]
"""

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from outcome import Outcome
from page_server import fetched, server
from photos import write_photos
from scale import scale
from timing import Cost, cost

ROOT = Path(__file__).parents[1]
MAKE = """
import sys
from deep_ranking import NetworkSettings, build_network, save_network
network = build_network(NetworkSettings("mobilenetv2", 224, 256, low_resolution="none"))
save_network(network, sys.argv[1], {})
"""
BARE = """
import sys
import keras
import deep_ranking
from PIL import Image
model = keras.models.load_model(sys.argv[1], compile=False)
image = Image.open(sys.argv[2]).convert("RGB").resize(model.input_shape[1:3])
print(model.predict_on_batch(keras.utils.img_to_array(image)[None]))
"""


def least(task: Callable[[], Cost], rounds: int) -> tuple[float, float]:
    """Return the least of each, of some rounds; what else the machine does only adds."""
    seconds, memory, _ = zip(*(task() for _ in range(rounds)), strict=True)
    return min(seconds), min(memory)


def first_page(place: str) -> float:
    """Return the seconds by the clock from the shell to the page's first answer."""
    begin = time.perf_counter()
    with server(place) as (host, port):
        fetched(f"http://{host}:{port}/")
        return time.perf_counter() - begin


def main() -> None:
    rounds = {"full": 7, "quick": 2, "tiny": 1}[scale(__doc__, "two rounds instead of seven")]
    outcome = Outcome("first_answer")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ |= {"DEEP_RANKING_CACHE": f"{root}/kept", "PYTHONPATH": str(ROOT)}
        model, photos, place = str(root / "model.h5"), root / "photos", str(root / "index")
        names = iter(write_photos(root / "new", 400, 3 * rounds + 3))
        write_photos(photos, 300, 40)
        cost("-c", MAKE, model)  # not here: a process begins with the peak of the one that started it
        command = ("-m", "deep_ranking")
        index = (*command, "index", "--index", place, "--images", str(photos), "--model", model)
        cost(*index)

        def new() -> str:
            return str(root / "new" / next(names))

        def index_one() -> Cost:
            shutil.copy(new(), photos / f"new{next(numbers)}.jpg")
            return cost(*index)

        numbers = itertools.count()
        similarity = (*command, "similarity", "--model", model)
        acts = {
            "bare Keras, one image": lambda: cost("-c", BARE, model, str(photos / "00000.jpg")),
            "search, a new image": lambda: cost(*command, "search", "--index", place, new()),
            "similarity, a new image": lambda: cost(*similarity, new(), str(photos / "00001.jpg")),
            "index, one new file": index_one,
            "index, nothing new": lambda: cost(*index),
        }
        found = {name: least(act, rounds) for name, act in acts.items()}
        page = min(first_page(place) for _ in range(rounds))
        imported = least(lambda: cost("-c", "import keras"), rounds)[0]
    (seconds, memory), *_ = found.values()
    for name, (time_taken, peak) in found.items():
        print(f"{name}: {time_taken:.2f} s of processor time, {peak:.0f} MB")
        if name != "bare Keras, one image":
            outcome.add(name, "bare Keras's processor time over its own", seconds / time_taken, 10)
            outcome.add(name, "bare Keras's memory over its own", memory / peak, 5)
    print(f"serve, to the first page: {page:.2f} s; `import keras`: {imported:.2f} s")
    outcome.add("serve, to the first page", "`import keras` over it", imported / page, 2)
    outcome.show()


if __name__ == "__main__":
    main()
