"""Reading images for training and embedding, against Pillow alone, the blog's generator and tf.data.

    python benchmarks/image_loading.py [--quick]

The limit is Pillow's decoding and one antialiased resize in a bare loop, a process a core, so that no two
cores wait for one interpreter. Beside it: the loader that embeds; the generator that trains, in the order of
a sampled triplet file (10 positives, 5 negatives); tf.data with the same resize. These count distinct images.

The blog's generator, rewritten plainly, opens the image of each of the 24 rows, resizes it by the nearest
pixel and makes it float32; it is compared by triplets, with one thread, as its code ran, and with as many as
ours. Ours decodes each time, or keeps what it decoded, as `train` does: the first pass, which fills the
cache, is here over the first 4 triplets an image of the file's 50; a later one decodes nothing. All files lie
in the operating system's cache.
"""

import multiprocessing
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from photos import write_photos
from PIL import Image
from scale import scale
from timing import least_seconds

from deep_ranking import UniformSampler, import_keras, load_image_batches

CORES = len(os.sched_getaffinity(0))
ROWS = 24


def pillow_alone(paths: list[str], size: int) -> None:
    """Decode and resize, keep nothing."""
    for path in paths:
        with Image.open(path) as image:
            image.draft("RGB", (2 * size, 2 * size))
            np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def blogs_batch(paths: list[str], rows: np.ndarray, size: int) -> np.ndarray:
    """Return a batch as the blog's generator makes it, augmentation left out."""
    batch = np.zeros((len(rows), size, size, 3), np.float32)
    for i, row in enumerate(rows):
        image = Image.open(paths[row])
        if image.mode != "RGB":
            image = image.convert("RGB")
        image = image.resize((size, size), Image.Resampling.NEAREST)
        batch[i] = np.asarray(image, np.float32) * (1 / 255)
    return batch


def tf_data(paths: list[str], size: int, batch: int):
    import tensorflow as tf

    def read(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.resize(image, (size, size), antialias=True)
        return tf.cast(tf.round(image), tf.uint8)

    data = tf.data.Dataset.from_tensor_slices(paths).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    return data.batch(batch).prefetch(2)


def measure(folder: Path, side: int, size: int, count: int, rounds: int, outcome: Outcome) -> None:
    from deep_ranking import ImageCache, TripletBatches, Triplets

    paths = [str(folder / name) for name in write_photos(folder, side, count)]
    sampler = UniformSampler({str(c): paths[c::4] for c in range(4)}, min(10, count // 4 - 1), 5)
    triplets = np.concatenate(list(sampler.blocks()))[: 4 * count]
    table = Triplets(sampler.images, triplets.astype(np.int32), "")

    def read_all(cache: ImageCache | None) -> None:
        batches = TripletBatches(table, ROWS, (size, size), distinct=True, workers=CORES, cache=cache)
        list(threads.map(batches.__getitem__, range(len(batches))))

    plain = TripletBatches(table, ROWS, (size, size))
    rows = [plain.rows(0, i)[0] for i in range(len(plain))]
    distinct = sum(len(np.unique(r)) for r in rows)
    few = rows[: max(CORES, len(rows) // 8)]  # the blog's way takes too long for all
    shares = [paths[i::CORES] for i in range(CORES)]
    stored, cache = tf_data(paths, size, 32), ImageCache((size, size))
    with (
        multiprocessing.get_context("spawn").Pool(CORES) as processes,
        ThreadPoolExecutor(CORES) as threads,
    ):
        read_all(cache)
        times = least_seconds(
            {
                "Pillow": lambda: processes.starmap(pillow_alone, [(s, size) for s in shares], chunksize=1),
                "loader": lambda: list(load_image_batches(paths, (size, size), 32)),
                "tf.data": lambda: list(stored),
                "decoding each time": lambda: read_all(None),
                "first pass": lambda: read_all(ImageCache((size, size))),
                "later pass": lambda: read_all(cache),
                "blog's": lambda: [blogs_batch(sampler.images, r, size) for r in few],
                "blog's with a thread a core": lambda: list(
                    threads.map(lambda r: blogs_batch(sampler.images, r, size), few)
                ),
            },
            rounds,
        )
    rates = {name: count / times[name] for name in ("Pillow", "loader", "tf.data")}
    rates["generator"] = distinct / times["decoding each time"]
    rates["generator, later pass"] = distinct / times["later pass"]
    case = f"{side} px photos to {size} px"
    print(f"{case}: " + ", ".join(f"{name} {rate:,.0f} images/s" for name, rate in rates.items()))
    for name in ("loader", "generator"):
        outcome.add(case, f"{name}, share of Pillow alone", rates[name] / rates["Pillow"], 0.9)
    outcome.add(case, "loader, times tf.data", rates["loader"] / rates["tf.data"], 1)
    outcome.add(
        case, "generator's later passes, times Pillow", rates["generator, later pass"] / rates["Pillow"]
    )
    for name, goal in (("decoding each time", None), ("first pass", 3), ("later pass", 3)):
        for blog in ("blog's", "blog's with a thread a core"):
            ratio = times[blog] / len(few) / (times[name] / len(rows))
            outcome.add(case, f"generator, {name}, times the {blog}", ratio, goal)


def main() -> None:
    part, rounds = {"full": (1, 7), "quick": (4, 3), "tiny": (40, 1)}[
        scale(__doc__, "a quarter of the photos, fewer rounds")
    ]
    import_keras()
    outcome = Outcome("image_loading")
    with tempfile.TemporaryDirectory() as folder:
        for side, size, count in ((64, 64, 1600), (200, 224, 480), (2000, 224, 32)):
            measure(Path(folder), side, size, max(8, count // part), rounds, outcome)
    outcome.show()


if __name__ == "__main__":
    main()
