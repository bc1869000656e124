"""A small fine-grained data set drawn by code, whose true relevance is known."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from deep_ranking.datasets.folder import folder_written_whole
from deep_ranking.datasets.paint import paint
from deep_ranking.datasets.patterns import SHAPES, TEXTURES
from deep_ranking.datasets.relevance import ANGLES, RELEVANCE_FILE, SIZES, Appearance, write_relevance
from deep_ranking.errors import DeepRankingError
from deep_ranking.progress import progress

CATEGORIES = (*SHAPES, *TEXTURES)
"""The classes: they differ in kind, so that a class-level ranking can be tested."""


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
            value = getattr(self, name)
            if not low <= value <= high:
                raise DeepRankingError(f"{name}: expected {low} to {high}, found {value}")


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
        for index, item in enumerate(
            progress(appearances, f"drawing {Path(output).name}", "images", quiet=quiet)
        ):
            rng = np.random.default_rng([settings.seed, settings.part, len(CATEGORIES), index])
            Image.fromarray(paint(item, settings.size, rng)).save(folder / item.path)
        write_relevance(folder / RELEVANCE_FILE, appearances)
    return appearances
