"""The relevance of some of the images."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.triplets.relevance.interface import Relevance


class SubsetRelevance(Relevance):
    """r(i, j) of the images at some positions of a whole, such as those that a reservoir holds.

    Args:
        whole: the relevance of all images.
        positions: integers, shape (n,): which of them, in the order in which they are known here.

    Example:
        >>> from deep_ranking.triplets.relevance import LabelRelevance
        >>> SubsetRelevance(LabelRelevance([0, 1, 0, 0]), [3, 1, 0])(0, [1, 2])
        array([0., 1.])
    """

    def __init__(self, whole: Relevance, positions: ArrayLike):
        self._whole, self._positions = whole, np.asarray(positions, np.int64)
        super().__init__(whole.categories[self._positions], whole.maximum)

    def _within(self, queries: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        return self._whole(self._positions[queries], self._positions[others])

    def smallest(self) -> NDArray[np.float64]:
        """Return what the whole does: with fewer images, none is below it."""
        return self._whole.smallest()[self._positions]
