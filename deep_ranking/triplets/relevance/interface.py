"""What every source of relevance offers to the samplers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PAIRS_AT_ONCE = 1 << 16


class Relevance(ABC):
    """The pairwise relevance r(i, j) of n images, each known by its position 0..n-1.

    Only images of one category have a relevance above 0, and an image has none to itself, since the sums
    and draws of the paper leave it out (j ≠ i). A source defines `_within`; the rest follows from it.

    Attributes:
        categories: integers, shape (n,): c_i.
        maximum: no relevance is above it.
        reach: see `neighbours`; None where that returns None.

    Source: Wang et al. 2014, section 5.1.
    """

    def __init__(self, categories: ArrayLike, maximum: float):
        self.categories: NDArray[np.int64] = np.asarray(categories, np.int64)
        self.maximum = float(maximum)
        self.reach: NDArray[np.int64] | None = None

    @abstractmethod
    def _within(self, queries: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return r of positions that broadcast; a pair of two categories or of one image may get anything."""

    def __call__(self, queries: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
        """Return r(query, other) for positions that broadcast: float64, 0 or more."""
        queries, others = np.asarray(queries, np.int64), np.asarray(others, np.int64)
        related = (self.categories[queries] == self.categories[others]) & (queries != others)
        return np.where(related, self._within(queries, others), 0.0)

    def totals(self) -> NDArray[np.float64]:
        """Return each image's total relevance r_i, the sum over its category (eq. 6), shape (n,).

        The general way takes time quadratic in the size of a category and constant memory.
        """
        totals = np.zeros(len(self.categories))
        for members in self._members():
            rows = max(1, _PAIRS_AT_ONCE // len(members))
            for start in range(0, len(members), rows):
                queries = members[start : start + rows]
                totals[queries] = self(queries[:, None], members[None, :]).sum(axis=1)
        return totals

    def smallest(self) -> NDArray[np.float64]:
        """Return, for each image, a number that none of its relevances above 0 is below, shape (n,).

        It tells at once that a positive has no legal in-class negative. 0 is always right.
        """
        return np.zeros(len(self.categories))

    def neighbours(self, queries: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return all images relevant to each of m queries, (m, k), filled up with the query itself.

        None where they may be the whole category. A source that lists them also says in `reach`, shape (n,),
        how many each image has.
        """
        return None

    def _members(self) -> Iterator[NDArray[np.int64]]:
        """Yield the positions of each category that has images."""
        order = np.argsort(self.categories, kind="stable")
        if len(order):
            yield from np.split(order, np.flatnonzero(np.diff(self.categories[order])) + 1)
