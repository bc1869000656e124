"""A training step of the multi-scale VGG16, 224 pixels, 24 images in the blog's order, against the blog's.

The blog's step is rewritten plainly: the network runs on all 24 rows, three times given; the loss is a loop
over the triplets inside the graph; float32. Ours runs the network once for each distinct image of the
batch. Both are fed the same batches from memory, so that nothing but the step is timed. Beside it stands
the machine's matrix-multiply rate, measured in the same run, and the share of it that a step reaches.

    python benchmarks/training_step.py [--quick]
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from scale import scale

from deep_ranking import UniformSampler, import_keras

TRIPLETS = 8


def blogs_step():
    """Return a function that trains on one batch as the blog's code does."""
    import keras
    import tensorflow as tf

    from deep_ranking import NetworkSettings, build_network

    network = build_network(NetworkSettings.blog())

    def loss(_, embeddings):
        embeddings = tf.clip_by_value(embeddings, 1e-7, 1 - 1e-7)
        total = tf.constant(0.0)
        for i in range(0, 3 * TRIPLETS, 3):
            query, positive, negative = embeddings[i], embeddings[i + 1], embeddings[i + 2]
            near = tf.sqrt(tf.reduce_sum((query - positive) ** 2))
            far = tf.sqrt(tf.reduce_sum((query - negative) ** 2))
            total = total + 1.0 + near - far
        return tf.maximum(total / TRIPLETS, 0.0)

    network.compile(keras.optimizers.SGD(0.001, 0.9, nesterov=True), loss=loss, jit_compile=False)
    targets = np.zeros((3 * TRIPLETS, 1), np.float32)
    return lambda images, rows: network.train_on_batch(images[rows], targets)


def our_step(precision: str):
    """Return a function that trains on one batch as this project does, and the network."""
    from deep_ranking import TrainingSettings, build_training_model

    _, model, _ = build_training_model(
        TrainingSettings(weights="none", precision=precision, augmentation="none")
    )
    targets = np.zeros((3 * TRIPLETS, 1), np.float32)
    return lambda images, rows: model.train_on_batch([rows, images], targets)


def batches(count: int):
    """Return the first batches of a sampled file (10 positives, 5 negatives) over random images."""
    rng = np.random.default_rng(0)
    sampler = UniformSampler({str(c): [f"{c}/{i}" for i in range(50)] for c in range(10)}, 10, 5)
    rows = next(sampler.blocks())[: count * TRIPLETS].reshape(count, -1)
    result = []
    for row in rows:
        distinct, inverse = np.unique(row, return_inverse=True)
        images = rng.integers(0, 256, (len(distinct), 224, 224, 3)).astype(np.float32)
        result.append((images, inverse.reshape(-1).astype(np.int32)))
    return result


def multiply_rate(precision: str) -> float:
    """Return the machine's matrix-multiply rate in operations a second."""
    import tensorflow as tf

    size = 4096
    a = tf.cast(tf.random.normal((size, size)), precision)
    multiply = tf.function(lambda: tf.reduce_sum(tf.cast(a @ a, "float32")))
    multiply().numpy()
    return 2 * size**3 / min(seconds(lambda: multiply().numpy()) for _ in range(3))


def typical_seconds(train, data) -> float:
    """Return the median time of a step, after one that traces and warms it."""
    train(*data[0])
    return float(np.median([seconds(lambda batch=batch: train(*batch)) for batch in data[1:]]))


def seconds(task) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def operations(images: int) -> float:
    """Return the operations of a training step: forward, and twice that backward.

    VGG16's convolutions take 30.7 GFLOP an image at 224 pixels; the fully connected layers take 2 a weight.
    """
    dense = 512 * 4096 + 4096 * 4096 + (3072 + 4096) * 4096
    return images * 3 * (30.69e9 + 2 * dense)


def main() -> None:
    count = {"full": 6, "quick": 2, "tiny": 1}[scale(__doc__, "two batches instead of six")]
    import_keras()
    data = batches(count + 1)
    distinct = np.mean([len(images) for images, _ in data[1:]])
    print(f"{count} batches of {TRIPLETS} triplets, {distinct:.1f} distinct images in {3 * TRIPLETS} rows")
    outcome = Outcome("training_step")
    times: dict[str, float] = {}
    rates = {"float32": 0.0, "bfloat16": 0.0}
    for name, step in (("blog", blogs_step), ("float32", our_step), ("bfloat16", our_step)):
        for precision in rates:  # the limit is the best that the machine gave at any time of the run
            rates[precision] = max(rates[precision], multiply_rate(precision))
        times[name] = typical_seconds(step() if name == "blog" else step(name), data)
        print(f"{name}: {times[name]:.2f} s a step, {TRIPLETS / times[name]:.2f} triplets/s")
    for name, goal in (("float32", None), ("bfloat16", 4.5)):
        outcome.add(name, "times the blog's triplets a second", times["blog"] / times[name], goal)
    for name in ("float32", "bfloat16"):
        share = operations(distinct) / times[name] / rates[name]
        outcome.add(name, "share of the matrix-multiply rate", share, 0.8)
    outcome.show()


if __name__ == "__main__":
    main()
