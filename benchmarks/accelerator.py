"""An accelerator kept busy: training and embedding on whatever Keras finds, against that device's own limits.

A batch is 256 distinct images at 224 pixels, mined in (so that every step has one shape, which XLA compiles
once). From memory, `fit` is given batches made beforehand; from files, it reads photographs of 500 pixels
through the image cache, as `train` does. The limit of a step is the device's matrix-multiply rate in the same
number type, measured in the same run; that of embedding is the network on decoded pixels.

    KERAS_BACKEND=jax python benchmarks/accelerator.py [--quick]
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from photos import write_photos
from scale import scale
from timing import least_seconds

from deep_ranking import import_keras

OPERATIONS = {"vgg16": 30.7e9, "mobilenetv2": 0.6e9, "simple": 1e6}
"""Of a forward pass at 224 pixels, convolutions alone; training takes three times as many."""


def main() -> None:
    part = scale(__doc__, "MobileNetV2 in bfloat16 alone, fewer steps")
    import_keras()
    from deep_ranking import has_accelerator

    if part != "tiny" and not has_accelerator():
        print("accelerator: Keras finds none here (KERAS_BACKEND=jax?), so nothing was measured")
        return
    outcome = Outcome("accelerator")
    steps, rounds = {"full": (24, 3), "quick": (8, 2), "tiny": (1, 1)}[part]
    networks = {
        "full": [("mobilenetv2", "bfloat16"), ("vgg16", "bfloat16"), ("mobilenetv2", "float32")],
        "quick": [("mobilenetv2", "bfloat16")],
        "tiny": [("simple", "float32")],
    }[part]
    side, rows = (32, 8) if part == "tiny" else (224, 256)
    with tempfile.TemporaryDirectory() as folder:
        names = write_photos(Path(folder), 64 if part == "tiny" else 500, 2 * rows)
        paths = [str(Path(folder) / name) for name in names]
        for backbone, precision in networks:
            train(outcome, backbone, precision, paths, side, rows, steps, rounds)
        for backbone in dict.fromkeys(name for name, _ in networks):
            embed(outcome, backbone, paths, side, rows, rounds)
    outcome.show()


def train(
    outcome: Outcome,
    backbone: str,
    precision: str,
    paths: list[str],
    side: int,
    rows: int,
    steps: int,
    rounds: int,
) -> None:
    """Measure steps from memory and from files."""
    import keras

    from deep_ranking import (
        BatchStream,
        ClassBatches,
        ImageCache,
        LabelledBatches,
        LabelledImages,
        NetworkSettings,
        TrainingSettings,
        build_training_model,
    )

    settings = TrainingSettings(
        NetworkSettings(backbone, side, 512),
        weights="none",
        mining="semi-hard",
        freeze_normalization=True,
        precision=precision,
    )
    model = build_training_model(settings).model
    labels = np.arange(len(paths)) % 4
    labelled = LabelledImages(paths, labels, "")
    batches = LabelledBatches(
        labelled,
        ClassBatches(labels, 4, rows // 4),
        (side, side),
        len(os.sched_getaffinity(0)),
        ImageCache((side, side)),
    )

    ready = [batches[index] for index in range(len(batches))]

    class FromMemory(keras.utils.PyDataset):
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> Any:
            return ready[index % len(ready)]

    def epoch(data: keras.utils.PyDataset) -> None:
        model.fit(data, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)

    begin = time.perf_counter()
    epoch(FromMemory())
    compiled = time.perf_counter() - begin
    times = least_seconds(
        {"memory": lambda: epoch(FromMemory()), "files": lambda: epoch(BatchStream(batches))}, rounds
    )
    rate = multiply_rate(precision)
    images = {name: steps * rows / seconds for name, seconds in times.items()}
    print(
        f"{backbone} in {precision}: training {images['memory']:,.0f} images/s from memory, "
        f"{images['files']:,.0f} from files; {rate / 1e12:,.1f} TFLOP/s in products; "
        f"first epoch {compiled:.0f} s",
        flush=True,
    )
    case = f"training, {backbone} in {precision}"
    outcome.add(case, "images/s, for reading only", images["memory"])
    share = 3 * OPERATIONS[backbone] * images["memory"] / rate
    outcome.add(case, "share of the matrix-multiply rate", share)
    outcome.add(case, "from files, share of the rate from memory", times["memory"] / times["files"], 0.95)


def embed(outcome: Outcome, backbone: str, paths: list[str], side: int, rows: int, rounds: int) -> None:
    """Measure embedding from files, beside the network and the decoder alone."""
    from deep_ranking import Model, NetworkSettings, build_network, load_image_batches

    embedder = Model(build_network(NetworkSettings(backbone, side, 512)))
    pixels = [batch.images for batch in load_image_batches(paths, (side, side), rows)]
    times = least_seconds(
        {
            "network": lambda: [embedder.embed_pixels(batch) for batch in pixels],
            "decoder": lambda: list(load_image_batches(paths, (side, side), rows)),
            "ours": lambda: embedder.embed(paths, rows),
        },
        rounds + 1,  # the first compiles
    )
    rates = {name: len(paths) / seconds for name, seconds in times.items()}
    print(
        f"{backbone}: embedding {rates['ours']:,.0f} images/s from files, the network alone "
        f"{rates['network']:,.0f}, the decoder {rates['decoder']:,.0f}",
        flush=True,
    )
    slower = max(times["network"], times["decoder"])
    outcome.add(f"embedding, {backbone}", "images/s, for reading only", rates["ours"])
    outcome.add(
        f"embedding, {backbone}", "share of the slower of network and decoder", slower / times["ours"]
    )


def multiply_rate(precision: str) -> float:
    """Return the device's rate of operations in products of large matrices, each a second."""
    from keras import ops

    from deep_ranking import has_accelerator

    size = 8192 if has_accelerator() else 512
    matrix = ops.cast(np.random.default_rng(0).standard_normal((size, size)) / size**0.5, precision)

    def products(count: int) -> None:
        product = matrix
        for _ in range(count):
            product = ops.matmul(product, matrix)
        float(ops.sum(ops.cast(product[:1], "float32")))  # waits for all of them

    products(2)
    times = least_seconds({"two": lambda: products(2), "twelve": lambda: products(12)}, 3)
    return 10 * 2 * size**3 / (times["twelve"] - times["two"])


if __name__ == "__main__":
    main()
