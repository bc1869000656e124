"""Whose features do people agree with? Backbones as they are, by components, and what `learn` makes of them.

Data: the archives that human_similarity.py and tiny_imagenet.sh take. Weights: fetched by Keras and KerasHub,
or presets in folders; MobileNetV2's also from DEEP_RANKING_WEIGHTS.
Hardware: one GPU, minutes a network; MobileNetV2 alone on 2 cores, 5 minutes, and 5 of learning.
Expect of MobileNetV2 81.1% of the rated triplets, and 35% by the nearest neighbour (docs/backbones.md).

    pip install '.[hub]'
    python -m recipes.backbones --human human-triplets-development.zip --tiny tiny-imagenet-200.zip \\
        --output backbones

prints a table in Markdown. Components are of the images of the triplets and of the gallery, no label read.
The last rows are what so many triplets teach on top of them: rated ones, asked about text queries held out;
and such of the gallery's classes, asked about the queries. Features stay in OUTPUT, by network; remove them
if its weights change.
"""

import argparse
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from deep_ranking import (
    Estimate,
    LessonSettings,
    Triplets,
    bootstrap,
    group_folds,
    import_keras,
    learn_map,
    measure_retrieval,
    prepare_human_triplets,
    prepare_tiny_imagenet,
    similarity_precision,
    triplet_distances,
    written_whole,
)
from recipes.description import first

PRESETS = ("hub:dinov2_base", "hub:siglip_base_patch16_224", "mobilenetv2")
COMPONENTS, FOLDS = 256, 5
ANSWERS = (250, 500, 1000, 2000)
METRICS = ("knn_accuracy@1", "map@r")

Features = dict[str, np.ndarray]
"""Of the images "human", "gallery" and "queries", (images, d) each."""
Embed = Callable[[list[str]], np.ndarray]
"""Paths -> (images, d)."""


def main() -> None:
    """Read each image once a network; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser)
    add = parser.add_argument
    add("--presets", nargs="+", default=PRESETS, help=f"as --backbone (default: {' '.join(PRESETS)})")
    add("--weights", default="imagenet", help="of all: imagenet, each its own (default), or none")
    add("--image_size", type=int, default=224, help="pixels (default: 224)")
    args = parser.parse_args()
    sets = Sets.prepared(args)
    print(HEAD)
    for preset in args.presets:
        network = f"{preset} {args.weights} {args.image_size}"
        tell(preset, kept(network, partial(embed, preset, args.weights, args.image_size), sets, args), sets)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is measured on."""
    for name in ("human", "tiny", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument(
        "--gallery", type=int, default=25, help="of each class of Tiny ImageNet (default: 25)"
    )
    parser.add_argument("--queries", type=int, default=8, help="of each class (default: 8)")


@dataclass(frozen=True, eq=False)
class Sets:
    """The images, by what they are for, and what is known of them."""

    paths: dict[str, list[str]]
    rated: np.ndarray
    groups: np.ndarray
    labels: dict[str, np.ndarray]

    @classmethod
    def prepared(cls, args: argparse.Namespace) -> "Sets":
        """Unpack the archives into the output folder, once."""
        from deep_ranking import text_query_groups

        human, tiny = Path(args.output) / "human", Path(args.output) / "tiny"
        if not human.exists():
            prepare_human_triplets(human, args.human)
        if not tiny.exists():
            prepare_tiny_imagenet(tiny, args.tiny)
        table = Triplets.load(human / "triplets.txt", human)
        paths = {
            "human": list(table.images),
            "gallery": list(first(tiny / "train", args.gallery, key=lambda path: (len(path), path))),
            "queries": list(first(tiny / "val", args.queries, key=str)),
        }
        labels = {name: np.array([Path(path).parent.name for path in found]) for name, found in paths.items()}
        return cls(paths, table.rows, text_query_groups(table.images, table.rows), labels)


def embed(preset: str, weights: str, image_size: int, paths: list[str]) -> np.ndarray:
    """Return the features of a backbone, of unit length."""
    import_keras()
    from deep_ranking import Model, NetworkSettings, build_network, load_weights, make_engine

    settings = NetworkSettings(preset, image_size=image_size).bare
    network = build_network(settings)
    load_weights(network, settings, weights)
    return Model(network, engine=make_engine("auto", network)).embed_all(paths, quiet=False)


def kept(name: str, embed: Embed, sets: Sets, args: argparse.Namespace) -> Features:
    """Return a network's features, computed once."""
    file = Path(args.output) / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}.npz"
    if not file.exists():
        every = embed([path for paths in sets.paths.values() for path in paths])
        ends = np.cumsum([len(paths) for paths in sets.paths.values()])[:-1]
        found = dict(zip(sets.paths, np.split(unit(every), ends), strict=True))
        with written_whole(file) as temporary, temporary.open("wb") as opened:
            np.savez(opened, **found)
    return dict(np.load(file))


def tell(network: str, features: Features, sets: Sets) -> None:
    """Print a network's rows of the table."""

    def right(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return similarity_precision(triplet_distances(vectors, rows)).astype(float)

    def row(name: str, rated: np.ndarray, gallery: np.ndarray, queries: np.ndarray) -> None:
        labels = sets.labels["queries"], gallery, sets.labels["gallery"]
        found = measure_retrieval(queries, *labels, at=[1], voters=[1]).metrics
        told = [bootstrap({"right": rated}, sets.groups)["right"], *(found[name] for name in METRICS)]
        print(f"| {network} | {name} | {' | '.join(map(percent, told))} |", flush=True)

    row("plain", right(features["human"], sets.rated), features["gallery"], features["queries"])
    human, gallery, queries = components(features)
    row(f"{human.shape[1]} components", right(human, sets.rated), gallery, queries)
    folds = group_folds(sets.groups, FOLDS)
    for count in ANSWERS:
        rated = np.zeros(len(sets.rated))
        for seed, (training, held_out) in enumerate(folds):
            own = np.random.default_rng(seed).permutation(training)[:count]
            known = [sets.labels["human"]]
            rated[held_out] = right(learned(human, sets.rated[own], known)(human), sets.rated[held_out])
        of_classes = learned(gallery, class_triplets(sets.labels["gallery"], count), [])
        row(f"learned, {count:,}", rated, of_classes(gallery), of_classes(queries))
        if count >= min(len(training) for training, _ in folds):
            break  # all that there are


def components(features: Features) -> Iterator[np.ndarray]:
    """Yield the images of the triplets, the gallery and the queries by their principal components."""
    for fitted, names in (("human", ["human"]), ("gallery", ["gallery", "queries"])):
        mean = features[fitted].mean(axis=0)
        centred = features[fitted] - mean
        axes = np.linalg.eigh(centred.T @ centred)[1][:, : -COMPONENTS - 1 : -1]
        for name in names:
            yield unit((features[name] - mean) @ axes)


def learned(
    vectors: np.ndarray, triplets: np.ndarray, labels: list[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what `learn` puts on top of vectors: nothing, where nothing that it tries is better."""
    return learn_map(vectors, triplets, None, LessonSettings(), labels).map or (lambda same: same)


def class_triplets(labels: np.ndarray, count: int) -> np.ndarray:
    """Draw triplets of two images of a class and one of another, (count, 3)."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(labels))
    queries = rng.integers(len(labels), size=count)
    same = [rng.choice(rows[(labels == labels[query]) & (rows != query)]) for query in queries]
    others = [rng.choice(rows[labels != labels[query]]) for query in queries]
    return np.column_stack([queries, same, others])


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of unit length."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def percent(found: Estimate) -> str:
    """Return a share and its 95% interval as text."""
    value, low, high = (100 * part for part in (found.value, found.low, found.high))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


HEAD = (
    "| network | vectors | rated triplets | nearest neighbour | MAP@R |\n| --- | --- | ---: | ---: | ---: |"
)

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
