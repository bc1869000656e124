"""Colour histogram in CIE LAB."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deep_ranking.extras.handmade.feature import Feature, extra, stretched

_LOW = np.array([0.0, -50.0, -50.0])
_HIGH = np.array([100.0, 50.0, 50.0])


@dataclass(frozen=True)
class LabHistogram(Feature):
    """The share of the pixels in each cell of LAB space, square-rooted.

    L 0..100 and a, b -50..50 (stronger colours fall into the outer cells) are cut into equal cells.

    Args:
        bins: cells along L, a and b.

    Source: the paper's baseline "Color" (Wang et al. 2014, section 7.2), after Hafner et al. 1995; the
    paper does not give its bins.
    """

    name: ClassVar[str] = "color"
    bins: tuple[int, int, int] = (4, 10, 10)

    @property
    def dimension(self) -> int:
        """Cells along L times those along a and b."""
        return int(np.prod(self.bins))

    def compute(self, image: np.ndarray) -> np.ndarray:
        lab = extra("skimage.color", "scikit-image").rgb2lab(stretched(image))
        cells = np.floor((lab - _LOW) / (_HIGH - _LOW) * self.bins).astype(int)
        cells = np.clip(cells, 0, np.array(self.bins) - 1).reshape(-1, 3)
        counts = np.bincount(np.ravel_multi_index(tuple(cells.T), self.bins), minlength=self.dimension)
        return np.sqrt(counts / counts.sum()).astype(np.float32)
