"""The default description of images, nothing learned from a label: looks, sizes of folder, and its prior.

Data: the archives that human_similarity.py and tiny_imagenet.sh take. Weights: MobileNetV2's without its top.
Hardware: 2 cores; reads 13,136 images once (5 minutes where both are free), kept in OUTPUT; then 3 minutes.
Expect 84.6% of the rated triplets by "balanced", 81.1% by the plain last layer (docs/experiments.md).

    DEEP_RANKING_WEIGHTS=mobilenet_v2_1.0_224_no_top.weights.h5 python recipes/description.py \\
        --human human-triplets-development.zip --tiny tiny-imagenet-200.zip --output description

`--prior FILE` writes the prior that the package comes with, of 1,600 images of either archive. In the tables,
each set has the prior of the other one alone.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking import (
    LOOKS,
    DescriptionMap,
    DescriptionPrior,
    Triplets,
    open_reader,
    prepare_human_triplets,
    prepare_tiny_imagenet,
    save_prior,
    similarity_precision,
    split_reading,
    triplet_distances,
)

ROWS = 1600
SIZES = (1, 2, 5, 20, 50, 200, 1000, ROWS)
PRIOR_ROWS = {"last": 192, "lower": 192, "colour": 64}

Sets = dict[str, dict[str, np.ndarray]]


def main() -> None:
    """Read each image once; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("human", "tiny", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument(
        "--gallery", type=int, default=25, help="of each class of Tiny ImageNet (default: 25)"
    )
    parser.add_argument("--queries", type=int, default=8, help="of each class (default: 8)")
    parser.add_argument("--seeds", type=int, default=2, help="samples that are fitted on (default: 2)")
    parser.add_argument("--prior", help="write the prior into this file, and nothing else")
    args = parser.parse_args()
    output = Path(args.output)
    if not (output / "human").exists():
        prepare_human_triplets(output / "human", args.human)
        prepare_tiny_imagenet(output / "tiny", args.tiny)
    table = Triplets.load(output / "human" / "triplets.txt", output / "human")
    gallery = list(first(output / "tiny" / "train", args.gallery, key=lambda path: (len(path), path)))
    queries = list(first(output / "tiny" / "val", args.queries, key=str))
    labels = [np.array([Path(path).parent.name for path in paths]) for paths in (gallery, queries)]
    sets = {
        name: read(paths, output / f"{name}-{len(paths)}.npz")
        for name, paths in (("human", list(table.images)), ("gallery", gallery), ("queries", queries))
    }
    if args.prior:
        some = [sample(sets[name], ROWS, 0) for name in ("human", "gallery")]
        save_prior(
            Path(args.prior),
            priors({part: np.concatenate([s[part] for s in some]) for part in LOOKS["balanced"]}),
        )
        return
    others = {
        "human": priors(sample(sets["gallery"], ROWS, 0)),
        "gallery": priors(sample(sets["human"], ROWS, 0)),
    }

    def figures(human: np.ndarray, tiny: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        right = similarity_precision(triplet_distances(human, table.rows))
        return 100 * np.array([right.mean(), *retrieval(*tiny, *labels)])

    def described(look: str, count: int, seed: int) -> np.ndarray:
        human, tiny = (
            DescriptionMap.fit(sample(sets[name], count, seed), look, others[name]) for name in others
        )
        return figures(human(sets["human"]), (tiny(sets["gallery"]), tiny(sets["queries"])))

    head = "rated triplets | nearest neighbour | MAP@R |\n| --- | ---: | ---: | ---: |"
    print(f"| look | {head}")
    plain = [sets[name]["plain"] for name in ("human", "gallery", "queries")]
    row("the last layer", [figures(plain[0], (plain[1], plain[2]))])
    for look in LOOKS:
        row(look, [described(look, ROWS, seed) for seed in range(args.seeds)])
    print(
        f"\nbalanced, components of other text queries' images: {unseen(sets['human'], table, others):.1f}%"
    )
    print(f"\n| fitted on | {head}")
    for count in (0, *SIZES):
        row(f"{count:,}", [described("balanced", count, seed) for seed in range(args.seeds if count else 1)])


def unseen(
    human: dict[str, np.ndarray], table: Triplets, others: dict[str, dict[str, DescriptionPrior]]
) -> float:
    """Return the % of triplets right whose text query had no image among those that components are of.

    Five parts of the text queries; components of each are fitted on images of the other four.
    """
    names = np.array([Path(path).parent.name for path in table.images])
    part = dict(zip(np.random.default_rng(0).permutation(np.unique(names)), itertools.cycle(range(5))))
    fold = np.array([part[name] for name in names])
    right = np.zeros(len(table.rows), bool)
    for number in range(5):
        kept = {key: rows[fold != number] for key, rows in human.items()}
        vectors = DescriptionMap.fit(sample(kept, ROWS, number), "balanced", others["human"])(human)
        asked = fold[table.rows[:, 0]] == number
        right[asked] = similarity_precision(triplet_distances(vectors, table.rows[asked]))
    return float(100 * right.mean())


def first(folder: Path, count: int, key: Callable[[str], Any]) -> Iterator[str]:
    """Yield the first images of each class."""
    for name in sorted(folder.iterdir()):
        yield from sorted(map(str, name.iterdir()), key=key)[:count]


def read(paths: list[str], file: Path) -> dict[str, np.ndarray]:
    """Return what is read of images by part, and their plain last layer, from a file once it is there."""
    if not file.exists():
        from deep_ranking import Description, load, load_image_batches

        reader, plain = open_reader(), load()
        found = [
            (reader(batch.images), plain.embed_pixels(batch.images))
            for batch in load_image_batches(paths, Description.fit().size, 32)
        ]
        rows, last = (np.concatenate(part) for part in zip(*found, strict=True))
        np.savez(file, **split_reading(rows), plain=last)
    return dict(np.load(file))


def retrieval(
    gallery: np.ndarray, queries: np.ndarray, own: np.ndarray, asked: np.ndarray
) -> tuple[float, float]:
    """Return the accuracy of the nearest neighbour and MAP@R, of vectors of unit length and their classes."""
    count = len(own) // len(np.unique(own))  # each class has as many
    nearest = np.argsort(-(queries @ gallery.T), axis=1)[:, :count]
    hits = own[nearest] == asked[:, None]
    precision = np.cumsum(hits, axis=1) / np.arange(1, count + 1)
    return float(hits[:, 0].mean()), float((precision * hits).sum(axis=1).mean() / count)


def sample(parts: dict[str, np.ndarray], count: int, seed: int) -> dict[str, np.ndarray]:
    """Return some of the images."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(parts["last"]))[:count])
    return {name: rows[chosen] for name, rows in parts.items()}


def priors(parts: dict[str, np.ndarray]) -> dict[str, DescriptionPrior]:
    """Return the prior of each part."""
    return {name: DescriptionPrior.fit(parts[name], rows) for name, rows in PRIOR_ROWS.items()}


def row(name: str, figures: list[np.ndarray]) -> None:
    """Print the means over seeds, and how far the rated triplets vary."""
    human, neighbour, map_at_r = np.mean(figures, axis=0)
    spread = f" ± {np.std([f[0] for f in figures]):.1f}" if len(figures) > 1 else ""
    print(f"| {name} | {human:.1f}{spread} | {neighbour:.1f} | {map_at_r:.1f} |", flush=True)


if __name__ == "__main__":
    main()
