"""All metrics at once, for the command line, the report and the callback."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics.interval import Estimate, bootstrap
from deep_ranking.evaluation.metrics.registry import (
    Ranked,
    Ranking,
    WholeRanking,
    readable,
    registered,
)
from deep_ranking.evaluation.metrics.triplets import similarity_precision, triplet_distances
from deep_ranking.search.exact import squared_distances
from deep_ranking.search.neighbours import NeighbourSearch

Labels = Sequence[Any] | NDArray[Any]


NOTHING_TO_FIND = (
    "no query has another image of its class in the gallery; expected the same class names in both"
)


@dataclass(frozen=True)
class Measurement:
    """Metrics by name, each with its 95% interval, and what they were counted over.

    `classes` has the means of each class's own queries, by class and name, where retrieval was measured. Of a
    class with few queries a mean says little; how many there are stands beside it as `queries`.
    """

    metrics: Mapping[str, Estimate]
    counts: Mapping[str, int]
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return what `json.dumps` takes: `{"metrics": {name: {"value", "low", "high"}}, "counts": {}}`."""
        return {
            "metrics": {name: estimate._asdict() for name, estimate in self.metrics.items()},
            "counts": dict(self.counts),
        }

    def __str__(self) -> str:
        return _aligned([[name, readable(name, estimate)] for name, estimate in self.metrics.items()])

    def _repr_html_(self) -> str:
        import deep_ranking  # what shows it lies above; it is asked for by its public name

        return str(deep_ranking.show(self)._repr_html_())


def measure_retrieval(
    queries: NDArray[Any],
    query_labels: Labels,
    gallery: NDArray[Any],
    gallery_labels: Labels,
    leave_out: NDArray[np.integer] | None = None,
    at: Sequence[int] = (1, 10),
    voters: Sequence[int] = (1, 30),
    seed: int = 0,
    whole: bool = False,
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
        at: the K of precision@K, Recall@K and NDCG@K.
        voters: the k of the k-nearest-neighbour accuracies (majority; see `vote` for ties).
        seed: of the intervals.
        whole: also what needs the place of every relevant image, `average_precision`; this ranks the whole
            gallery for each query.

    Returns:
        `precision@K`, `recall@K`, `r_precision`, `map@r`, `ndcg@K`, `mean_reciprocal_rank` (over whole
        rankings) and `knn_accuracy@k`; counts `queries` (measured), `lonely`, `gallery`; the same by class.

    Raises:
        DeepRankingError: arrays that do not fit each other, K beyond the gallery, or no query to measure.

    Example:
        >>> vectors = np.array([[0.0], [0.1], [1.0], [1.1]])
        >>> labels = ["cat", "cat", "dog", "dog"]
        >>> found = measure_retrieval(vectors, labels, vectors, labels, np.arange(4), at=[1, 2], voters=[1])
        >>> {name: estimate.value for name, estimate in found.metrics.items()}
        {'precision@1': 1.0, 'precision@2': 0.5, 'recall@1': 1.0, 'recall@2': 1.0, 'r_precision': 1.0,
         'map@r': 1.0, 'ndcg@1': 1.0, 'ndcg@2': 1.0, 'mean_reciprocal_rank': 1.0, 'knn_accuracy@1': 1.0}
        >>> found.classes["dog"]["precision@2"], found.classes["dog"]["queries"]
        (0.5, 2)
        >>> found.counts
        {'queries': 4, 'lonely': 0, 'gallery': 4}
    """
    for name, numbers in ("at", at), ("voters", voters):
        several = isinstance(numbers, Iterable) and not isinstance(numbers, str)
        whole_ones = several and all(isinstance(number, Integral) for number in numbers)
        expect(name, whole_ones, "several whole numbers", numbers)
    search = NeighbourSearch(queries, gallery, leave_out)
    query_classes, gallery_classes = _classes(query_labels, gallery_labels, search)
    relevant = np.bincount(gallery_classes, minlength=1 + query_classes.max())[query_classes]
    known = np.flatnonzero(search.leave_out >= 0)
    relevant[known] -= gallery_classes[search.leave_out[known]] == query_classes[known]
    measured = relevant > 0
    if not measured.any():
        raise DeepRankingError(NOTHING_TO_FIND)
    scores = _scores(search, query_classes, gallery_classes, relevant, {"at": at, "voters": voters})
    scores = {name: score[measured] for name, score in scores.items()}
    if whole:
        scores |= _whole_scores(search, np.flatnonzero(measured), query_classes, gallery_classes)
    found = int(measured.sum())
    counts = {"queries": found, "lonely": len(measured) - found, "gallery": len(search.gallery)}
    classes = _by_class(scores, np.asarray(query_labels)[measured])
    return Measurement(bootstrap(scores, seed=seed), counts, classes)


def _by_class(scores: Mapping[str, NDArray[Any]], labels: NDArray[Any]) -> dict[str, dict[str, float]]:
    """Return the mean of each score over the queries of each class."""
    names, classes = np.unique(labels, return_inverse=True)
    queries = np.bincount(classes)
    means = {name: (np.bincount(classes, score) / queries).tolist() for name, score in scores.items()}
    return {
        str(label): {"queries": count} | {name: mean[number] for name, mean in means.items()}
        for number, (label, count) in enumerate(zip(names.tolist(), queries.tolist(), strict=True))
    }


def _whole_scores(
    search: NeighbourSearch,
    rows: NDArray[np.intp],
    query_classes: NDArray[np.intp],
    gallery_classes: NDArray[np.intp],
) -> dict[str, NDArray[np.float64]]:
    """Return the scores, of some queries, of the metrics that need where every relevant image stands."""
    by_class = np.split(
        np.argsort(gallery_classes, kind="stable"), np.bincount(gallery_classes).cumsum()[:-1]
    )
    targets = [some[some != search.leave_out[row]] for row in rows for some in [by_class[query_classes[row]]]]
    ranks = search.ranks_of_all(rows, targets)
    found = WholeRanking(ranks, np.array([len(some) for some in targets]))
    wanted = [metric for metric in registered("retrieval") if metric.whole]
    return {name: score for metric in wanted for name, score in metric.scores(found, {}).items()}


def _scores(
    search: NeighbourSearch,
    query_classes: NDArray[np.intp],
    gallery_classes: NDArray[np.intp],
    relevant: NDArray[np.intp],
    numbers: dict[str, Sequence[int]],
) -> dict[str, NDArray[np.float64]]:
    """Return each metric's scores of all queries; those of one with nothing to find mean nothing."""
    blocks = []
    for rows, found in search.blocks(max([*numbers["at"], *numbers["voters"], int(relevant.max())])):
        classes, wanted = gallery_classes[found.indices], query_classes[rows]
        ranking = Ranking(classes == wanted[:, None], classes, wanted, np.maximum(relevant[rows], 1))
        block: dict[str, NDArray[Any]] = {"hits": np.any(ranking.hits, axis=1)}
        for metric in registered("retrieval"):
            block |= {} if metric.whole else metric.scores(ranking, numbers)
        blocks.append(block)
    scores = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    deeper = np.flatnonzero((relevant > 0) & ~scores.pop("hits"))
    targets = [_nearest_of_class(search, row, gallery_classes == query_classes[row]) for row in deeper]
    ranks = search.ranks(deeper, np.array(targets, np.intp))
    for metric in registered("retrieval"):
        if metric.beyond:
            scores[metric.name][deeper] = metric.beyond(ranks)
    return scores


def measure_triplets(
    vectors: NDArray[Any],
    triplets: NDArray[np.integer],
    groups: Labels | None = None,
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
    clusters = np.asarray(triplets)[:, 0]
    counts = {"triplets": len(clusters), "ties": int(distances.tied.sum())}
    needs = ["triplets"]
    if groups is not None:
        needs, groups = ["triplets", "groups"], np.asarray(groups)
    ranked = Ranked(np.asarray(vectors), np.asarray(triplets), groups, similarity_precision(distances))
    scores: dict[str, NDArray[Any]] = {}
    totals: list[str] = []
    for metric in registered(*needs):
        own = metric.scores(ranked, {"top": (top,)})
        scores |= own
        totals += own if metric.total else []
        if metric.counted:
            counts[metric.counted.replace("K", str(top))] = int(sum(map(np.count_nonzero, own.values())))
    if groups is not None:
        clusters = groups[clusters]
    metrics = bootstrap(scores, clusters, seed=seed)
    for name in totals:  # from the mean of a triplet to the sum
        metrics[name] = Estimate(*(len(clusters) * part for part in metrics[name]))
    return Measurement(metrics, counts)


def _classes(
    query_labels: Labels, gallery_labels: Labels, search: NeighbourSearch
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the labels as numbers from 0, the same in both."""
    expected = ((len(search.queries),), (len(search.gallery),))
    found = (np.shape(query_labels), np.shape(gallery_labels))
    if found != expected:
        raise DeepRankingError(f"expected one label an image, shapes {expected}; found {found}")
    labels = np.concatenate([query_labels, gallery_labels])
    for place, label in enumerate(labels.tolist()) if labels.dtype.kind in "Ofmc" else ():
        if _is_missing(label):
            count = len(query_labels)
            which = f"query_labels[{place}]" if place < count else f"gallery_labels[{place - count}]"
            raise DeepRankingError(
                f"{which}: expected a label, found {label!r}; leave out images without one"
            )
    try:
        _, classes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise DeepRankingError("expected labels of one kind, all texts or all numbers; found both") from error
    return classes[: expected[0][0]], classes[expected[0][0] :]


def _is_missing(label: Any) -> bool:
    try:
        return label is None or not bool(label == label)  # NaN, and what dates have in its place
    except TypeError:  # pandas' NA
        return True


def _nearest_of_class(search: NeighbourSearch, row: np.intp, of_class: NDArray[np.bool_]) -> np.intp:
    members = np.flatnonzero(of_class)
    members = members[members != search.leave_out[row]]
    return members[squared_distances(search.gallery[members], search.queries[row]).argmin()]


def table(results: Mapping[str, Measurement]) -> str:
    """Return a line a metric and a column for each that was measured.

    Example:
        >>> print(table({"model": Measurement({"recall@1": Estimate(0.5, 0.25, 1.0)}, {})}))
                  model
        recall@1  50.0% (25.0 to 100.0)
    """
    rows = [["", *results]]
    for name in dict.fromkeys(name for measured in results.values() for name in measured.metrics):
        rows.append([name, *(readable(name, measured.metrics[name]) for measured in results.values())])
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
