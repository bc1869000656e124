"""Relevance from class labels alone."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.triplets.relevance.interface import Relevance


class LabelRelevance(Relevance):
    """r(i, j) = 1 for two images of one class.

    The total relevance of an image is the size of its class less one. All pairs of a class are equal, so
    there is no in-class negative: only an `out_of_class_ratio` of 1 has triplets.

    Args:
        categories: integers, shape (n,): the class of each image.

    Example:
        >>> LabelRelevance([0, 0, 0, 1]).totals()
        array([2., 2., 2., 0.])
    """

    def __init__(self, categories: ArrayLike):
        super().__init__(categories, maximum=1)

    def _within(self, queries: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.ones(np.broadcast_shapes(queries.shape, others.shape))

    def smallest(self) -> NDArray[np.float64]:
        """Return ones."""
        return np.ones(len(self.categories))

    def totals(self) -> NDArray[np.float64]:
        """Return n_c - 1 for each image."""
        _, category, sizes = np.unique(self.categories, return_inverse=True, return_counts=True)
        return sizes[category].astype(np.float64) - 1
