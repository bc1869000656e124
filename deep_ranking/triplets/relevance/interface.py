"""What every source of relevance offers to the samplers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError, expect

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


class SubsetRelevance(Relevance):
    """r(i, j) of the images at some positions of a whole, such as those that a reservoir holds.

    Args:
        whole: the relevance of all images.
        positions: integers, shape (n,): which of them, in the order in which they are known here.

    Example:
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


class FeatureRelevance(Relevance):
    """r(i, j) = exp(-d(i, j) / scale) within a category, d a weighted sum of distances between features.

    d(i, j) = sum over the features f of weight_f * D_f(i, j). D_f is the Euclidean distance of the two
    vectors, or the sum of absolute differences ("manhattan"), which suits histograms. Relevance is in (0, 1],
    and 1 for equal vectors.

    Args:
        categories: integers, shape (n,).
        features: a matrix of shape (n, dimension) for each name.
        weights: a number of 0 or more for each name; every feature counts 1 where left out.
        scale: the distance at which relevance has fallen to 1/e; see `typical_distance`.
        metric: "euclidean" or "manhattan".

    Raises:
        DeepRankingError: shapes, weights or scale do not fit.

    Example:
        >>> relevance = FeatureRelevance([0, 0, 1], {"colour": [[0.0], [2.0], [2.0]]}, scale=2)
        >>> relevance([0, 0], [1, 2]).round(3)
        array([0.368, 0.   ])

    Source: the golden feature of Wang et al. 2014, section 6.1, is such a weighted combination.
    """

    def __init__(
        self,
        categories: ArrayLike,
        features: Mapping[str, ArrayLike],
        weights: Mapping[str, float] | None = None,
        scale: float = 1.0,
        metric: str = "euclidean",
    ):
        super().__init__(categories, maximum=1)
        expect("metric", metric in ("euclidean", "manhattan"), "euclidean or manhattan", metric)
        expect("scale", 0 < scale < np.inf, "a distance above 0", scale)
        weights = dict.fromkeys(features, 1.0) if weights is None else weights
        for name, weight in weights.items():
            if name not in features:
                raise DeepRankingError(f"a weight for {name!r}, but the features are: {', '.join(features)}")
            expect(f"weight of {name!r}", 0 <= weight < np.inf, "a number of 0 or more", weight)
        if not any(weights.values()):
            raise DeepRankingError("expected at least one feature with a weight above 0, found none")
        self.scale, self.metric = scale, metric
        self._features = []
        for name, weight in weights.items():
            matrix = np.asarray(features[name])
            if matrix.ndim != 2 or len(matrix) != len(self.categories):
                raise DeepRankingError(
                    f"feature {name!r}: expected a row for each of {len(self.categories)} images, "
                    f"found shape {matrix.shape}"
                )
            if weight:
                self._features.append((weight, matrix.astype(np.float32, copy=False)))

    def distances(self, queries: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
        """Return d(query, other) for positions that broadcast, of one category or not."""
        queries, others = np.asarray(queries), np.asarray(others)
        total = np.zeros(np.broadcast_shapes(queries.shape, others.shape))
        for weight, matrix in self._features:
            difference = matrix.take(queries, axis=0) - matrix.take(others, axis=0)
            if self.metric == "euclidean":
                total += weight * np.sqrt(np.einsum("...d,...d->...", difference, difference))
            else:
                total += weight * np.abs(difference).sum(axis=-1)
        return total

    def _within(self, queries: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.exp(self.distances(queries, others) / -self.scale)


def typical_distance(relevance: FeatureRelevance, seed: int = 0, pairs: int = 10_000) -> float:
    """Return the median distance over random pairs of one category: a scale that spreads relevance.

    Raises:
        DeepRankingError: no category has two images, or the median is 0.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(relevance.categories, kind="stable")
    _, start, size = np.unique(relevance.categories[order], return_index=True, return_counts=True)
    start, size = start[size > 1], size[size > 1]
    if not len(size):
        raise DeepRankingError("expected a category of two images or more, found none")
    category = rng.choice(len(size), pairs, p=size / size.sum())
    first = rng.integers(0, size[category])
    second = (first + rng.integers(1, size[category])) % size[category]
    distance = np.median(relevance.distances(order[start[category] + first], order[start[category] + second]))
    if not distance > 0:
        raise DeepRankingError("half of the pairs of one category have equal features; set the scale by hand")
    return float(distance)
