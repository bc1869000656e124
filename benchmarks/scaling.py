"""The rates that docs/scaling.md counts with, each step of a cluster's work beside the embedding itself.

    python benchmarks/scaling.py [--quick]

Photographs of 500 x 375 pixels are drawn and read, embedded by MobileNetV2 (random weights: the time is the
same), written as shards and merged into an index, one step after the other. What counts is how many times
faster than the embedding the other steps are: so many cores one driver serves. Rates are by processor time,
of all threads together, so that a busy machine changes little; waiting for disks is not in them.
"""

import argparse
import io
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
from PIL import Image as Picture

from deep_ranking import Index, IndexedImage, IndexUpdate, Model, make_engine, read_image
from deep_ranking.extras.ray import Result, ShardFolder, find_sources, from_parquet, make_shards, to_parquet

DIMENSION = 128


def photograph(rng: np.random.Generator) -> bytes:
    """Draw a JPEG about as hard to decode as a photograph of 500 x 375 pixels."""
    coarse = Picture.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).resize((500, 375))
    pixels = np.asarray(coarse, np.int16) + rng.integers(-12, 13, (375, 500, 3))
    data = io.BytesIO()
    Picture.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(data, "JPEG", quality=90)
    return data.getvalue()


def seconds(work) -> float:
    """Return the processor time that something takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(quick: bool) -> dict[str, float]:
    """Return images a core-second of each step."""
    rng = np.random.default_rng(0)
    photos = [photograph(rng) for _ in range(64)]
    rates = {
        "decoding to 224 pixels, one core": 64
        / min(seconds(lambda: [read_image(p, (224, 224)) for p in photos]) for _ in range(3))
    }
    backbone = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )
    network = keras.Model(backbone.input, keras.layers.Dense(DIMENSION)(backbone.output))
    for engine in ("keras", "openvino"):
        embedder = Model(network, engine=make_engine(engine, network))
        embedder.embed(photos)
        some = photos * (1 if quick else 4)
        rates[f"embedding, MobileNetV2, {engine}"] = len(some) / seconds(partial(embedder.embed, some))

    rows = 4096
    count = 4 if quick else 16
    vectors = rng.standard_normal((count * rows, DIMENSION)).astype(np.float32)
    hashes = [rng.bytes(32) for _ in range(count * rows)]
    with tempfile.TemporaryDirectory() as place:
        results = []
        for part in range(count):
            some = range(part * rows, (part + 1) * rows)
            images = [
                IndexedImage(f"class {i % 1000}/photograph {i:012}.jpg", hashes[i], i, i, "label")
                for i in some
            ]
            results.append(Result(images, {hashes[i]: vectors[i] for i in some}))
        folder = ShardFolder(Path(place) / "shards")
        write = seconds(
            lambda: [folder.write(f"{i}.parquet", to_parquet(r, DIMENSION)) for i, r in enumerate(results)]
        )
        rates["writing shards"] = count * rows / write
        with Index.create(Path(place) / "index", DIMENSION, "model") as index:
            update = IndexUpdate(index, place, {})

            def merge() -> None:
                for i in range(count):
                    result = from_parquet(folder.read(f"{i}.parquet"))
                    update.write(result.images, result.vectors, result.errors)

            rates["merging shards into an index"] = count * rows / seconds(merge)
        files = 2000 if quick else 10_000
        for i in range(files):
            path = Path(place) / "photos" / f"{i % 20}" / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(photos[0][:64])
        root = str(Path(place) / "photos")
        rates["listing a folder"] = files / seconds(
            lambda: make_shards(find_sources(root), lambda s: True, "m", 1024)
        )
    matrix = rng.standard_normal((400_000, DIMENSION)).astype(np.float32)
    query = matrix[0]
    scan = min(seconds(lambda: matrix @ query) for _ in range(10))
    rates["exact search, vectors passed"] = len(matrix) / scan
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    rates = measure(parser.parse_args().quick)
    fastest = max(rate for name, rate in rates.items() if name.startswith("embedding"))
    results = []
    print(f"{'step':<38}{'a core-second':>14}{'times the fastest embedding':>30}")
    for name, rate in rates.items():
        print(f"{name:<38}{rate:>14,.0f}{rate / fastest:>30,.1f}")
        results.append(
            {
                "case": name,
                "metric": "times the fastest embedding",
                "value": round(rate / fastest, 3),
                "goal": None,
                "ok": True,
            }
        )
    print(json.dumps({"benchmark": "scaling", "results": results}))


if __name__ == "__main__":
    main()
