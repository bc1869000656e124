"""What an approximate search promises, and what it is measured by: images that it does not hold.

An indexed image is too easy a question. It is in the structure, so a walk to it is a walk to its neighbours;
and where pictures lie there many times, its neighbours are its own copies, which any search finds. So some
vectors are held out with all that may be copies of them, and asked for before they are put in.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.search.exact import Exact, distances

PROMISED = 0.95
"""The recall@10 of an approximate search on new images; where it cannot be had, that is said."""

RECALL = 0.97
"""The recall@10 that is chosen for on a sample of such; above what is promised, to hold on others."""

MEASURED = 0.995
"""Up to this recall more and more is looked at, so that one can choose."""

SAMPLE = 1024
"""Of 256, among near-copies, of which all ten are found or none, the share found was off by 0.01 and more."""

NEIGHBOURS = 10

NEAR = 0.3
"""Of the usual distance: what is nearer may be a copy. As JPEG of quality 50, a photo moves by 0.21 of it."""

MOST_COPIES = 100
"""More than these so near are no copies but a class, drawn together by training."""

_SHARE = 8  # an eighth of all vectors is held out at most
_ROWS = 1 << 12  # compared with the sample at once
_ROUNDING = 1e-6  # a server's distances are float32

Curve = list[tuple[int, float]]
"""Of growing probes, `(probe, recall)`."""

logger = logging.getLogger(__name__)


class HeldOut(NamedTuple):
    """Vectors that stand for new images."""

    rows: NDArray[np.intp]
    """(m,): the rows that are asked for; m may be 0, where there are few in all."""
    held: NDArray[np.bool_]
    """(n,): they, and whatever may be a copy of one of them."""

    @classmethod
    def of(cls, matrix: NDArray[np.float32], seed: int = 0) -> "HeldOut":
        """Draw up to `SAMPLE` rows of (n, dimension) distinct vectors.

        What lies nearer than 0.3 of the usual distance may be a copy. Pictures are drawn, not their copies: a
        row with c copies is taken for 1/c of one.

        Example:
            >>> drawn = HeldOut.of(np.eye(80, dtype=np.float32))
            >>> len(drawn.rows), drawn.held.sum()
            (10, np.int64(10))
        """
        total, rng = len(matrix), np.random.default_rng(seed)
        held = np.zeros(total, bool)
        sample = rng.choice(total, min(total, 2 * SAMPLE), replace=False)
        if not (wanted := min(SAMPLE, total // _SHARE)):
            return cls(sample[:0], held)
        near = _near(matrix, sample)
        weights = 1 / np.maximum(1, [len(rows) for rows in near])
        order = rng.choice(len(sample), len(sample), replace=False, p=weights / weights.sum())
        chosen: list[np.intp] = []
        for number in order:
            copies = near[number] if len(near[number]) <= MOST_COPIES else []
            fits = np.count_nonzero(held) + max(1, len(copies)) <= total // _SHARE
            if len(chosen) < wanted and fits and not held[sample[number]]:
                chosen.append(sample[number])
                held[sample[number]] = True
                held[copies] = True
        return cls(np.array(chosen, np.intp), held)

    def truth(self, exact: Exact, times: NDArray[np.intp]) -> list[NDArray[np.float64]]:
        """Return for each the distances of the nearest images among what is not held out, ascending.

        Args:
            exact: over the distinct vectors.
            times: (n,): how many images have each of them.
        """
        queries, rest = np.ascontiguousarray(exact.matrix[self.rows]), np.flatnonzero(~self.held)
        found = exact.nearest(queries, NEIGHBOURS, rest)
        return [nearest_images(exact.matrix, *one, times) for one in zip(queries, found, strict=True)]


def nearest_images(
    matrix: NDArray[np.float32], query: NDArray[np.float32], rows: NDArray[np.intp], times: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the distances of the ten nearest images to a query, where a vector is that of `times` images.

    Ten images of which each is there four times are three vectors, which are found more often than ten.

    Example:
        >>> line = np.array([[1], [2], [4]], np.float32)
        >>> nearest_images(line, np.zeros(1, np.float32), np.array([1, 0]), times=np.array([2, 1, 1]))
        array([1., 1., 2.])
    """
    return np.sort(np.repeat(distances(matrix, rows, query), times[rows]))[:NEIGHBOURS]


def _near(matrix: NDArray[np.float32], sample: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return for each row of a sample those that may be copies of it, itself among them."""
    queries = np.ascontiguousarray(matrix[sample])
    usual = usual_distance(queries)
    centre = queries.mean(axis=0)  # so that rounding is small beside the spread
    queries -= centre
    bound = (np.einsum("ij,ij->i", queries, queries) - (NEAR * usual) ** 2) / 2
    found: list[list[NDArray[np.intp]]] = [[] for _ in sample]
    for start in range(0, len(matrix), _ROWS):
        some = matrix[start : start + _ROWS] - centre
        closeness = queries @ some.T - np.einsum("ij,ij->i", some, some) / 2
        for number in np.flatnonzero((closeness >= bound[:, None]).any(axis=1)):
            found[number].append(start + np.flatnonzero(closeness[number] >= bound[number]))
    return [np.concatenate([*rows, np.zeros(0, np.intp)]) for rows in found]


def usual_distance(vectors: NDArray[np.float32]) -> float:
    """Return the median distance of each of some vectors, in no order, to the one half of them further on."""
    if len(vectors) < 2:
        return 0.0
    others = np.roll(vectors, len(vectors) // 2, axis=0)
    return float(np.median(np.linalg.norm(vectors - others, axis=1)))


def worthwhile(share: float, cost: float) -> bool:
    """Tell whether a walk under a filter is faster than an exact search of what the filter leaves.

    Measured on embeddings: the walk's cost grows as the share shrinks, that of the exact search shrinks with
    it, and they meet where the share's square is `cost`: for HNSW ten times probe / n, for clusters a
    twentieth of the share of the clusters that are looked into. Rows that lie side by side, as a folder's, an
    exact search passes over without copying them: four times that, and for HNSW ten times.

    Args:
        share: of the rows that a filter leaves, 0..1; 1 for none.
        cost: of a search without a filter.
    """
    return share * share > cost


def grown_probe(probe: int, k: int, share: float, graph: bool = False) -> int:
    """Return the probe for k neighbours among a share of the rows.

    The ten nearest of a tenth of the rows lie as deep as a hundred of all, and of a class that is far from
    the query deeper still: measured, the square root of 1 / share finds 0.95 of rows at random, 1 / share
    0.98 of whole classes. Of 40 classes that are akin (a folder of animals) a graph, which has to be walked
    to where they are, then finds 0.93 only, and is given twice as much.

    Example:
        >>> grown_probe(20, 10, 1.0), grown_probe(20, 10, 0.25), grown_probe(20, 40, 1.0)
        (20, 80, 40)
        >>> grown_probe(20, 10, 1.0, graph=True), grown_probe(20, 10, 0.25, graph=True)
        (20, 160)
    """
    scattered = (2 if graph and share < 1 else 1) / max(share, 1e-9)
    return int(np.ceil(probe * max(1.0, k / NEIGHBOURS) ** 0.5 * scattered))


def recall_curve(
    truth: Sequence[NDArray[np.float64]],
    found: Callable[[int], Sequence[NDArray[np.float64]]],
    probes: tuple[int, int],
    target: float = MEASURED,
) -> Curve:
    """Return `(probe, recall)` for growing probes, up to the first that reaches `target`.

    Recall is the mean share of the nearest neighbours found. A neighbour as near as the last counts, so ties
    and copies do not matter.

    Args:
        truth: for each query, the distances of its nearest neighbours, ascending.
        found: gives, for a probe, the distances of what an approximate search finds.
        probes: the smallest and the largest.
        target: a recall.

    Example:
        >>> recall_curve([np.array([1.0, 2.0])], lambda probe: [np.array([1.0, 2.0][:probe])], (1, 5))
        [(1, 0.5), (2, 1.0)]
    """
    curve: Curve = []
    probe, largest_probe = probes
    while True:
        shares = [
            min(1.0, np.count_nonzero(near <= right[-1] * (1 + _ROUNDING)) / len(right))
            for near, right in zip(found(probe), truth, strict=True)
            if len(right)
        ]
        curve.append((probe, float(np.mean(shares)) if shares else 1.0))
        if curve[-1][1] >= target or probe >= largest_probe:
            return curve
        probe = min(max(probe + 1, probe * 5 // 4), largest_probe)


def chosen(curve: Curve, recall: float = RECALL) -> tuple[int, float]:
    """Return the smallest probe that finds so much, or the one that finds most, and what it finds.

    Example:
        >>> chosen([(16, 0.9), (20, 0.98), (25, 0.99)]), chosen([(16, 0.9), (20, 0.92)])
        ((20, 0.98), (20, 0.92))
    """
    return next((one for one in curve if one[1] >= recall), max(curve, key=lambda one: one[1]))


def warn_of_recall(kind: str, recall: float) -> None:
    """Say so where an approximate search finds fewer of the nearest than is promised."""
    if recall < PROMISED:
        logger.warning(
            "approximate: %s finds %.1f%% of the ten nearest among these vectors, and %.0f%% are promised; "
            "search exactly, or by another kind",
            kind, 100 * recall, 100 * PROMISED,
        )  # fmt: skip
