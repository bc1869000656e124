"""Is training worth it on few images, and on classes never seen? The default `train` beside its start.

Data: the archive that tiny_imagenet.sh takes. Weights: MobileNetV2's without its top.
Hardware: 2 cores; reads 30,000 images once (2 minutes where both are free), kept in OUTPUT; then 4 a seed.
Expect nothing below the pretrained features, and 10 points or more of MAP@R on classes seen (experiments.md).

    DEEP_RANKING_WEIGHTS=mobilenet_v2_1.0_224_no_top.weights.h5 python recipes/small_sets.py \\
        --archive tiny-imagenet-200.zip --output small [--presets]

Each seed draws classes and images. Queries are validation images; they are looked for in what was learned
from, or, of classes never seen, among themselves. `--presets` also learns the smallest set by steps, ten
minutes a seed.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import deep_ranking as dr

SETS = {"30 of 10": (30, 10, 20), "30 of 50": (30, 50, 20), "200 of 100": (200, 100, 20)}
"""Classes, images of each that are learned from, and queries of each."""
LEARNED, IMAGES = 100, 50
"""Classes that are learned from where the others are searched, and images of each."""
METRICS = ("knn_accuracy@1", "recall@10", "map@r")

Kept = dict[str, tuple[list[str], np.ndarray]]
"""Class -> paths, and features (images, 1280)."""


def main() -> None:
    """Describe each image once; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("archive", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seeds", type=int, default=3, help="0 and up to it (default: 3)")
    parser.add_argument("--presets", action="store_true", help="learn the smallest set by steps, too")
    args = parser.parse_args()
    output = Path(args.output)
    if not (output / "tiny").exists():
        dr.prepare_tiny_imagenet(output / "tiny", args.archive)
    train, val = (kept(output, part, most) for part, most in (("train", 100), ("val", IMAGES)))
    for seed in range(args.seeds):
        for name, (classes, images, queries) in SETS.items():
            rng = np.random.default_rng([seed, classes, images])
            chosen = rng.permutation(sorted(train))[:classes]
            learned = drawn(train, chosen, images, rng)
            asked = drawn(val, chosen, queries, rng)
            tell(f"{name}, seed {seed}", learned, asked, learned)
            if args.presets and images == 10:
                steps(output, seed, learned, asked)
        rng = np.random.default_rng([seed, LEARNED])
        order = rng.permutation(sorted(train))
        learned = drawn(train, order[:LEARNED], IMAGES, rng)
        others = drawn(val, order[LEARNED:], IMAGES, rng)
        tell(f"{LEARNED} learned, the others searched, seed {seed}", learned, others, others)


def kept(output: Path, part: str, most: int) -> Kept:
    """Return the features of images of each class, computed once."""
    root, file = output / "tiny" / part, output / f"{part}.npz"
    classes = {name: images[:most] for name, images in dr.find_classes(root).items()}
    paths = [str(root / image) for images in classes.values() for image in images]
    if not file.exists():
        dr.write_embeddings(file, dr.Embeddings(np.array(paths), dr.load().embed_all(paths, quiet=False)))
    vectors, start, found = dr.read_embeddings(file).vectors, 0, {}
    for name, images in classes.items():
        found[name] = paths[start : start + len(images)], vectors[start : start + len(images)]
        start += len(images)
    return found


class Drawn(dict[str, list[str]]):
    """Class -> paths, with the features of all, class by class."""

    vectors: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The class of each image, as its place in the order of names."""
        return np.repeat(np.argsort(np.argsort(list(self))), [len(paths) for paths in self.values()])


def drawn(images: Kept, classes: np.ndarray, count: int, rng: np.random.Generator) -> Drawn:
    """Return so many images of each of some classes."""
    found, parts = Drawn(), []
    for name in classes:
        paths, vectors = images[name]
        chosen = rng.permutation(len(paths))[:count]
        found[name] = [paths[i] for i in chosen]
        parts.append(vectors[chosen])
    found.vectors = np.concatenate(parts)
    return found


def tell(title: str, learned: Drawn, queries: Drawn, gallery: Drawn) -> None:
    """Learn as `train` does by default, and print what that is worth beside its start."""
    begun = time.monotonic()
    chosen = dr.choose_head(learned.vectors, learned.labels)
    took = time.monotonic() - begun
    head = chosen.head or (lambda vectors: vectors)
    measured = {}
    for name, mapped in (("start", lambda vectors: vectors), ("model", head)):
        found, held = mapped(queries.vectors), mapped(gallery.vectors)
        itself = np.arange(len(held)) if queries is gallery else None
        held = found if queries is gallery else held
        measured[name] = dr.measure_retrieval(found, queries.labels, held, gallery.labels, itself, [10], [1])
    one_line(title, {name: result.metrics for name, result in measured.items()})
    told = chosen.verdict
    others = [f"{told.unseen_model[name].value:.1%}" for name in METRICS if told.unseen_model]
    print(
        f"    shrinkage {chosen.shrinkage:g}, gain {chosen.gain:g}, {took:.0f} s; it told of held-out images "
        f"{', '.join(f'{told.model[name].value:.1%}' for name in METRICS)}, of classes {', '.join(others)}",
        flush=True,
    )


def steps(output: Path, seed: int, learned: Drawn, queries: Drawn) -> None:
    """Learn a set by steps from sampled triplets, as the preset does, with MobileNetV2 and fewer pixels."""
    names = sorted(learned)
    sampler = dr.UniformSampler({name: learned[name] for name in names}, 4, 2, seed)
    table = dr.Triplets(sampler.images, np.concatenate(list(sampler.blocks())).astype(np.int32), "0" * 64)
    network = dr.NetworkSettings("mobilenetv2", image_size=96, embedding_size=512)
    begun = time.monotonic()
    trained = dr.train(table, output / "paper.h5", dr.TrainingSettings(network, epochs=8, seed=seed))
    took = time.monotonic() - begun
    start = dr.build_network(network.bare)
    dr.load_weights(start, network.bare, "imagenet")
    results = {}
    for name, made in (("start", start), ("model", trained.network)):
        measured = dr.evaluate(dr.Model(made), queries=queries, gallery=learned, metrics=METRICS)
        results[name] = measured.metrics
    one_line(f"30 of 10, preset paper at 96 pixels, 8 epochs, seed {seed}", results)
    print(f"    {took:.0f} s", flush=True)


def one_line(title: str, results: dict[str, dict[str, dr.Estimate]]) -> None:
    """Print each metric of the start and of the model as a row of a table, and whether that is no worse."""
    cells = []
    for name in METRICS:
        start, model = results["start"][name], results["model"][name]
        low, high = 100 * model.low, 100 * model.high
        cells.append(f"{start.value:.1%} -> {model.value:.1%} ({low:.1f} to {high:.1f})")
    fine = all(results["model"][name].high >= results["start"][name].value for name in METRICS)
    print(f"| {title} | {' | '.join(cells)} | {'not below' if fine else 'BELOW'} |", flush=True)


if __name__ == "__main__":
    main()
