"""Embedding a folder of photographs against `model.predict`, and against what bounds it.

Ours, with the engine and the number type that `index` takes on this machine, reads the files; `predict`
(float32, 32 images a batch) is given pixels that are decoded already. The limits, from the same run: decoding
alone, the engine alone on decoded pixels, and both in turn, which is all that two busy cores can do.

    python benchmarks/embedding.py [--quick]
"""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from photos import write_photos
from scale import scale
from timing import least_seconds

from deep_ranking import import_keras

BATCH = 32


def measure(
    outcome: Outcome, backbone: str, paths: list[str], size: int, goal: float | None, rounds: int
) -> None:
    from deep_ranking import (
        Model,
        NetworkSettings,
        build_network,
        load_image_batches,
        make_engine,
        resolve_engine,
    )

    engine, precision = resolve_engine("auto", "auto")
    network = build_network(NetworkSettings(backbone, size, 512))
    embedder = Model(network, engine=make_engine(engine, network, precision))
    pixels = np.concatenate([batch.images for batch in load_image_batches(paths, (size, size), BATCH)])
    batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    expected = network.predict(pixels, batch_size=BATCH, verbose=0)
    found = embedder.embed(paths, BATCH).vectors
    cosine = float(np.min(np.sum(expected * found, axis=1)))
    times = least_seconds(
        {
            "predict": lambda: network.predict(pixels, batch_size=BATCH, verbose=0),
            "ours": lambda: embedder.embed(paths, BATCH),
            "engine": lambda: [embedder.embed_pixels(batch) for batch in batches],
            "decoder": lambda: list(load_image_batches(paths, (size, size), BATCH)),
        },
        rounds,
    )
    rates = {name: len(paths) / seconds for name, seconds in times.items()}
    print(
        f"{backbone}, {engine} in {precision}: "
        + ", ".join(f"{name} {rate:,.1f} images/s" for name, rate in rates.items())
        + f"; cosine to predict's vectors {cosine:.5f} or more"
    )
    case = f"{backbone}, {size} px"
    outcome.add(case, "times model.predict", rates["ours"] / rates["predict"], goal)
    outcome.add(
        case,
        "share of engine and decoder in turn",
        rates["ours"] * (times["engine"] + times["decoder"]) / len(paths),
        0.95,
    )
    outcome.add(case, "share of the decoder's limit", rates["ours"] / rates["decoder"])
    outcome.add(case, "share of the engine's limit", rates["ours"] / rates["engine"])


def main() -> None:
    part = scale(__doc__, "a third of the photos, fewer rounds")
    import_keras()
    outcome = Outcome("embedding")
    with tempfile.TemporaryDirectory() as folder:
        if part == "tiny":
            paths = [f"{folder}/{name}" for name in write_photos(Path(folder), 64, 8)]
            measure(outcome, "simple", paths, 32, None, 1)
        else:
            count, rounds = (96, 2) if part == "quick" else (256, 4)
            paths = [f"{folder}/{name}" for name in write_photos(Path(folder), 200, count)]
            measure(outcome, "mobilenetv2", paths, 224, 4, rounds)
            measure(outcome, "vgg16", paths[: count // 4], 224, 1.9, rounds)
    outcome.show()


if __name__ == "__main__":
    main()
