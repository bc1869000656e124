"""Histograms of oriented gradients."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deep_ranking.extras.handmade.feature import SIDE, Feature, extra, stretched


@dataclass(frozen=True)
class Hog(Feature):
    """Histograms of the gradients' orientations in square cells, normalized over blocks of 2x2 cells.

    The whole is divided by the root of the number of blocks, so that its squared norm is 1 at most.

    Args:
        orientations: bins over 0..180 degrees.
        cell: side of a cell in pixels, of an image of 128 x 128.

    Source: Dalal and Triggs 2005; the paper's baseline "HOG".
    """

    name: ClassVar[str] = "hog"
    orientations: int = 9
    cell: int = 16

    @property
    def dimension(self) -> int:
        """Blocks times 4 cells times orientations."""
        return (SIDE // self.cell - 1) ** 2 * 4 * self.orientations

    def compute(self, image: np.ndarray) -> np.ndarray:
        vector = extra("skimage.feature", "scikit-image").hog(
            stretched(image),
            orientations=self.orientations,
            pixels_per_cell=(self.cell, self.cell),
            cells_per_block=(2, 2),
            channel_axis=-1,
        )
        return (vector / (SIDE // self.cell - 1)).astype(np.float32)
