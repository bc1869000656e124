"""What each defect of earlier Deep Ranking code costs: one at a time, against the right way, on one budget.

Paper: Wang et al. 2014, "Learning Fine-grained Image Similarity with Deep Ranking"; the defects are those of
public re-implementations of it (docs/from-the-blog.md). They live here alone, none of them in the package.
Data: the drawn set (`deep-ranking prepare demo`), and the first classes of Tiny ImageNet if its archive is
given. Learned: the backbone `simple` with the paper's low-resolution paths, from random weights; and, where
MobileNetV2's ImageNet weights are given, a layer on its frozen features, for what concerns those.
Measured on images that share none with the training ones: the share of triplets ranked right, and the nearest
neighbour's class in the gallery of training images.
Takes 12 minutes of processor time or more on 2 cores; not yet run to its end.

    python recipes/defects.py --archive tiny-imagenet-200.zip --weights mobilenet_v2_1.0_224_no_top.weights.h5
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from deep_ranking.datasets.demo import DemoSettings, draw_demo
from deep_ranking.datasets.tiny_imagenet import prepare_tiny_imagenet
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import (
    bootstrap,
    neighbours,
    similarity_precision,
    triplet_distances,
)
from deep_ranking.images.decode import read_image
from deep_ranking.images.find import find_classes
from deep_ranking.progress import progress
from deep_ranking.triplets.sampler import UniformSampler

SIZE, EMBEDDING, BATCH = 64, 64, 48
RIGHT = "the right way"
MEASURES = {"triplets": "similarity precision", "nearest": "nearest neighbour"}


@dataclass(frozen=True)
class Part:
    """Images of classes in memory, and triplets of them.

    Attributes:
        pixels: (n, SIZE, SIZE, 3) uint8.
        labels: (n,) the class of each.
        triplets: (t, 3) positions.
    """

    pixels: np.ndarray
    labels: np.ndarray
    triplets: np.ndarray


@dataclass(frozen=True)
class Run:
    """How a network is learned: the right way, unless something is replaced.

    Attributes:
        network: settings of the architecture to change.
        training: settings of the training to change.
        loss: makes the loss, from gap and distance; None takes the product's.
        patched: what is put in the place of something of the product while the network is built.
    """

    network: dict[str, Any]
    training: dict[str, Any]
    loss: Callable[[float, str], Any] | None = None
    patched: tuple[str, Any] | None = None


def main() -> None:
    """Prepare the data, learn in each way with each seed, print a table for each set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--archive", help="Tiny ImageNet's; without it the drawn set alone is used")
    add("--weights", help="MobileNetV2's weights file; without it its table is left out")
    add("--classes", type=int, default=30, help="of Tiny ImageNet (default: 30)")
    add("--images_per_class", type=int, default=50, help="in each part (default: 50)")
    add("--steps", type=int, default=300, help=f"of {BATCH} rows, the budget of each run (default: 300)")
    add("--runs", type=int, default=5, help="seeds of each way (default: 5)")
    add("--seed", type=int, default=0, help="of the data and the first run (default: 0)")
    add("--only", help="only the ways whose names hold this, beside the right one")
    add("--json", action="store_true", help="print the results as JSON")
    args = parser.parse_args()

    from deep_ranking.cli.quiet_keras import import_keras

    import_keras()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, training, test in data_sets(Path(folder), args):
            results[name] = table(scores_of_ways(name, training, test, args))
            if args.weights:
                features = [features_of(part, args) for part in (training, test)]
                found = scores_of_features(name, features, training, test, args)
                results[f"{name}, frozen MobileNetV2"] = table(found)
    if args.json:
        print(json.dumps(results))
        return
    for name, rows in results.items():
        print_table(name, rows)


def data_sets(folder: Path, args: argparse.Namespace) -> Iterator[tuple[str, Part, Part]]:
    """Yield each set's name, what is learned from, and what is measured on."""
    for part in (0, 1):
        draw_demo(
            folder / f"drawn/{part}", DemoSettings(args.images_per_class, SIZE, args.seed, part), quiet=True
        )
    yield "drawn", *(load(folder / f"drawn/{part}", args) for part in (0, 1))
    if args.archive:
        prepare_tiny_imagenet(folder / "tiny", args.archive, args.classes, quiet=True)
        yield "Tiny ImageNet", *(load(folder / "tiny" / part, args) for part in ("train", "val"))


def load(folder: Path, args: argparse.Namespace) -> Part:
    """Read at most so many images of each class, and draw triplets of them."""
    classes = {name: images[: args.images_per_class] for name, images in find_classes(folder).items()}
    sampler = UniformSampler(classes, num_pos_images=4, num_neg_images=1, seed=args.seed)
    pixels = np.stack([read_image(folder / image, (SIZE, SIZE)) for image in sampler.images])
    labels = np.unique([Path(image).parent.name for image in sampler.images], return_inverse=True)[1]
    return Part(pixels, labels, np.concatenate(list(sampler.blocks())))


def ways() -> dict[str, Run]:
    """Return each way to learn a network from random weights, by name."""
    from keras import ops

    from deep_ranking import TripletHingeLoss

    class Clipped(TripletHingeLoss):
        """Embeddings go through clip(1e-7, 1 - 1e-7) first, as through Keras's cross entropies."""

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return super().call(y_true, ops.clip(y_pred, 1e-7, 1 - 1e-7))

    class OfMeans(TripletHingeLoss):
        """The hinge of the batch's mean distances."""

        def call(self, y_true: Any, y_pred: Any) -> Any:
            from deep_ranking.ranking.loss import triplet_distances

            positive, negative = triplet_distances(y_pred, self.distance)
            return ops.relu(self.gap + ops.mean(positive - negative, keepdims=True))

    class ClippedOfMeans(Clipped, OfMeans):
        """Both, as the blog has it."""

    def strided(ratio: int, **kwargs: Any) -> Any:
        """Take each so manyth pixel where the right way averages."""
        from keras import layers

        return layers.MaxPooling2D(1, strides=ratio, **kwargs)

    euclidean = {"distance": "euclidean"}
    return {
        RIGHT: Run({}, {}),
        "embeddings clipped to 0..1": Run({}, {}, Clipped),
        "hinge of the batch's mean": Run({}, {}, OfMeans),
        "low resolution: every 4th, 8th pixel": Run(
            {}, {}, None, ("deep_ranking.network.low_resolution.layers.AveragePooling2D", strided)
        ),
        "low resolution: the blog's paths": Run({"low_resolution": "blog"}, {}),
        "no low-resolution paths": Run({"low_resolution": "none"}, {}),
        "euclidean distance, gap 0.2": Run({}, euclidean),
        "euclidean distance, gap 1": Run({}, {**euclidean, "gap": 1.0}),
        "squared distance, gap 1": Run({}, {"gap": 1.0}),
        "pixels scaled to 0..1": Run({"preprocessing": "unit"}, {}),
        "all that the blog did": Run(
            {"low_resolution": "blog", "preprocessing": "unit"}, {**euclidean, "gap": 1.0}, ClippedOfMeans
        ),
    }


def scores_of_ways(
    name: str, training: Part, test: Part, args: argparse.Namespace
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Learn and measure; the right networks are also measured in wrong ways."""
    chosen = {key: run for key, run in ways().items() if key == RIGHT or not args.only or args.only in key}
    scores: dict[str, list[dict[str, np.ndarray]]] = {}
    tasks = [(key, args.seed + number) for key in chosen for number in range(args.runs)]
    for key, seed in progress(tasks, name, "runs"):
        embed = learn(training, chosen[key], seed, args.steps)
        scores.setdefault(key, []).append(measure(embed(training.pixels), training, embed(test.pixels), test))
        if key == RIGHT and not args.only:
            for wrong, found in measured_wrongly(embed, training, test, seed).items():
                scores.setdefault(wrong, []).append(found)
    return scores


def learn(training: Part, run: Run, seed: int, steps: int) -> Callable[[np.ndarray], np.ndarray]:
    """Learn a network; return what embeds pixels with it."""
    import keras

    from deep_ranking.images.batches import BatchStream
    from deep_ranking.images.generator import TripletBatches
    from deep_ranking.network.settings import NetworkSettings
    from deep_ranking.training.model import build_training_model
    from deep_ranking.training.settings import TrainingSettings
    from deep_ranking.triplets.table import TripletTable

    settings = TrainingSettings(
        NetworkSettings("simple", SIZE, EMBEDDING),
        weights="none",
        batch_size=BATCH,
        augmentation="none",
        seed=seed,
    )
    settings = replace(settings, network=replace(settings.network, **run.network), **run.training)
    keras.utils.set_random_seed(seed)
    with patch(*run.patched) if run.patched else nothing_patched():
        network, model, _ = build_training_model(settings)
    if run.loss:
        model.compile(model.optimizer, run.loss(settings.gap, settings.distance), jit_compile=False)
    names = [str(position) for position in range(len(training.pixels))]
    batches = TripletBatches(
        TripletTable(names, training.triplets, ""),
        BATCH,
        (SIZE, SIZE),
        shuffle=True,
        seed=seed,
        distinct=True,
    )
    batches.fetch = lambda positions, _: training.pixels[positions]
    model.fit(BatchStream(batches), steps_per_epoch=steps, shuffle=False, verbose=0)
    return lambda pixels: np.asarray(network.predict(pixels, batch_size=256, verbose=0))


@contextmanager
def nothing_patched() -> Iterator[None]:
    """Leave the product as it is."""
    yield


def measured_wrongly(
    embed: Callable[[np.ndarray], np.ndarray], training: Part, test: Part, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Measure one rightly learned network in the ways in which earlier code did."""
    import keras

    from deep_ranking.images.augment import BLOG

    def varied(pixels: np.ndarray) -> np.ndarray:
        for layer in BLOG.layers(seed):
            pixels = np.concatenate(
                [
                    np.asarray(layer(part, training=True))
                    for part in np.array_split(pixels.astype("float32"), 8)
                ]
            )
        return pixels

    def cropped(pixels: np.ndarray) -> np.ndarray:
        """Take a random 7/8 of each side, stretched back to all of it."""
        rng = np.random.default_rng(seed)
        side = SIZE * 7 // 8
        left, top = rng.integers(0, SIZE - side + 1, (2, len(pixels)))
        parts = [p[y : y + side, x : x + side] for p, x, y in zip(pixels, left, top, strict=True)]
        return np.asarray(keras.ops.image.resize(np.stack(parts), (SIZE, SIZE)))

    gallery, queries = embed(training.pixels), embed(test.pixels)
    along = [vectors / np.linalg.norm(vectors, axis=0) for vectors in (gallery, queries)]
    return {
        "measured: images varied as in training": measure(
            gallery, training, embed(varied(test.pixels)), test
        ),
        "measured: gallery of random crops": measure(
            embed(cropped(training.pixels)), training, queries, test
        ),
        "measured: normalized along the batch": measure(along[0], training, along[1], test),
    }


def measure(gallery: np.ndarray, training: Part, queries: np.ndarray, test: Part) -> dict[str, np.ndarray]:
    """Return the score of each test image: of its triplets, and of its nearest neighbour."""
    right = similarity_precision(triplet_distances(queries, test.triplets))
    count = np.bincount(test.triplets[:, 0], minlength=len(test.pixels))
    nearest = neighbours(queries, gallery, 1).indices[:, 0]
    return {
        "triplets": np.bincount(test.triplets[:, 0], right, minlength=len(test.pixels)) / count,
        "nearest": (training.labels[nearest] == test.labels).astype(float),
    }


def features_of(part: Part, args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return MobileNetV2's features of images, preprocessed as its weights expect and as the blog did."""
    from deep_ranking.embedding import Embedder
    from deep_ranking.network.network import build_network
    from deep_ranking.network.settings import NetworkSettings
    from deep_ranking.network.weights import load_weights

    found = {}
    for preprocessing in ("backbone", "unit"):
        settings = NetworkSettings("mobilenetv2", SIZE, 0, "none", preprocessing)
        network = build_network(settings)
        load_weights(network, settings, args.weights)
        found[preprocessing] = np.concatenate(
            [
                Embedder(network).embed_pixels(p)
                for p in np.array_split(part.pixels, len(part.pixels) // 64 + 1)
            ]
        )
    return found


def scores_of_features(
    name: str, features: list[dict[str, np.ndarray]], training: Part, test: Part, args: argparse.Namespace
) -> dict[str, list[dict[str, np.ndarray]]]:
    """Measure frozen features as they are, and through a hidden layer with dropout and a linear one."""
    scores: dict[str, list[dict[str, np.ndarray]]] = {
        f"the features, {text}": [measure(features[0][kind], training, features[1][kind], test)] * args.runs
        for kind, text in (("backbone", RIGHT), ("unit", "pixels scaled to 0..1"))
    }
    heads = {
        RIGHT: ("backbone", 0.4),
        "pixels scaled to 0..1": ("unit", 0.4),
        "dropout 0.6": ("backbone", 0.6),
    }
    tasks = [(key, args.seed + number) for key in heads for number in range(args.runs)]
    for key, seed in progress(tasks, f"{name}, head", "runs"):
        kind, dropout = heads[key]
        embed = learn_head(features[0][kind], training.triplets, dropout, seed, args.steps)
        gallery, queries = (embed(part[kind]) for part in features)
        scores.setdefault(key, []).append(measure(gallery, training, queries, test))
    return scores


def learn_head(
    features: np.ndarray, triplets: np.ndarray, dropout: float, seed: int, steps: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Learn what lies behind a frozen backbone: the hidden layer of VGG16's kind, and the embedding."""
    import keras

    from deep_ranking import TripletHingeLoss

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(512, activation="relu"), keras.layers.Dropout(dropout)]
    layers += [keras.layers.Dense(EMBEDDING), keras.layers.UnitNormalization()]
    model = keras.Sequential([keras.Input(features.shape[1:]), *layers])
    model.compile(
        keras.optimizers.SGD(0.01, 0.9, nesterov=True),
        loss=TripletHingeLoss(0.2, "squared_euclidean"),
        jit_compile=False,
    )
    rng = np.random.default_rng(seed)
    scale = features.std()
    for _ in range(steps):
        rows = triplets[rng.integers(len(triplets), size=BATCH // 3)].reshape(-1)
        model.train_on_batch(features[rows] / scale, np.zeros((len(rows), 1)))
    return lambda vectors: np.asarray(model(vectors / scale))


def table(scores: dict[str, list[dict[str, np.ndarray]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return each way's mean and its difference from the right way, with intervals, and the runs' deviation.

    Intervals are 95% bootstrap ones over test images, of each image's mean over the runs. The difference is
    paired: the same images, the same seeds.
    """
    rows: dict[str, dict[str, dict[str, float]]] = {name: {} for name in scores}
    for column in MEASURES:
        values = {name: np.array([run[column] for run in runs]) for name, runs in scores.items()}
        for name, runs in values.items():
            shown = (
                {column: runs} if name == RIGHT else {column: runs, f"{column} lost": runs - values[RIGHT]}
            )
            for title, numbers in shown.items():
                estimate = bootstrap({title: numbers.mean(axis=0)})[title]
                deviation = numbers.mean(axis=1).std(ddof=1) if len(numbers) > 1 else 0.0
                rows[name][title] = {**estimate._asdict(), "deviation": float(deviation)}
    return rows


def print_table(name: str, rows: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print one set's table, in percent."""
    columns = [title for column in MEASURES for title in (column, f"{column} lost")]
    print(f"\n| {name} | {' | '.join(f'{MEASURES[m]}, % | against the right way' for m in MEASURES)} |")
    print("| --- " * (1 + len(columns)) + "|")
    for way, row in rows.items():
        print(f"| {way} | {' | '.join(cell(row.get(c), signed='lost' in c) for c in columns)} |")


def cell(found: dict[str, float] | None, *, signed: bool) -> str:
    """Return value, interval, and ± the standard deviation over the runs."""
    if found is None:
        return ""
    sign = "+" if signed else ""
    value, low, high, deviation = (100 * found[name] for name in ("value", "low", "high", "deviation"))
    return f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f}), ± {deviation:.1f}"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except DeepRankingError as error:
        sys.exit(f"defects.py: error: {error}")
