"""All metrics at once, for the command line, the report and the callback."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import retrieval
from deep_ranking.evaluation.metrics.interval import Estimate, bootstrap
from deep_ranking.evaluation.metrics.retrieval import vote
from deep_ranking.evaluation.metrics.triplets import score_at_top, similarity_precision, triplet_distances
from deep_ranking.search.exact import squared_distances
from deep_ranking.search.neighbours import NeighbourSearch


@dataclass(frozen=True)
class Measurement:
    """Metrics by name, each with its 95% interval, and what they were counted over."""

    metrics: Mapping[str, Estimate]
    counts: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return what `json.dumps` takes: `{"metrics": {name: {"value", "low", "high"}}, "counts": {}}`."""
        return {
            "metrics": {name: estimate._asdict() for name, estimate in self.metrics.items()},
            "counts": dict(self.counts),
        }


def measure_retrieval(
    queries: NDArray[Any],
    query_labels: Sequence[Any] | NDArray[Any],
    gallery: NDArray[Any],
    gallery_labels: Sequence[Any] | NDArray[Any],
    leave_out: NDArray[np.integer] | None = None,
    at: Sequence[int] = (1, 10),
    voters: Sequence[int] = (1, 30),
    seed: int = 0,
) -> Measurement:
    """Measure how well each query finds the gallery images of its own class, by Euclidean distance.

    A query whose class the gallery does not hold (besides itself) can find nothing: it is left out of all
    metrics and counted as `lonely`.

    Args:
        queries: shape (n, d).
        query_labels: length n, the class of each.
        gallery: shape (m, d); the same array as `queries` is taken once.
        gallery_labels: length m.
        leave_out: shape (n,), the gallery row that is the query itself, or -1; see `NeighbourSearch`.
        at: the K of precision@K and Recall@K.
        voters: the k of the k-nearest-neighbour accuracies (majority; see `vote` for ties).
        seed: of the intervals.

    Returns:
        `precision@K`, `recall@K`, `r_precision`, `map@r`, `mean_reciprocal_rank` (over whole rankings) and
        `knn_accuracy@k`; counts `queries` (measured), `lonely`, `gallery`.

    Raises:
        DeepRankingError: arrays that do not fit each other, K beyond the gallery, or no query to measure.

    Example:
        >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]])
        >>> labels = ["cat", "cat", "dog", "dog"]
        >>> found = measure_retrieval(
        ...     vectors, labels, vectors, labels, leave_out=np.arange(4), at=[1, 2], voters=[1]
        ... )
        >>> {name: estimate.value for name, estimate in found.metrics.items()}
        {'precision@1': 1.0, 'precision@2': 0.5, 'recall@1': 1.0, 'recall@2': 1.0, 'r_precision': 1.0,
         'map@r': 1.0, 'mean_reciprocal_rank': 1.0, 'knn_accuracy@1': 1.0}
        >>> found.counts
        {'queries': 4, 'lonely': 0, 'gallery': 4}
    """
    search = NeighbourSearch(queries, gallery, leave_out)
    query_classes, gallery_classes = _classes(query_labels, gallery_labels, search)
    relevant = np.bincount(gallery_classes, minlength=1 + query_classes.max())[query_classes]
    known = np.flatnonzero(search.leave_out >= 0)
    relevant[known] -= gallery_classes[search.leave_out[known]] == query_classes[known]
    measured = relevant > 0
    if not measured.any():
        raise DeepRankingError(
            "no query has another image of its class in the gallery; expected the same class names in both"
        )
    blocks = []
    for rows, found in search.blocks(max(*at, *voters, int(relevant.max()))):
        classes, wanted, r = (
            gallery_classes[found.indices],
            query_classes[rows],
            np.maximum(relevant[rows], 1),
        )
        hits = classes == wanted[:, None]
        blocks.append(
            {f"precision@{k}": retrieval.precision_at(hits, k) for k in at}
            | {f"recall@{k}": retrieval.recall_at(hits, k) for k in at}
            | {"r_precision": retrieval.r_precision(hits, r), "map@r": retrieval.map_at_r(hits, r)}
            | {"mean_reciprocal_rank": retrieval.reciprocal_rank(hits)}
            | {f"knn_accuracy@{k}": (vote(classes, k) == wanted).astype(np.float64) for k in voters}
        )
    scores = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    deeper = np.flatnonzero(measured & (scores["mean_reciprocal_rank"] == 0))
    targets = [_nearest_of_class(search, row, gallery_classes == query_classes[row]) for row in deeper]
    scores["mean_reciprocal_rank"][deeper] = 1 / search.ranks(deeper, np.array(targets, np.intp))
    metrics = bootstrap({name: score[measured] for name, score in scores.items()}, seed=seed)
    counts = {
        "queries": int(measured.sum()),
        "lonely": int((~measured).sum()),
        "gallery": len(search.gallery),
    }
    return Measurement(metrics, counts)


def measure_triplets(
    vectors: NDArray[Any],
    triplets: NDArray[np.integer],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    top: int = 30,
    seed: int = 0,
) -> Measurement:
    """Measure how many triplets are ranked right.

    Args:
        vectors: shape (n, d), one row an image.
        triplets: shape (t, 3), the rows of query, positive and negative.
        groups: length n, the text query or the class of each image; without it there is no score-at-top-K.
        top: the K of score-at-top-K; the paper's is 30.
        seed: of the intervals. Whole groups are drawn for them, or, without groups, all triplets of a query.

    Returns:
        `similarity_precision`, the share of triplets ranked right, ties counted as wrong; `score_at_top_K`,
        those ranked right minus those ranked wrong among the triplets whose positive or negative is in the
        query's top K (a number of triplets, as in the paper's table 1, ties again wrong); counts `triplets`,
        `ties`, and `triplets_in_top_K`.

    Source: Wang et al. 2014, section 6.1.

    Example:
        >>> vectors = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> found = measure_triplets(vectors, np.array([[0, 1, 3], [0, 3, 2]]), groups=["sea"] * 4, top=1)
        >>> found.metrics["similarity_precision"].value, found.metrics["score_at_top_1"].value
        (0.5, 1.0)
        >>> found.counts
        {'triplets': 2, 'ties': 0, 'triplets_in_top_1': 1}
    """
    distances = triplet_distances(vectors, triplets)
    scores: dict[str, NDArray[Any]] = {"similarity_precision": similarity_precision(distances)}
    clusters = np.asarray(triplets)[:, 0]
    counts = {"triplets": len(clusters), "ties": int(distances.tied.sum())}
    score_name = f"score_at_top_{top}"
    if groups is not None:
        groups = np.asarray(groups)
        scores[score_name] = score_at_top(vectors, triplets, groups, top)
        counts[f"triplets_in_top_{top}"] = int(np.count_nonzero(scores[score_name]))
        clusters = groups[clusters]
    metrics = bootstrap(scores, clusters, seed=seed)
    if groups is not None:  # from the mean of a triplet to the paper's sum
        metrics[score_name] = Estimate(*(len(clusters) * part for part in metrics[score_name]))
    return Measurement(metrics, counts)


def _classes(
    query_labels: Sequence[Any] | NDArray[Any],
    gallery_labels: Sequence[Any] | NDArray[Any],
    search: NeighbourSearch,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the labels as numbers from 0, the same in both."""
    expected = ((len(search.queries),), (len(search.gallery),))
    found = (np.shape(query_labels), np.shape(gallery_labels))
    if found != expected:
        raise DeepRankingError(f"expected one label an image, shapes {expected}; found {found}")
    _, classes = np.unique(np.concatenate([query_labels, gallery_labels]), return_inverse=True)
    return classes[: expected[0][0]], classes[expected[0][0] :]


def _nearest_of_class(search: NeighbourSearch, row: np.intp, of_class: NDArray[np.bool_]) -> np.intp:
    members = np.flatnonzero(of_class)
    members = members[members != search.leave_out[row]]
    return members[squared_distances(search.gallery[members], search.queries[row]).argmin()]


def readable(name: str, estimate: Estimate) -> str:
    """Return a metric's value and interval: shares in per cent, the score at top K in triplets.

    Example:
        >>> readable("recall@1", Estimate(0.5, 0.25, 1.0))
        '50.0% (25.0 to 100.0)'
        >>> readable("score_at_top_30", Estimate(1234.0, 1.6, 2000.0))
        '1,234 (2 to 2,000)'
    """
    if name.startswith("score_at_top"):
        return f"{estimate.value:,.0f} ({estimate.low:,.0f} to {estimate.high:,.0f})"
    value, low, high = (100 * part for part in estimate)
    return f"{value:.1f}% ({low:.1f} to {high:.1f})"


def table(results: Mapping[str, Measurement]) -> str:
    """Return a line a metric and a column for each that was measured.

    Example:
        >>> print(table({"model": Measurement({"recall@1": Estimate(0.5, 0.25, 1.0)}, {})}))
                  model
        recall@1  50.0% (25.0 to 100.0)
    """
    names = list(dict.fromkeys(name for measured in results.values() for name in measured.metrics))
    rows = [["", *results]]
    for name in names:
        rows.append([name, *(readable(name, measured.metrics[name]) for measured in results.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
