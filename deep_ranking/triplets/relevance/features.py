"""Relevance from distances between feature vectors."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.relevance.interface import Relevance


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
        if metric not in ("euclidean", "manhattan"):
            raise DeepRankingError(f"metric: expected euclidean or manhattan, found {metric!r}")
        if not (np.isfinite(scale) and scale > 0):
            raise DeepRankingError(f"scale: expected a distance above 0, found {scale}")
        weights = dict.fromkeys(features, 1.0) if weights is None else weights
        for name, weight in weights.items():
            if name not in features:
                raise DeepRankingError(f"a weight for {name!r}, but the features are: {', '.join(features)}")
            if not (np.isfinite(weight) and weight >= 0):
                raise DeepRankingError(f"weight of {name!r}: expected a number of 0 or more, found {weight}")
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
