"""Peak memory of training and of indexing as the data grows.

Training reads a triplet file of 10,000 and of 1,000,000 triplets over the same images, and takes some steps;
indexing embeds 1,000 and 20,000 images. Each in a process of its own; the figure is the smaller peak over the
larger.

    python benchmarks/memory.py [--quick]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from PIL import Image
from scale import parser

from deep_ranking import UniformSampler, import_keras, write_triplet_blocks

SIZE, STEPS = 32, 30


def write_images(folder: Path, classes: int, each: int) -> dict[str, list[str]]:
    """Write small images, all different, and return their names by class."""
    rng = np.random.default_rng(0)
    found = {}
    for name in (f"class{number:03d}" for number in range(classes)):
        (folder / name).mkdir(parents=True)
        found[name] = [f"{name}/{number:05d}.png" for number in range(each)]
        for path in found[name]:
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / path)
    return found


def train(folder: str, triplets: str) -> None:
    """Take some steps over a triplet file, shuffled, with the image cache."""
    import_keras()
    from deep_ranking import (
        BatchStream,
        ImageCache,
        NetworkSettings,
        TrainingSettings,
        TripletBatches,
        Triplets,
        build_training_model,
    )

    table = Triplets.load(triplets, folder)
    model = build_training_model(TrainingSettings(NetworkSettings("simple", SIZE, 64), weights="none"))[1]
    size = (SIZE, SIZE)
    batches = TripletBatches(table, 24, size, shuffle=True, distinct=True, workers=2, cache=ImageCache(size))
    # Every batch is drawn once, so that all that an epoch looks at is looked at.
    for index in range(len(batches)):
        batches.rows(0, index)
    model.fit(BatchStream(batches), steps_per_epoch=STEPS, epochs=2, shuffle=False, verbose=0)


def index(folder: str, model: str) -> None:
    from deep_ranking import run_command

    where = f"{model}.{Path(folder).name}.index"
    run_command("index", ["--index", where, "--images", folder, "--model", model, "--quiet"], "index")


def peak(what: str, *arguments: str) -> int:
    """Return the peak memory in bytes of this script run as `--only what arguments`."""
    command = [sys.executable, __file__, "--only", what, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def main() -> None:
    flags = parser(__doc__, "5,000 images to index instead of 20,000")
    flags.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    arguments = flags.parse_args()
    if arguments.only:
        {"train": train, "index": index}[arguments.only[0]](*arguments.only[1:])
        bytes_a_unit = 1 if sys.platform == "darwin" else 1024
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_a_unit)
        return
    tiny = arguments.scale == "tiny"
    outcome = Outcome("memory")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        classes = write_images(root / "few", 10, 5 if tiny else 100)
        peaks = []
        for positives, negatives in ((1, 2), (2, 4)) if tiny else ((2, 5), (50, 20)):
            sampler = UniformSampler(classes, positives, negatives)
            path = root / f"{positives}.txt"
            count = write_triplet_blocks(path, sampler.images, sampler.blocks())
            peaks.append(peak("train", str(root / "few"), str(path)))
            print(f"training, {count:,} triplets: {peaks[-1] / 1e6:,.0f} MB at most", flush=True)
        outcome.add("training", "peak with few triplets over that with many", peaks[0] / peaks[1], 0.9)

        import_keras()
        from deep_ranking import NetworkSettings, build_network, save_network

        model = str(root / "model.h5")
        save_network(build_network(NetworkSettings("simple", SIZE, 64)), model, {})
        write_images(root / "many", 10, 10 if tiny else 500 if arguments.scale == "quick" else 2000)
        peaks = []
        for name in ("few", "many"):
            peaks.append(peak("index", str(root / name), model))
            print(f"indexing, {name} images: {peaks[-1] / 1e6:,.0f} MB at most", flush=True)
        outcome.add("indexing", "peak with few images over that with many", peaks[0] / peaks[1], 0.9)
    outcome.show()


if __name__ == "__main__":
    main()
