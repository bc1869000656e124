"""Scores of ranked lists: was what the query found relevant?

Each takes `hits`, shape (n, k), bool: whether the image at each rank is relevant (of the query's class), and
returns shape (n,), float64 in 0..1, one score a query; the metric is their mean. `relevant`, shape (n,), is
R: how many relevant images the gallery holds for each query, the query itself not counted, at least 1.

Libraries disagree on these names. In all doctests below R = 3 and the ranked hits are 1 0 0 0 0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.registry import Metric, WholeRanking, register_metric

Hits = NDArray[np.bool_]
Counts = NDArray[np.integer]
Scores = NDArray[np.float64]


def precision_at(hits: Hits, k: int) -> Scores:
    """Return precision@K: the share of the first K images that is relevant.

    The denominator is K, where R < K too, so the best that can be reached is then R / K.

    Example:
        >>> precision_at(np.array([[True, False, False, False, False]]), k=5)
        array([0.2])
    """
    return np.asarray(_first(hits, k).mean(axis=1), np.float64)


def recall_at(hits: Hits, k: int) -> Scores:
    """Return Recall@K as metric learning means it: 1 where any of the first K images is relevant, else 0.

    Information retrieval means the share of the R relevant images that is among the first K, 1/3 here.
    Source: Jegou et al., Product Quantization for Nearest Neighbor Search, 2011; Oh Song et al. 2016.

    Example:
        >>> recall_at(np.array([[True, False, False, False, False]]), k=5)
        array([1.])
    """
    return np.asarray(_first(hits, k).any(axis=1), np.float64)


def r_precision(hits: Hits, relevant: Counts) -> Scores:
    """Return R-precision: the share of the first R images that is relevant.

    Example:
        >>> r_precision(np.array([[True, False, False, False, False]]), np.array([3])).round(3)
        array([0.333])
    """
    return _first_r(hits, relevant).sum(axis=1) / relevant


def map_at_r(hits: Hits, relevant: Counts) -> Scores:
    """Return average precision at R: the sum of precision@i over the ranks i <= R that are hits, over R.

    Its mean over the queries is MAP@R. It divides by R, not by the hits found, and looks no deeper than R.
    Source: Musgrave et al., A Metric Learning Reality Check, 2020, section 3.2.

    Example:
        >>> map_at_r(np.array([[True, False, False, False, False]]), np.array([3])).round(3)
        array([0.333])
    """
    hits = _first_r(hits, relevant)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return (precision * hits).sum(axis=1) / relevant


def average_precision(found: WholeRanking) -> Scores:
    """Return average precision: the mean, over all R relevant images, of the precision at the rank of each.

    The whole gallery is ranked, so each of the R has a rank, and the denominator is R. Others look at the
    first K alone, and then divide by R, by min(R, K), or by the relevant images among the K.
    Source: Manning et al., Introduction to Information Retrieval, 2008, section 8.4.

    Example:
        >>> average_precision(WholeRanking(np.array([1, 4, 8]), np.array([3]))).round(3)
        array([0.625])
    """
    ends = np.cumsum(found.relevant)
    first = np.repeat(ends - found.relevant, found.relevant)
    precision = (np.arange(len(found.ranks)) - first + 1) / found.ranks
    return np.add.reduceat(precision, ends - found.relevant) / found.relevant


def ndcg_at(hits: Hits, relevant: Counts, k: int) -> Scores:
    """Return NDCG@K: the sum of 1 / log2(1 + i) over the hits i <= K, over the most that R images can give.

    That is the sum for i from 1 to min(R, K). An image is relevant or not, so all gains are 0 or 1, and the
    gain 2^rel - 1 of others is the same.
    Source: Jarvelin and Kekalainen, Cumulated gain-based evaluation of IR techniques, 2002.

    Example:
        >>> ndcg_at(np.array([[True, False, False, False, False]]), np.array([3]), k=5).round(3)
        array([0.469])
    """
    gains = 1 / np.log2(np.arange(2, k + 2))
    return _first(hits, k) @ gains / gains.cumsum()[np.minimum(relevant, k) - 1]


def reciprocal_rank(hits: Hits) -> Scores:
    """Return 1 / the rank of the first relevant image; 0 where the list holds none.

    Its mean over the queries, on whole rankings, is the mean reciprocal rank.

    Example:
        >>> reciprocal_rank(np.array([[True, False, False], [False, False, True]])).round(3)
        array([1. , 0.333])
    """
    return hits.any(axis=1) / (1.0 + hits.argmax(axis=1))


def _first(hits: Hits, k: int) -> Hits:
    if not 1 <= k <= hits.shape[1]:
        raise DeepRankingError(f"expected K from 1 to {hits.shape[1]}, the images ranked; found K = {k}")
    return hits[:, :k]


def _first_r(hits: Hits, relevant: Counts) -> Hits:
    if relevant.min() < 1 or relevant.max() > hits.shape[1]:
        raise DeepRankingError(
            f"expected R from 1 to {hits.shape[1]}, the images ranked; "
            f"found {relevant.min()} to {relevant.max()}"
        )
    return hits & (np.arange(hits.shape[1]) < relevant[:, None])


def vote(labels: NDArray[Any], k: int) -> NDArray[Any]:
    """Return the class that most of the k nearest images have; of classes with equal votes, the nearer's.

    The nearer class is the one whose best-ranked image comes first. scikit-learn's KNeighborsClassifier takes
    the smaller label instead; the two agree wherever there is no tie.

    Args:
        labels: shape (n, at least k), the classes of the ranked images, nearest first.
        k: how many vote.

    Returns:
        Shape (n,), of the labels' type.

    Raises:
        DeepRankingError: k is not in 1..the images ranked.

    Example:
        >>> vote(np.array([["cat", "dog", "dog"], ["cat", "dog", "cow"]]), k=3).tolist()
        ['dog', 'cat']
    """
    if not 1 <= k <= labels.shape[1]:
        raise DeepRankingError(f"expected 1 to {labels.shape[1]} voters, the images ranked; found k = {k}")
    labels = labels[:, :k]
    votes = np.zeros(labels.shape, np.intp)
    for rank in range(k):
        votes += labels == labels[:, [rank]]
    return labels[np.arange(len(labels)), votes.argmax(axis=1)]


for _metric in (
    Metric("precision@K", lambda found, k: precision_at(found.hits, k), "relevant among the first K, over K"),
    Metric("recall@K", lambda found, k: recall_at(found.hits, k), "1 where any of the first K is relevant"),
    Metric(
        "r_precision",
        lambda found: r_precision(found.hits, found.relevant),
        "relevant among the first R, over R",
        spoken="R-precision",
    ),
    Metric(
        "map@r",
        lambda found: map_at_r(found.hits, found.relevant),
        "the sum of precision@i over the hits i <= R, over R",
        spoken="MAP@R",
    ),
    Metric(
        "average_precision",
        average_precision,
        "the mean of the precision at the ranks of all R relevant images, in the whole ranking",
        whole=True,
    ),
    Metric(
        "ndcg@K",
        lambda found, k: ndcg_at(found.hits, found.relevant, k),
        "the sum of 1 / log2(1 + i) over the hits i <= K, over the same sum for i <= min(R, K)",
        spoken="NDCG@{K}",
    ),
    Metric(
        "mean_reciprocal_rank",
        lambda found: reciprocal_rank(found.hits),
        "1 / rank of the first relevant image, in the whole ranking",
        beyond=lambda ranks: 1 / ranks,
    ),
    Metric(
        "knn_accuracy@K",
        lambda found, k: vote(found.classes, k) == found.wanted,
        "1 where most of the k nearest are of the query's class; of classes with equal votes, the one whose "
        "best image is nearer wins",
        numbers="voters",
        spoken="{K}-nearest-neighbour accuracy",
    ),
):
    register_metric(_metric)
