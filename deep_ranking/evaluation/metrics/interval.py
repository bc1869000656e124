"""How sure is a mean? Its bootstrap interval."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect

_BLOCK = 2**22  # weights drawn at once: 32 MiB


class Estimate(NamedTuple):
    """A measured value and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def bootstrap(
    scores: Mapping[str, NDArray[Any]], groups: NDArray[Any] | None = None, samples: int = 1000, seed: int = 0
) -> dict[str, Estimate]:
    """Return the mean of each kind of score, with its 95% percentile bootstrap interval.

    The queries are drawn again with replacement, as many as there are, `samples` times; the interval goes
    from the 2.5th to the 97.5th percentile of the means. All scores share the draws. With `groups`, whole
    groups are drawn (the cluster bootstrap): scores that share a query image or a text query vary together,
    and an interval that ignored it would be too narrow. With one query or one group nothing varies, and the
    interval is the value.

    Args:
        scores: for each name, shape (n,), one finite score a query.
        groups: shape (n,), the group of each query; each query its own where not given.
        samples: how many draws, at least 1.
        seed: the same seed gives the same interval.

    Raises:
        DeepRankingError: no scores, shapes that differ, or a score that is not finite.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Example:
        >>> bootstrap({"precision": np.array([1, 0, 1, 1])})["precision"]
        Estimate(value=0.75, low=0.25, high=1.0)
    """
    lengths = {np.shape(column) for column in scores.values()}
    expect("scores", len(lengths) == 1, "one score a query of each kind, in arrays of one length", lengths)
    table = np.column_stack([np.asarray(column, np.float64) for column in scores.values()])
    if not table.size or not np.isfinite(table).all() or samples < 1:
        raise DeepRankingError(
            f"expected at least one finite score and one draw, found scores of shape {table.shape}, "
            f"{samples} draws"
        )
    sums, sizes = table, np.ones(len(table))
    if groups is not None:
        if np.shape(groups) != (len(table),):
            raise DeepRankingError(
                f"expected one group for each of {len(table)} scores, found {np.shape(groups)}"
            )
        _, group = np.unique(groups, return_inverse=True)
        sizes = np.bincount(group).astype(np.float64)
        sums = np.column_stack([np.bincount(group, column) for column in table.T])
    try:
        random = np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise DeepRankingError(f"seed: expected a whole number of 0 or more, found {seed!r}") from error
    count = len(sums)
    draws = max(1, _BLOCK // count)
    means = []
    for start in range(0, samples, draws):
        chosen = random.integers(count, size=(min(draws, samples - start), count))
        weights = np.stack([np.bincount(row, minlength=count) for row in chosen]).astype(np.float64)
        means.append((weights @ sums) / (weights @ sizes)[:, None])
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    values = table.mean(axis=0)
    return {name: Estimate(float(values[i]), float(low[i]), float(high[i])) for i, name in enumerate(scores)}
