"""A small fine-grained data set drawn by code, and what is known of it: how alike any two images look."""

import csv
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from deep_ranking.datasets.folder import folder_written_whole
from deep_ranking.datasets.paint import ANGLES, SHAPES, SIZES, TEXTURES, Appearance, paint
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import written_whole
from deep_ranking.progress import progress
from deep_ranking.triplets import Triplet

CATEGORIES = (*SHAPES, *TEXTURES)
"""The classes: they differ in kind, so that a class-level ranking can be tested."""

RELEVANCE_FILE = "relevance.csv"
"""Lies beside the class folders, so that it is no image of any class."""

_HEADER = ["path", "class", "hue", "size", "angle"]


@dataclass(frozen=True)
class DemoSettings:
    """What to draw: images a class, the side of an image in pixels, and the seed.

    `part` tells apart sets that share a seed and no image: 0 to train with, 1 to validate with.
    """

    images_per_class: int = 25
    size: int = 96
    seed: int = 0
    part: int = 0

    def __post_init__(self) -> None:
        limits = {
            "images_per_class": (2, 100_000),
            "size": (32, 1024),
            "seed": (0, 2**63),
            "part": (0, 2**31),
        }
        for name, (low, high) in limits.items():
            expect(name, low <= getattr(self, name) <= high, f"{low} to {high}", getattr(self, name))


def demo_appearances(settings: DemoSettings) -> list[Appearance]:
    """Choose what each image of the set looks like.

    Within a class, hue, size and angle each cover their range evenly and independently (a Latin hypercube:
    one image a step of each).

    Example:
        >>> print(demo_appearances(DemoSettings(images_per_class=2))[0].path)
        leaf/leaf_000.png
    """
    appearances = []
    count = settings.images_per_class
    for index, category in enumerate(CATEGORIES):
        rng = np.random.default_rng([settings.seed, settings.part, index])
        steps = np.stack([rng.permutation(count) for _ in range(3)]) + rng.random((3, count))
        hues, sizes, angles = steps / count
        for number in range(count):
            appearances.append(
                Appearance(
                    path=f"{category}/{category}_{number:03}.png",
                    category=category,
                    hue=round(float(360 * hues[number]), 2) % 360,
                    size=round(float(SIZES[0] + (SIZES[1] - SIZES[0]) * sizes[number]), 4),
                    angle=round(float(ANGLES[0] + (ANGLES[1] - ANGLES[0]) * angles[number]), 2),
                )
            )
    return appearances


def draw_demo(
    output: str | os.PathLike[str], settings: DemoSettings, quiet: bool = False
) -> Sequence[Appearance]:
    """Draw the set into a folder, one sub-folder a class, and `relevance.csv` beside them.

    The same settings give the same files, byte for byte (with the same NumPy and Pillow).

    Args:
        output: a folder that is not there yet, or holds nothing but a README.md and hidden files.
        settings: what to draw.
        quiet: show no progress.

    Returns:
        what was drawn, in the order of `relevance.csv`.

    Raises:
        DeepRankingError: the folder holds other things already.
        OSError: it cannot be written.
    """
    appearances = demo_appearances(settings)
    with folder_written_whole(output) as folder:
        for category in CATEGORIES:
            (folder / category).mkdir()
        shown = progress(appearances, f"drawing {Path(output).name}", "images", quiet=quiet)
        for index, item in enumerate(shown):
            rng = np.random.default_rng([settings.seed, settings.part, len(CATEGORIES), index])
            Image.fromarray(paint(item, settings.size, rng)).save(folder / item.path)
        write_relevance(folder / RELEVANCE_FILE, appearances)
    return appearances


def write_relevance(path: str | os.PathLike[str], items: Iterable[Appearance]) -> None:
    """Write `path,class,hue,size,angle`, one image a line, whole or not at all."""
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows(items)


def read_relevance(path: str | os.PathLike[str]) -> list[Appearance]:
    """Read the file that `write_relevance` wrote.

    Raises:
        DeepRankingError: a line is not `path,class,hue,size,angle`; the message names it.
        OSError: the file cannot be read.
    """
    with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            if (header := next(rows, None)) != _HEADER:
                raise DeepRankingError(f"{path}, line 1: expected {','.join(_HEADER)}, found {header}")
            return [_appearance(row, f"{path}, line {rows.line_num}") for row in rows]
        except csv.Error as error:
            raise DeepRankingError(f"{path}, line {rows.line_num}: not CSV ({error})") from error


def appearance_distances(items: Sequence[Appearance]) -> np.ndarray:
    """Return how unlike the images look, pair by pair, whatever their classes.

    Hue (around the circle), size and angle differences, each divided by the greatest there can be, are the
    three coordinates of a Euclidean distance.

    Returns:
        (n, n) float64, 0 to sqrt(3), symmetric.

    Example:
        >>> a = Appearance("ring/a.png", "ring", 350, 0.4, 0)
        >>> b = Appearance("ring/b.png", "ring", 80, 0.4, 0)
        >>> print(appearance_distances([a, b])[0])
        [0.  0.5]
    """
    hue, size, angle = np.array([item[2:] for item in items], np.float64).reshape(-1, 3).T
    around = np.abs(hue[:, None] - hue) % 360
    parts = (
        np.minimum(around, 360 - around) / 180,
        (size[:, None] - size) / (SIZES[1] - SIZES[0]),
        (angle[:, None] - angle) / (ANGLES[1] - ANGLES[0]),
    )
    return np.sqrt(sum(part**2 for part in parts))


def within_class_triplets(
    items: Iterable[Appearance], per_query: int = 10, margin: float = 0.2, seed: int = 0
) -> Iterator[Triplet]:
    """Yield triplets whose three images share a class: the positive looks more like the query.

    Every image is a query. Of all the pairs of its class in which the negative is farther from it than the
    positive by `margin` at least, `per_query` are drawn (all, where there are fewer). This is the
    fine-grained order that triplets sampled from class names cannot teach or test.

    Args:
        items: the images, of any number of classes.
        per_query: the most triplets of one query.
        margin: in the units of `appearance_distances`; greater is easier.
        seed: of the random draw; the same seed gives the same triplets.

    Raises:
        DeepRankingError: `per_query` or `margin` is out of range.

    Example:
        >>> ring = [Appearance(f"ring/{hue}.png", "ring", hue, 0.5, 0) for hue in (0, 40, 120)]
        >>> for triplet in within_class_triplets(ring):
        ...     print(*triplet)
        ring/0.png ring/40.png ring/120.png
        ring/40.png ring/0.png ring/120.png
        ring/120.png ring/40.png ring/0.png
    """
    if per_query < 1 or not margin > 0:
        raise DeepRankingError(
            f"expected per_query >= 1 and margin > 0, found per_query={per_query}, margin={margin}"
        )
    rng = np.random.default_rng(seed)
    classes: dict[str, list[Appearance]] = {}
    for item in items:
        classes.setdefault(item.category, []).append(item)
    for members in classes.values():
        for query, distances in enumerate(appearance_distances(members)):
            clear = distances[None, :] - distances[:, None] >= margin
            clear[query] = clear[:, query] = False
            pairs = np.argwhere(clear)
            drawn = rng.permutation(len(pairs))[:per_query]
            for positive, negative in pairs[np.sort(drawn)]:
                yield Triplet(members[query].path, members[positive].path, members[negative].path)


def _appearance(row: list[str], place: str) -> Appearance:
    try:
        name, category, *numbers = row
        hue, size, angle = map(float, numbers)
        if not all(map(math.isfinite, (hue, size, angle))):
            raise ValueError
    except ValueError:
        raise DeepRankingError(f"{place}: expected a path, a class and three numbers, found {row}") from None
    return Appearance(name, category, hue, size, angle)
