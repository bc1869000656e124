"""Exact neighbours: of one query at the speed of the memory, of many at that of the processor.

The bounds of `search.bounds` leave each query a few rows more than it asks for; what ranks these is always
the distance itself, from differences in float64.
"""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import repeat
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deep_ranking.search.bounds import Block, Bounds, Floats

Rows = slice | np.ndarray | None
"""Which rows of the matrix may be found: a range, an array of row numbers, or (None) all."""


class Sketch(Protocol):
    """Says by other means which few rows can be among the nearest (`codes.Codes`)."""

    def few(
        self, matrix: Floats, query: Floats, k: int, rows: Rows, gone: NDArray[np.intp] | None
    ) -> NDArray[np.intp] | None:
        """Return rows that hold the nearest of one query, or None where it cannot."""

    def blocks(
        self,
        matrix: Floats,
        queries: Floats,
        k: int,
        rows: slice | NDArray[np.bool_] | None,
        gone: NDArray[np.intp] | None,
    ) -> Iterator[tuple[slice, Block]]:
        """Yield the bounds of some of many queries, from the first on, as far as it can."""


_NUMBERS = 2**17  # numbers of float64 worked on at once, so that they stay in a core's cache
_FEW = 2**14  # numbers
_FEW_ROWS = 2**6  # beyond k, of which the distances are computed as they are
_PART = 2**18  # numbers of a matrix multiplied by one query at once: 1 MiB, which it reads again and again
_CACHED = 2**22  # numbers; more are in no cache, and a product for each row, which reads it once, is faster
_LONG = 64  # coordinates that are worth a product of their own
_GATHER_SHARE = 8
"""Above an eighth of the rows, passing over all of them is faster than copying the allowed ones together."""


class Exact:
    """Search every row of a matrix where it lies.

    Args:
        matrix: (n, dimension) float32, in memory or mapped.
        sketch: returns a sketch of the rows to so many queries, or None.
    """

    def __init__(self, matrix: np.ndarray, sketch: Callable[[int], Sketch | None] | None = None):
        self.matrix, self._sketch = matrix, sketch
        self._all: Exact | None = None  # of which this is all but some rows
        self._gone: NDArray[np.intp] | None = None

    @cached_property
    def bounds(self) -> Bounds:
        """Bounds of the closeness of each row; to make them reads every row once."""
        if self._all is None or self._gone is None:
            return Bounds(self.matrix)
        return self._all.bounds.without(self._gone)

    @cached_property
    def _there(self) -> NDArray[np.bool_] | None:
        if self._gone is None:
            return None
        there = np.ones(len(self.matrix), bool)
        there[self._gone] = False
        return there

    def without(self, gone: NDArray[np.intp]) -> "Exact":
        """Return the same search, where some rows are as far as can be.

        They come last, where k is larger than the number of the others; then the caller drops them.

        Example:
            >>> line = Exact(np.array([[0], [1], [4], [9]], np.float32)).without(np.array([1]))
            >>> line.nearest(np.array([[1]], np.float32), 1)
            [array([0])]
        """
        other = Exact(self.matrix, self._sketch)
        other._all, other._gone = self, np.sort(gone)
        return other

    def nearest(self, queries: np.ndarray, k: int, rows: Rows = None) -> list[np.ndarray]:
        """Return for each query the rows that hold its `k` nearest, in no order, with a few more for ties.

        Args:
            queries: (m, dimension) float32.
            k: how many; fewer come back only where fewer rows are allowed.
            rows: the rows to search.

        Example:
            >>> line = Exact(np.array([[0], [1], [4], [9]], np.float32))
            >>> line.nearest(np.array([[3]], np.float32), 2)
            [array([1, 2])]
        """
        if not 0 < k < count(rows, len(self.matrix)):
            return [number(rows, np.arange(count(rows, len(self.matrix)) if k > 0 else 0)) for _ in queries]
        if len(queries) == 1:
            few = self._by_few(queries[0], k, rows)
            return [self._of_one(queries[0], k, rows) if few is None else few]
        if isinstance(rows, np.ndarray) and len(rows) <= len(self.matrix) // _GATHER_SHARE:
            return [rows[found] for found in Exact(self.matrix[rows]).nearest(queries, k)]
        return self._of_many(queries, k, rows)

    def _of_one(self, query: np.ndarray, k: int, rows: Rows) -> np.ndarray:
        margin = self.bounds.margin(query)
        if not np.isfinite(margin):
            some, far = self._apart(query, rows)
            return some[largest(-far, k)]
        closeness = self._closeness(query, rows)
        best = largest(closeness, k, margin)
        closeness, best = closeness[best], number(rows, best)
        if len(best) > k + _FEW_ROWS:  # one long row widens the margin, but not what another is off by
            slacks = self.bounds.slacks(query, best)
            best = best[closeness + slacks >= np.partition(closeness - slacks, -k)[-k]]
        return best

    def _of_many(self, queries: np.ndarray, k: int, rows: Rows) -> list[np.ndarray]:
        found, place, allowed = list[np.ndarray](), partial(number, rows), rows
        if isinstance(rows, np.ndarray):  # then all are passed over
            place, allowed = partial(number, None), np.zeros(len(self.matrix), bool)
            allowed[rows] = True
        if self._sketch and (sketch := self._sketch(len(queries))):
            for some, block in sketch.blocks(self.matrix, queries, k, allowed, self._gone):
                lines = map(place, block.all_nearest())
                found += map(self._narrowed, queries[some], repeat(k), lines)
        left = queries[len(found) :]
        if not all(np.isfinite(self.bounds.margin(query)) for query in left):
            found += [self._of_one(query, k, rows) for query in left]
        elif len(left):
            for _, block in self.bounds.blocks(left, k, rows=allowed):
                found += map(place, block.all_nearest())
        return found

    def _narrowed(self, query: np.ndarray, k: int, found: np.ndarray) -> np.ndarray:
        """Return of rows that hold the nearest those that do by the bounds of float32."""
        if len(found) <= k + _FEW_ROWS:
            return found
        best: np.ndarray = found[Exact(self.matrix[found]).nearest(query[None], k)[0]]
        return best

    def between(
        self,
        query: np.ndarray,
        low: float,
        high: float,
        k: int | None,
        farthest: bool = False,
        rows: Rows = None,
    ) -> np.ndarray:
        """Return the rows at a distance in [low, high], in no order, and a few more for the rounding.

        Args:
            query: (dimension,) float32.
            low, high: distances; the caller drops the few rows that lie outside by less than the rounding.
            k: only the nearest so many of these; None for all.
            farthest: the farthest instead.
            rows: the rows to search.

        Example:
            >>> line = Exact(np.array([[0], [1], [4], [9]], np.float32))
            >>> line.between(np.zeros(1, np.float32), low=0.5, high=5, k=1, farthest=True)
            array([2])
        """
        margin = self.bounds.margin(query)
        if not np.isfinite(margin):
            some, far = self._apart(query, rows)
            keep = (far >= low) & (far <= high) & np.isfinite(far)
            some, far = some[keep], far[keep]
            return some if k is None else some[largest(far if farthest else -far, k)]
        closeness = self._closeness(query, rows)
        square = float(query @ query)
        lowest, highest = (square - high * high) / 2, (square - low * low) / 2
        inside = np.flatnonzero((closeness >= lowest - margin) & (closeness <= highest + margin))
        if self._there is not None:
            inside = inside[self._there[number(rows, inside)]]
        if k is None:
            return number(rows, inside)
        closeness = closeness[inside]
        sure = (closeness >= lowest + margin) & (closeness <= highest - margin)
        ranked = np.flatnonzero(sure)
        best = largest(-closeness[ranked] if farthest else closeness[ranked], k, margin)
        return number(rows, inside[np.concatenate([np.flatnonzero(~sure), ranked[best]])])

    def _apart(self, query: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and their distances, for vectors whose squares float32 does not hold."""
        found = number(rows, np.arange(count(rows, len(self.matrix))))
        far = distances(self.matrix, found, query)
        return found, far if self._there is None else np.where(self._there[found], far, np.inf)

    def _by_few(self, query: np.ndarray, k: int, rows: Rows) -> np.ndarray | None:
        if isinstance(rows, np.ndarray) and len(rows) <= len(self.matrix) // _GATHER_SHARE:
            return None
        sketch = self._sketch and self._sketch(1)
        found = sketch.few(self.matrix, query, k, rows, self._gone) if sketch else None
        return None if found is None else self._narrowed(query, k, found)

    def _closeness(self, query: np.ndarray, rows: Rows) -> np.ndarray:
        if isinstance(rows, np.ndarray) and len(rows) > len(self.matrix) // _GATHER_SHARE:
            return self._closeness(query, None)[rows]
        matrix, halves = (
            (self.matrix, self.bounds.half_squares)
            if rows is None
            else (self.matrix[rows], self.bounds.half_squares[rows])
        )
        closeness = np.empty(len(matrix), np.float32)
        if matrix.size > _CACHED and matrix.shape[1] >= _LONG and hasattr(np, "vecdot"):  # since NumPy 2
            np.vecdot(matrix, query, out=closeness)
        else:
            step = max(1, _PART // max(1, matrix.shape[1]))
            for start in range(0, len(matrix), step):
                some = slice(start, start + step)
                np.dot(matrix[some], query, out=closeness[some])
        closeness -= halves
        return closeness


def largest(values: np.ndarray, k: int, margin: float = 0.0) -> np.ndarray:
    """Return where the `k` largest values are, and any others within `margin` of the last of them.

    The values are cut into columns, and the k-th largest of the columns' maxima bounds the k-th largest of
    all from below, so one pass leaves few to sort: some twenty times faster than a partition of all.

    Example:
        >>> largest(np.array([3.0, 9.0, 1.0, 8.0]), 2)
        array([1, 3])
    """
    if k >= len(values):
        return np.arange(len(values))
    if k <= 0:
        return np.arange(0)
    columns = len(values) // 64
    if columns < 4 * k:
        bound = np.partition(values, -k)[-k]
        return np.flatnonzero(values >= bound - margin)
    maxima = values[: 64 * columns].reshape(64, columns).max(axis=0)
    candidates = np.flatnonzero(values >= np.partition(maxima, -k)[-k] - margin)
    few = values[candidates]
    return candidates[few >= np.partition(few, -k)[-k] - margin]


class Differences:
    """Squared distances from some rows of a matrix, in memory that is used again.

    Args:
        matrix: (n, dimension), any real number type.
        most: rows at once, if fewer than fit a core's cache.
    """

    def __init__(self, matrix: NDArray[Any], most: int | None = None):
        rows = max(1, min(len(matrix) if most is None else most, _NUMBERS // matrix.shape[1]))
        self._matrix = matrix
        self._rows = np.empty((rows, matrix.shape[1]), matrix.dtype)
        self._differences = np.empty(self._rows.shape)

    def squared(self, rows: NDArray[np.intp], query: NDArray[Any]) -> NDArray[np.float64]:
        """Return `sum((matrix[row] - query) ** 2)` of each row, from differences in float64."""
        found = np.empty(len(rows))
        for start in range(0, len(rows), len(self._rows)):
            some = rows[start : start + len(self._rows)]
            own, difference = self._rows[: len(some)], self._differences[: len(some)]
            self._matrix.take(some, axis=0, out=own, mode="clip")  # without it `take` copies twice
            difference[:] = own
            difference -= query
            np.einsum("ij,ij->i", difference, difference, out=found[start : start + len(some)])
        return found


def distances(matrix: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of some rows to a query, (len(rows),) float64, to full precision.

    Example:
        >>> distances(np.array([[0, 0], [3, 4]], np.float32), np.array([1]), np.zeros(2, np.float32))
        array([5.])
    """
    if len(rows) * matrix.shape[1] <= _FEW:  # memory to be used again would cost more than it saves
        difference = np.subtract(matrix[rows], query, dtype=np.float64)
        found: np.ndarray = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        return found
    return np.sqrt(Differences(matrix, len(rows)).squared(rows, query))


def pair_distances(matrix: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the distances of pairs of rows to full precision, (len(one),) float64.

    Example:
        >>> pair_distances(np.array([[0, 0], [3, 4]], np.float32), np.array([0, 1]), np.array([1, 1]))
        array([5., 0.])
    """
    found = np.empty(len(one))
    step = max(1, _NUMBERS // matrix.shape[1])
    for start in range(0, len(one), step):
        some = slice(start, start + step)
        found[some] = squared_distances(matrix[one[some]], matrix[other[some]])
    return np.sqrt(found)


def squared_distances(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return the squared Euclidean distance of each pair of rows: `sum((first[i] - second[i]) ** 2)`.

    The differences are taken in float64 before they are squared, so small distances keep all their digits;
    `|a|^2 + |b|^2 - 2ab` loses them to cancellation.

    Args:
        first: shape (n, d), any real number type.
        second: shape (n, d), or (d,) for one vector that is compared with all.

    Returns:
        Shape (n,), float64, at least 0.

    Example:
        >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([0.0, 0.0]))
        array([ 0., 25.])
    """
    result = np.empty(len(first))
    rows = max(1, _NUMBERS // max(1, first.shape[1]))
    for start in range(0, len(first), rows):
        block = slice(start, start + rows)
        difference = np.subtract(
            first[block], second[block] if second.ndim == 2 else second, dtype=np.float64
        )
        np.einsum("ij,ij->i", difference, difference, out=result[block])
    return result


def number(rows: Rows, local: np.ndarray) -> np.ndarray:
    """Turn places among the allowed rows into row numbers of the whole matrix."""
    if rows is None:
        return local
    return local + (rows.start or 0) if isinstance(rows, slice) else rows[local]


def count(rows: Rows, total: int) -> int:
    """Return how many rows are allowed, of `total`."""
    if rows is None:
        return total
    return len(range(*rows.indices(total))) if isinstance(rows, slice) else len(rows)
