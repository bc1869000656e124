"""Which few rows can be among a query's nearest? Bounds of all distances, by one fast matrix product.

Rows are ranked by the closeness x.q - |x|^2 / 2 = (|q|^2 - |x - q|^2) / 2, one product in float32: many times
faster than exact distances, but its last digits are wrong. Bounds that hold whatever the rounding leave a few
rows, whose distances are then computed exactly.

Rounding: of a sum of d products, added in any order, the error is at most d u |q||x| (1 + d u), u = 2^-24
(Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). With the norms, the subtraction and the
rounding of the terms themselves the closeness is wrong by at most e (|q|^2 / 2 + |x|^2), e = 1.01 (d + 16) u.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cache
from threading import Lock, Thread
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_T = TypeVar("_T")

_BLOCK = 2**26  # bounds held at once: 256 MiB
_QUERIES = 512  # at once: of fewer the product is slower (64: half the speed), of more hardly faster
_TILE = 2**17  # bounds of a tile: 512 KiB, which stay in a core's cache from the product to their maximum
_SELECTED = 2**21  # bounds looked through at once
_UNIT = 2.0**-24  # half the distance from 1 to the next float32
_UNDERFLOW = 1e-30  # more than what is lost where products underflow


def rounding(dimension: int) -> float:
    """Return the `e` above."""
    return 1.01 * (dimension + 16) * _UNIT


class Bounds:
    """Bounds of the closeness of each row of a matrix to any query.

    Args:
        matrix: (n, dimension) float32, in memory or mapped; it is not copied.
    """

    scale = 1.0
    """The distances that are bounded are those of the vectors, times this."""

    def __init__(self, matrix: Floats):
        self._matrix, self._error = matrix, rounding(matrix.shape[1])
        with np.errstate(over="ignore"):
            squares = np.einsum("ij,ij->i", matrix, matrix)
        self.half_squares = squares / 2
        self.slack = self._error * squares + np.float32(_UNDERFLOW)
        self.largest_square = float(squares.max(initial=0))

    def __len__(self) -> int:
        return len(self._matrix)

    def without(self, rows: NDArray[np.intp]) -> "Bounds":
        """Return bounds by which some rows are infinitely far."""
        other = copy(self)
        other.half_squares = self.half_squares.copy()
        other.half_squares[rows] = np.inf
        return other

    def margin(self, query: Floats) -> float:
        """Return twice the largest error of any row's closeness to a query."""
        return 2 * (self._own(query) + self._error * self.largest_square)

    def slacks(self, query: Floats, rows: NDArray[np.intp]) -> Floats:
        """Return the largest errors of some rows' closeness to a query."""
        return self.slack[rows] + np.float32(self._own(query))

    def _own(self, query: Floats) -> float:
        with np.errstate(over="ignore"):
            return self._error / 2 * float(query @ query) + _UNDERFLOW

    def blocks(
        self,
        queries: NDArray[Any],
        k: int = 1,
        farthest: bool = False,
        rows: slice | NDArray[np.bool_] | None = None,
        leave_out: NDArray[np.intp] | None = None,
        held: int = 0,
    ) -> Iterator[tuple[slice, "Block"]]:
        """Yield some queries and their bounds; the next block takes the memory of the last.

        Args:
            queries: (m, dimension).
            k: how many rows will be sought, which sets how the bounds are grouped.
            farthest: bound the negated closeness.
            rows: which rows may be found: a range, or True where allowed; None: all.
            leave_out: (m,), for each query a row that is not found, or -1.
            held: how many numbers of each query the caller keeps beside the bounds.
        """
        matrix, offset, slack = self._matrix, self._offset(farthest), self.slack
        if isinstance(rows, slice):
            matrix, offset, slack = matrix[rows], None if offset is None else offset[rows], slack[rows]
        elif rows is not None and offset is not None:
            offset = np.where(rows, offset, np.float32(np.inf))
        step = block_of(len(queries), len(matrix) + held)
        grid = Grid(len(matrix), step, k, slack)
        for start in range(0, len(queries), step):
            some = slice(start, start + step)
            placed, squares = self._placed(queries[some])
            slacks = (self._error / 2 * squares + _UNDERFLOW).astype(np.float32)
            left = self._left(placed, farthest)

            def bound(rows: slice, out: Floats, left: Floats = left) -> None:
                np.matmul(left, matrix[rows].T, out=out)
                if offset is not None:
                    out -= offset[rows]

            grid.fill(len(left), bound, None if leave_out is None else leave_out[some])
            yield some, Block(grid, squares, slacks, k)

    def _placed(self, queries: NDArray[Any]) -> tuple[Floats, NDArray[np.float64]]:
        return queries, np.einsum("ij,ij->i", queries, queries, dtype=np.float64)

    def _left(self, placed: Floats, farthest: bool) -> Floats:
        return -placed if farthest else placed

    def _offset(self, farthest: bool) -> Floats | None:
        """Return what is taken from the product for an upper bound, but for the query's own slack."""
        return (-self.half_squares if farthest else self.half_squares) - self.slack


class CentredBounds(Bounds):
    """Bounds from a copy of the vectors less their mean, and for huge or tiny ones, scaled.

    Neither changes a ranking. The rounding is then small beside the spread of the vectors, even where all lie
    close together, as in a collapsed network, and nothing overflows. Norms and slacks go into the product, as
    two more columns.

    Args:
        gallery: (n, d), finite real numbers.
        queries: (m, d), all that will be asked.
    """

    def __init__(self, gallery: NDArray[Any], queries: NDArray[Any]):
        count, width = gallery.shape
        centre = gallery.mean(axis=0, dtype=np.float64)
        # A difference of two float32 is rounded but once, as one in float64 is that is stored as float32.
        plain = all(x.dtype in (np.float16, np.float32) and _largest(x) < 2.0**50 for x in (gallery, queries))
        self._centre = centre.astype(np.float32) if plain else centre
        if not plain:
            ends = [end - centre for x in (gallery, queries) for end in (x.min(axis=0), x.max(axis=0))]
            norm = max(1e-150, float(np.abs(ends).max()) * width**0.5)
            self.scale = float(2.0 ** -np.ceil(np.log2(norm)))
        self._matrix, self._error = np.empty((count, width + 2), np.float32), rounding(width)
        squares = np.empty(count, np.float32)
        for start in range(0, count, _ROWS):
            rows = slice(start, start + _ROWS)
            self._fill(gallery[rows], self._matrix[rows, :width])
            some = self._matrix[rows, :width]
            np.einsum("ij,ij->i", some, some, out=squares[rows])
        self.slack = self._error * squares + np.float32(_UNDERFLOW)
        self._matrix[:, width] = -squares / 2
        self._matrix[:, width + 1] = self.slack

    def _fill(self, vectors: NDArray[Any], out: Floats) -> None:
        if self._centre.dtype == np.float32:
            np.subtract(vectors, self._centre, out=out)
        else:
            out[:] = (vectors - self._centre) * self.scale

    def _placed(self, queries: NDArray[Any]) -> tuple[Floats, NDArray[np.float64]]:
        placed = np.ones((len(queries), queries.shape[1] + 2), np.float32)
        self._fill(queries, placed[:, :-2])
        return placed, np.einsum("ij,ij->i", placed[:, :-2], placed[:, :-2], dtype=np.float64)

    def _left(self, placed: Floats, farthest: bool) -> Floats:
        if farthest:
            placed[:, :-1] *= -1
        return placed

    def _offset(self, farthest: bool) -> None:
        return None


class Grid:
    """Bounds in tiles, `size` tiles a row, and the largest of each group: one column of a row's tiles.

    Args:
        count: of the rows that are bounded.
        queries: the most at once.
        k: how many rows will be sought. Few groups are soon ranked, small ones soon looked into.
        slack: (count,) of the rows.
    """

    def __init__(self, count: int, queries: int, k: int, slack: Floats):
        self.count = count
        self.size = max(1, min(64, int((count / (4 * max(1, k))) ** 0.5)))
        # Half of what would be one row of tiles, so that two threads have something to do.
        self.width = max(1, min(_TILE // queries, -(-count // (2 * self.size))))
        self.columns = -(-count // (self.size * self.width))
        self._memory = np.empty(self.columns * (self.size + 1) * queries * self.width, np.float32)
        self.hold(slack)

    def hold(self, slack: Floats) -> None:
        """Keep the slacks of the rows, of which a group has the largest."""
        padded = np.zeros((self.columns, self.size, self.width), np.float32)
        self.slack = padded.reshape(-1)
        self.slack[: self.count] = slack
        self.group_slack = padded.max(axis=1).reshape(-1)

    def fill(
        self, queries: int, bound: Callable[[slice, Floats], None], leave_out: NDArray[np.intp] | None
    ) -> None:
        """Compute the bounds of so many queries, and put those below everything where a row is left out.

        Args:
            queries: how many.
            bound: writes the bounds of a range of the rows, (queries, rows).
            leave_out: (queries,), a row of each, or -1.
        """
        shape = (self.columns, self.size + 1, queries, self.width)
        tiles = self._memory[: np.prod(shape)].reshape(shape)
        self.bounds, self.largest = tiles[:, :-1], tiles[:, -1]

        def fill_column(column: int) -> None:
            for row, tile in enumerate(self.bounds[column]):
                start = (column * self.size + row) * self.width
                count = max(0, min(self.width, self.count - start))
                tile[:, count:] = -np.inf
                if count:
                    bound(slice(start, start + count), tile[:, :count])
                    if leave_out is not None:
                        own = np.flatnonzero((leave_out >= start) & (leave_out < start + self.width))
                        tile[own, leave_out[own] - start] = -np.inf
                if row:
                    np.maximum(self.largest[column], tile, out=self.largest[column])
                else:
                    self.largest[column] = tile

        in_threads(fill_column, range(self.columns))

    def groups(self, queries: slice) -> Floats:
        """Return the groups' largest bounds, (queries, groups)."""
        some = self.largest[:, queries].transpose(1, 0, 2)
        return some.reshape(some.shape[0], -1)

    def largest_of(self, queries: NDArray[np.intp], groups: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the row of the largest bound of some groups of each query, (queries, groups)."""
        column, place = np.divmod(groups, self.width)
        row = self.bounds[column, :, queries[:, None], place].argmax(axis=-1)
        found: NDArray[np.intp] = (column * self.size + row) * self.width + place
        return found

    def above(self, queries: slice, floor: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which queries of a range have which rows at or above their floor, by query."""
        query, group = np.nonzero(self.groups(queries) >= floor[:, None])
        column, place = np.divmod(group, self.width)
        bounds = self.bounds[column, :, query + queries.start, place]
        found, row = np.nonzero(bounds >= floor[query, None])
        return query[found], (column[found] * self.size + row) * self.width + place[found]


class Block:
    """Bounds of the closeness of all rows to some queries, and which rows they leave.

    The k-th largest of the groups' lower bounds bounds the k-th closeness from below and costs far less than
    the k-th of all, and only the few groups that reach it are looked into.
    """

    def __init__(self, grid: Grid, squares: NDArray[np.float64], slacks: Floats, k: int):
        self._grid, self.squares, self.slacks, self._k = grid, squares, slacks, k

    def parts(self) -> list[slice]:
        """Return ranges of the queries, few enough to be looked through at once."""
        step = max(1, min(64, _SELECTED // self._grid.bounds[:, :, 0].size))
        return [
            slice(start, min(start + step, len(self.slacks))) for start in range(0, len(self.slacks), step)
        ]

    def nearest(self, part: slice) -> list[NDArray[np.intp]]:
        """Return for each query of a part all rows that may be among its k nearest, in order."""
        queries, rows = self._grid.above(part, self._floor(part))
        ends = np.searchsorted(queries, np.arange(1, part.stop - part.start))
        return [np.sort(some) for some in np.split(rows, ends)]

    def all_nearest(self) -> Iterator[NDArray[np.intp]]:
        """Return for each query all rows that may be among its k nearest, in order."""
        return (line for part in self.parts() for line in self.nearest(part))

    def _floor(self, part: slice) -> Floats:
        """Return for each query what the bound of each of its k nearest reaches, less the query's slack."""
        lower = self._grid.groups(part) - 2 * self._grid.group_slack
        lower.partition(lower.shape[1] - self._k, axis=1)
        floor: Floats = lower[:, lower.shape[1] - self._k] - 2 * self.slacks[part]
        return floor

    def above(self, part: slice, closeness: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the queries, numbered in the block, and the rows that may be as close as (m,) numbers."""
        queries, rows = self._grid.above(part, (closeness[part] - self.slacks[part]).astype(np.float32))
        return queries + part.start, rows

    def closeness(self, query: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lower and the upper bounds of the closeness of each row to one query."""
        upper = self._grid.bounds[:, :, query].reshape(-1).astype(np.float64)
        lower = upper - 2 * self._grid.slack - self.slacks[query]
        return lower[: self._grid.count], upper[: self._grid.count] + self.slacks[query]


_ROWS = 2**11  # vectors copied at once


def block_of(queries: int, numbers: int) -> int:
    """Return how many of so many queries are asked at once, where each needs so many numbers."""
    return max(1, min(_QUERIES, queries, _BLOCK // numbers))


def _largest(vectors: NDArray[Any]) -> float:
    return max(float(vectors.max(initial=0)), -float(vectors.min(initial=0)))


def in_threads(task: Callable[[_T], object], items: Sequence[_T]) -> None:
    """Do a task for each item, in a thread for each processor, each with a matrix product of its own.

    NumPy lets go of the interpreter's lock; products in two threads at once are slower than one in each.
    """
    threads = min(os.cpu_count() or 1, len(items))
    if threads < 2:
        for item in items:
            task(item)
        return
    left, failed = iter(items), list[BaseException]()

    def work() -> None:
        try:
            for item in left:
                task(item)
        except BaseException as error:
            failed.append(error)

    others = [Thread(target=work) for _ in range(threads - 1)]  # started sooner than an executor's
    with _one_thread_a_product():
        try:
            for thread in others:
                thread.start()
            work()
        finally:
            for thread in others:
                if thread.ident is not None:  # it was started
                    thread.join()
    if failed:
        raise failed[0]


@contextmanager
def _one_thread_a_product() -> Iterator[None]:
    """Hold the BLAS to one thread; the last of those that ask gives it back what it had."""
    global _asking, _limit
    with _lock:
        _asking += 1
        if _asking == 1:
            _limit = _libraries().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _asking -= 1
            if not _asking:
                _limit.restore_original_limits()


_lock, _asking = Lock(), 0
_limit: Any = None


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
