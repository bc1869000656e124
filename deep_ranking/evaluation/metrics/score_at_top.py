"""Score-at-top-K: similarity precision where it is looked at, among the nearest images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.neighbours import NeighbourSearch
from deep_ranking.evaluation.metrics.triplets import similarity_precision, triplet_distances


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
    groups = np.asarray(groups)
    if groups.shape != (len(vectors),) or k < 1:
        raise DeepRankingError(
            f"expected one group for each of {len(vectors)} images and K of at least 1, "
            f"found groups of shape {groups.shape} and K = {k}"
        )
    names, group = np.unique(groups, return_inverse=True)
    in_top = np.zeros(len(triplets), bool)
    triplet_group = group[triplets[:, 0]]
    for name in range(len(names)):
        rows, members = np.flatnonzero(triplet_group == name), np.flatnonzero(group == name)
        if len(rows) and len(members) > 1:
            in_top[rows] = _in_top(vectors, triplets[rows], members, min(k, len(members) - 1))
    return np.where(in_top, np.where(right, 1, -1), 0).astype(np.int8)


def _in_top(
    vectors: NDArray[Any], triplets: NDArray[np.integer], members: NDArray[np.intp], k: int
) -> NDArray[np.bool_]:
    """Return whether a triplet's positive or negative is among the k members nearest to its query."""
    queries, query = np.unique(triplets[:, 0], return_inverse=True)
    search = NeighbourSearch(
        vectors[queries], vectors[members], leave_out=np.asarray(np.searchsorted(members, queries))
    )
    result = np.zeros(len(triplets), bool)
    for block, found in search.blocks(k):
        here = np.isin(query, block)
        nearest = members[found.indices][query[here] - block[0]]
        result[here] = (nearest[:, None, :] == triplets[here, 1:, None]).any(axis=(1, 2))
    return result
