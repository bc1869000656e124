"""The metrics by name, each with its definition: what is measured, shown and documented stands here."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics.interval import Estimate


class Ranking(NamedTuple):
    """What n queries found, the nearest first, and R, how many images of their class there are to find."""

    hits: NDArray[np.bool_]
    """(n, depth): whether the image at each rank is of the query's class."""
    classes: NDArray[np.intp]
    """(n, depth): the class of the image at each rank, a number."""
    wanted: NDArray[np.intp]
    """(n,): the query's class."""
    relevant: NDArray[np.intp]
    """(n,): R, at least 1 and at most the depth."""


class WholeRanking(NamedTuple):
    """At which ranks n queries find all the images of their class, in the ranking of the whole gallery."""

    ranks: NDArray[np.intp]
    """(sum of R,): from 1, ascending; the R of the first query, then those of the second, ..."""
    relevant: NDArray[np.intp]
    """(n,): R, at least 1."""


class Ranked(NamedTuple):
    """t triplets, and the vectors that rank them."""

    vectors: NDArray[Any]
    """(n, d), one row an image."""
    triplets: NDArray[np.integer]
    """(t, 3): the rows of query, positive and negative."""
    groups: NDArray[Any] | None
    """(n,): the text query or the class of each image."""
    right: NDArray[np.bool_]
    """(t,): whether the positive is strictly nearer than the negative."""


@dataclass(frozen=True)
class Metric:
    """A metric.

    Args:
        name: where it ends with K, a number stands there: `precision@K` is asked for as `precision@5`.
        score: gives one finite score a query from a `Ranking` (a `WholeRanking`, if `whole`), or a triplet
            from a `Ranked`, and from K if the name has one; the metric is their mean.
        definition: of one query's or triplet's score, in words.
        needs: `retrieval` for queries and a gallery, `triplets`, or `groups` for triplets whose images have
            a class.
        numbers: which K are measured where none is asked for, by the argument of `measure_retrieval` or
            `measure_triplets`: `at`, `voters` or `top`; "": as the name and `needs` have it.
        beyond: the score where no relevant image is within the depth of the ranking, from its rank, (m,).
        whole: where all the images of the query's class stand has to be known, so it is measured only when
            it is asked for.
        total: the metric is the sum of the scores, not their mean.
        counted: the name under which the scores that are not 0 are counted; "": they are not.
        spoken: how it is said on a page, `{K}` for the number; "": as the name.

    Raises:
        DeepRankingError: the name or what it needs is none.

    Example:
        >>> Metric("first wrong", lambda ranking: ~ranking.hits[:, 0], "1 where the nearest is wrong")
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: name: expected letters, figures, _ and @, ... 'first wrong'
    """

    name: str
    score: Callable[..., NDArray[Any]]
    definition: str
    needs: Literal["retrieval", "triplets", "groups"] = "retrieval"
    numbers: Literal["", "at", "voters", "top"] = ""
    beyond: Callable[[NDArray[np.intp]], NDArray[Any]] | None = None
    whole: bool = False
    total: bool = False
    counted: str = ""
    spoken: str = ""

    def __post_init__(self) -> None:
        named = isinstance(self.name, str) and re.fullmatch("[a-z][a-z0-9_@]*K?", self.name)
        sound = bool(named) and not _NUMBER.search(self.name)
        expect("name", sound, "letters, figures, _ and @, a K and no number at the end", self.name)
        expect("needs", self.needs in _NEEDS, f"one of {', '.join(_NEEDS)}", self.needs)
        expect("score", callable(self.score), "a function", self.score)
        if self.name.endswith("K") and not self.numbers:
            object.__setattr__(self, "numbers", "at" if self.needs == "retrieval" else "top")

    def scores(
        self, found: Ranking | WholeRanking | Ranked, numbers: dict[str, Any]
    ) -> dict[str, NDArray[np.float64]]:
        """Return the scores by name, for each K of the argument that this metric takes its K from."""
        if not self.numbers:
            return {self.name: np.asarray(self.score(found), np.float64)}
        stem, ks = self.name.removesuffix("K"), numbers[self.numbers]
        return {f"{stem}{k}": np.asarray(self.score(found, k), np.float64) for k in ks}


_NEEDS = ("triplets", "groups", "retrieval")
_NUMBER = re.compile(r"(?<=[@_])[1-9][0-9]*$")
_METRICS: dict[str, Metric] = {}


def register_metric(metric: Metric) -> Metric:
    """Add a metric to what is measured: `measure_retrieval`, `measure_triplets`, `evaluate`, the report.

    Returns:
        The metric.

    Raises:
        DeepRankingError: there is another of this name.

    Example:
        >>> register_metric(Metric("precision@K", lambda ranking, k: ranking.hits[:, k - 1], "a hit at K"))
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: precision@K: there is such a metric; give this one another name
    """
    # From the same place it is the same one: a cell of a notebook that is run again.
    if _place(_METRICS.get(metric.name, metric)) != _place(metric):
        raise DeepRankingError(f"{metric.name}: there is such a metric; give this one another name")
    _METRICS[metric.name] = metric
    return metric


def _place(metric: Metric) -> tuple[Any, Any]:
    return getattr(metric.score, "__module__", None), getattr(metric.score, "__qualname__", metric.score)


def registered(*needs: str) -> list[Metric]:
    """Return the metrics that need one of these, in the order in which they came; without any, all."""
    return [metric for need in needs or _NEEDS for metric in _METRICS.values() if metric.needs == need]


def find(name: str) -> tuple[Metric, int | None]:
    """Return the metric that a name with a number means, and the number.

    Raises:
        DeepRankingError: there is none.

    Example:
        >>> metric, k = find("knn_accuracy@30")
        >>> metric.name, k
        ('knn_accuracy@K', 30)
    """
    number = _NUMBER.search(name)
    metric = _METRICS.get(_NUMBER.sub("K", name.replace("K", "?")))  # a K is no number
    if metric is None:
        names = ", ".join(metric.name for metric in registered())
        raise DeepRankingError(f"{name}: expected a metric of {names}, with a number for K")
    return metric, int(number[0]) if number else None


def readable(name: str, estimate: Estimate) -> str:
    """Return a metric's value and interval: shares in per cent, a sum as it is.

    Example:
        >>> readable("recall@1", Estimate(0.5, 0.25, 1.0))
        '50.0% (25.0 to 100.0)'
        >>> readable("score_at_top_30", Estimate(1234.0, 1.6, 2000.0))
        '1,234 (2 to 2,000)'
    """
    if find(name)[0].total:
        return f"{estimate.value:,.0f} ({estimate.low:,.0f} to {estimate.high:,.0f})"
    value, low, high = (100 * part for part in estimate)
    return f"{value:.1f}% ({low:.1f} to {high:.1f})"


def spoken(name: str) -> str:
    """Return a metric's name as it is said.

    Example:
        >>> spoken("knn_accuracy@30"), spoken("map@r"), spoken("recall@10")
        ('30-nearest-neighbour accuracy', 'MAP@R', 'Recall@10')
    """
    metric, k = find(name)
    return metric.spoken.format(K=k) or name.replace("_", " ").capitalize()
