"""Triplets: is the query nearer to its positive than to its negative?"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.registry import Metric, Ranked, register_metric
from deep_ranking.search.exact import squared_distances
from deep_ranking.search.neighbours import NeighbourSearch
from deep_ranking.vectors import checked_vectors

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


def positive_ranks(vectors: NDArray[Any], triplets: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the rank, from 1, of each positive when its query is searched for among all other images.

    A triplet may be ranked right while its positive falls in the search that people look at.

    Args:
        vectors: shape (n, d), one row an image.
        triplets: shape (t, 3), the rows of query, positive and negative.

    Raises:
        DeepRankingError: vectors that are not finite, or triplets that are no rows of them.

    Example:
        >>> vectors = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> positive_ranks(vectors, np.array([[0, 1, 3], [0, 3, 1]]))
        array([1, 3])
    """
    search = NeighbourSearch(vectors, vectors, np.arange(len(vectors)))
    query, positive, _ = checked_triplets(triplets, len(vectors)).T
    return search.ranks(query, positive)


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
        found = f"{triplets.min()} to {triplets.max()}"
        raise DeepRankingError(f"expected triplets of rows 0 to {images - 1}, found {found}")
    return triplets


def score_at_top(
    vectors: NDArray[Any], triplets: NDArray[np.integer], groups: NDArray[Any], k: int
) -> NDArray[np.int8]:
    """Return, for each triplet, 1 where ranked right, -1 where wrong, 0 where far from the top.

    Score-at-top-K is their sum.

    A triplet counts where its positive or its negative is among the K nearest images of the query. These are
    sought among the images of the query's own group (the text query that found it, or its class), the query
    itself left out. The paper ranks 1,000 images a text query; here it is as many as the group has. A tie is
    wrong, as for the similarity precision.

    Args:
        vectors: shape (n, d), one row an image.
        triplets: shape (t, 3), the rows of query, positive and negative.
        groups: shape (n,), the group of each image.
        k: how deep to look; a smaller group is looked at whole.

    Raises:
        DeepRankingError: vectors that are not finite, triplets that are no rows of them, k below 1.

    Source: Wang et al. 2014, section 6.1.

    Example:
        >>> vectors = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> score_at_top(vectors, np.array([[0, 1, 3], [0, 3, 1], [0, 2, 3]]), np.zeros(4), k=1).tolist()
        [1, -1, 0]
    """
    right = similarity_precision(triplet_distances(vectors, triplets))
    return _at_top(Ranked(vectors, triplets, groups, right), k)


def _at_top(ranked: Ranked, k: int) -> NDArray[np.int8]:
    vectors, triplets, groups, right = ranked
    groups = np.asarray(groups)
    if groups.shape != (len(vectors),) or k < 1:
        raise DeepRankingError(
            f"expected one group for each of {len(vectors)} images and K of at least 1, "
            f"found groups of shape {groups.shape} and K = {k}"
        )
    in_top = np.zeros(len(triplets), bool)
    _, group = np.unique(groups, return_inverse=True)
    of_triplet = group[triplets[:, 0]]
    for number in np.unique(of_triplet):
        rows, members = np.flatnonzero(of_triplet == number), np.flatnonzero(group == number)
        if len(members) > 1:
            in_top[rows] = _in_top(vectors, triplets[rows], members, min(k, len(members) - 1))
    return np.where(in_top, np.where(right, 1, -1), 0).astype(np.int8)


def _in_top(
    vectors: NDArray[Any], triplets: NDArray[np.integer], members: NDArray[np.intp], k: int
) -> NDArray[np.bool_]:
    """Return whether a triplet's positive or negative is among the k members nearest to its query."""
    queries, query = np.unique(triplets[:, 0], return_inverse=True)
    own = np.asarray(np.searchsorted(members, queries))
    search = NeighbourSearch(vectors[queries], vectors[members], leave_out=own)
    result = np.zeros(len(triplets), bool)
    for block, found in search.blocks(k):
        here = np.isin(query, block)
        nearest = members[found.indices][query[here] - block[0]]
        result[here] = (nearest[:, None, :] == triplets[here, 1:, None]).any(axis=(1, 2))
    return result


for _metric in (
    Metric(
        "similarity_precision",
        lambda ranked: ranked.right,
        "1 where the positive is strictly nearer than the negative; a tie is wrong, and ties are counted",
        needs="triplets",
    ),
    Metric(
        "score_at_top_K",
        _at_top,
        "+1 right, -1 wrong, over the triplets whose positive or negative is among the K images of the "
        "query's group nearest to it; the sum is the score",
        needs="groups",
        total=True,
        counted="triplets_in_top_K",
    ),
):
    register_metric(_metric)
