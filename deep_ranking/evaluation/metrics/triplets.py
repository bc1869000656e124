"""Triplets: is the query nearer to its positive than to its negative?"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.distances import checked_vectors, squared_distances

_BLOCK = 2**12


class TripletDistances(NamedTuple):
    """Squared Euclidean distances of t triplets, shape (t,) each."""

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Whether positive and negative are equally near, shape (t,)."""
        return self.positive == self.negative


def triplet_distances(vectors: NDArray[Any], triplets: NDArray[np.integer]) -> TripletDistances:
    """Return the squared distances from each query to its positive and to its negative.

    They are taken from float64 differences, so a positive and a negative with equal vectors tie exactly.

    Args:
        vectors: shape (n, d), one row an image.
        triplets: shape (t, 3), the rows of query, positive and negative.

    Raises:
        DeepRankingError: vectors that are not finite, or triplets that are no rows of them.

    Example:
        >>> triplet_distances(np.array([[0.0], [1.0], [3.0]]), np.array([[0, 1, 2]]))
        TripletDistances(positive=array([1.]), negative=array([9.]))
    """
    vectors, triplets = checked_vectors(vectors, "vectors"), checked_triplets(triplets, len(vectors))
    result = TripletDistances(np.empty(len(triplets)), np.empty(len(triplets)))
    for start in range(0, len(triplets), _BLOCK):
        block = slice(start, start + _BLOCK)
        query, positive, negative = (vectors[rows] for rows in triplets[block].T)
        result.positive[block] = squared_distances(query, positive)
        result.negative[block] = squared_distances(query, negative)
    return result


def similarity_precision(distances: TripletDistances) -> NDArray[np.bool_]:
    """Return, for each triplet, whether it is ranked right: the positive strictly nearer than the negative.

    The mean is the similarity precision. A tie counts as wrong, so a network that gives every image the same
    vector ranks nothing right.

    Source: Wang et al. 2014, section 6.1.

    Example:
        >>> similarity_precision(TripletDistances(np.array([1.0, 2.0, 3.0]), np.array([9.0, 2.0, 1.0])))
        array([ True, False, False])
    """
    return distances.positive < distances.negative


def checked_triplets(triplets: NDArray[np.integer], images: int) -> NDArray[np.integer]:
    """Return triplets as an array of shape (t, 3), t at least 1, of rows 0 to images - 1.

    Raises:
        DeepRankingError: they are anything else.
    """
    triplets = np.asarray(triplets)
    if triplets.ndim != 2 or triplets.shape[1] != 3 or not len(triplets) or triplets.dtype.kind not in "iu":
        raise DeepRankingError(
            "expected triplets as whole numbers of shape (triplets, 3), at least one; "
            f"found {triplets.dtype} of shape {triplets.shape}"
        )
    if triplets.min() < 0 or triplets.max() >= images:
        raise DeepRankingError(
            f"expected triplets of rows 0 to {images - 1}, found {triplets.min()} to {triplets.max()}"
        )
    return triplets
