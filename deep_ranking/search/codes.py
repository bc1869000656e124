"""Which few rows can be among one query's nearest? By a scan over rows of eight bits, a quarter of the bytes.

With a centre c, a row is x = c + s a + r and a query y = c + t b + u: scales s and t, whole numbers a
and b in -127..127, and the rests r and u, whose norms are kept. The closeness (`search.bounds`) of the two is

    (x - c).(y - c) - |x - c|^2 / 2 = s t a.b - |x - c|^2 / 2 + (s a).u + r.(y - c)

and by Cauchy and Schwarz the last two are at most |s a||u| + |r||y - c|. The rounding of it all is covered
twice over: of sums of squares as in `search.bounds`; of the rest, where the sums of whole numbers are exact,
by some units of float32 times |x - c||y - c|. What the bounds leave, some tens of rows of 100,000, is ranked
by the vectors themselves. (Scalar quantization, with a bound for each row.)

All that rows share is the centre, and that is the median of some: a few rows that lie far away would draw a
mean to where the others are all alike in eight bits. Of a row too far for squares in float32 nothing is
known, and it is always left.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from threading import local
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.search.bounds import Block, Floats, Grid, block_of, in_threads, rounding
from deep_ranking.search.coded_bounds import Apart, CodedBlock
from deep_ranking.search.exact import Rows, count, largest, number

LEAST_BYTES = 16 << 20
"""Of a smaller matrix, which caches hold, all is read as fast."""

_NARROWEST = 128  # coordinates; of fewer, all that is computed of each row costs as much as is saved
_WIDEST = 1 << 16  # coordinates whose products' sum fits 32 bits
_INSTRUCTIONS = "icelake", "alder", "sierra", "sapphireamx", "graniteamx", "diamond", "neonsdot"
"""In numkong's words: of x86 AVX512-VNNI, AVX-VNNI and AMX, of ARM the products of four."""

_CENTRED = 1 << 20  # numbers of which the centre is the median
_ENCODED = 1 << 17  # numbers worked on at once, so that they stay in a core's cache
_SCANNED = 1 << 24, 1 << 25  # codes multiplied at once: small products cost more, as do numbers of large ones
_SMALLEST, _LARGEST = 1e-15, 1e20  # of a scale and of a square
_BELOW = 1e37  # less than any bound, and a float32
_UNKNOWN = np.float32(1e30)  # the rest of a row beyond: its bounds are wider than all that others come to
_ROUNDED = 2 * rounding(0)  # some units of float32: a difference, a product, its scale, a few sums
_WHOLE = 2.0**-27  # of the rounding of float32's sums, four times that of float64's
_WIDER = 1e-6  # of a slack: what is rounded where it becomes float32
_TRIED = 16  # queries of a block that are looked at first
_LEFT = 256  # what part of the rows they may leave: to measure more costs what was saved
_SHARE = 32  # more than this part of the rows is left: then to read all of them is no slower


@cache
def kernels() -> ModuleType | None:
    """Return what multiplies whole numbers of eight bits, from the extra `search`; None without it."""
    try:
        import numkong
    except ImportError:
        return None
    return numkong


def pays(count: int, width: int, k: int) -> bool:
    """Tell whether many queries of so many rows are answered sooner by eight bits: by instructions for these.

    Measured without AMX: of a query's product half is saved, but for 46 coordinates that the passes over its
    bounds cost; the choice takes 20 microseconds and 0.8 for each neighbour, as 100,000 of those numbers do.
    """
    product = kernels()
    if product is None or not any(product.get_capabilities().get(name) for name in _INSTRUCTIONS):
        return False
    return width <= _WIDEST and count * (width - 46) >= 100_000 * (20 + 0.8 * k)


def suits(matrix: NDArray[Any]) -> bool:
    """Tell whether a scan over eight bits of these vectors is possible, and faster."""
    fit = matrix.nbytes >= LEAST_BYTES and _NARROWEST <= matrix.shape[1] <= _WIDEST
    return fit and kernels() is not None


class Codes:
    """The rows of a matrix in eight bits, and by how much each of them differs.

    Args:
        codes: (n, dimension) int8, the `a` above.
        numbers: (4, n) float32: of each row s, |x - c|^2 / 2, |s a| and |r|.
        centre: (dimension,) float32, the `c`.
    """

    def __init__(self, codes: NDArray[np.int8], numbers: Floats, centre: Floats):
        self.codes, self.numbers, self.centre = codes, numbers, centre
        self._error = rounding(len(centre))

    @classmethod
    def of(cls, matrix: Floats) -> "Codes":
        """Make them of a matrix (n, dimension)."""
        count, width = matrix.shape
        some = matrix[:: max(1, count * width // _CENTRED)]
        centre = np.partition(some, len(some) // 2, axis=0)[len(some) // 2]  # an average might overflow
        codes, numbers = np.empty((count, width), np.int8), np.empty((4, count), np.float32)
        step = max(1, _ENCODED // width)

        @np.errstate(over="ignore", invalid="ignore")  # what is too large for float32 is told by its square
        def encode(start: int) -> None:
            rows = slice(start, start + step)
            placed = matrix[rows] - centre
            squares = _squares(placed)
            beyond = ~(squares < _LARGEST)
            placed[beyond] = 0
            scales = np.maximum(np.abs(placed).max(axis=1) / np.float32(127), np.float32(_SMALLEST))
            rounded = placed / scales[:, None]
            np.clip(np.rint(rounded, out=rounded), -127, 127, out=rounded)
            codes[rows] = rounded
            rounded *= scales[:, None]
            numbers[0, rows], numbers[1, rows] = scales, np.where(beyond, 0, squares / 2)
            numbers[2, rows], numbers[3, rows] = (
                np.sqrt(_squares(some)) for some in (rounded, placed - rounded)
            )
            numbers[3, rows][beyond] = _UNKNOWN

        in_threads(encode, range(0, count, step))
        return cls(codes, numbers, centre)

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> "Codes | None":
        """Return those whose `arrays` these are, of a matrix of this shape; None if they are of none."""
        shapes = [array.shape for array in arrays]
        fit = shapes == [shape, (4, shape[0]), shape[1:]] and arrays[1][1].max(initial=0) < _LARGEST
        return cls(*arrays) if fit else None

    def arrays(self) -> list[NDArray[Any]]:
        """Return what they consist of, to be written."""
        return [self.codes, self.numbers, self.centre]

    def few(
        self,
        matrix: Floats,
        query: Floats,
        k: int,
        rows: Rows = None,
        gone: NDArray[np.intp] | None = None,
    ) -> NDArray[np.intp] | None:
        """Return rows that hold the `k` nearest and all that tie with them; None where too many might.

        Args:
            matrix: whose codes these are.
            query: (dimension,).
            k: how many, less than the rows that may be found.
            rows: that may be found: a range, an array, or all.
            gone: rows that may not.

        Example:
            >>> line = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 8, axis=1)
            >>> codes = Codes.of(line) if kernels() else None
            >>> codes.few(line, np.full(8, 700.2, np.float32), 3).tolist() if codes else [699, 700, 701]
            [699, 700, 701]
        """
        allowed = count(rows, len(self.codes))
        placed, whole, scale, norm, u, v = (each[0] for each in self._in_eight_bits(query[None]))
        if not _fit(scale, norm) or 4 * _SHARE * k > allowed:
            return None
        # Of |x - c|^2 / 2, |s a| and |r|, in units of t, as the sums of whole numbers are.
        error, spread = self._error, np.array([4 * self._error, u, v])
        first, last, _ = (rows if isinstance(rows, slice) else slice(None)).indices(len(self.codes))
        lower, upper = self._bounds(whole, spread / scale, 1 / scale, first, last)
        if gone is not None:
            there = _of_range(gone, first, last)
            lower[there] = upper[there] = -np.inf
        if isinstance(rows, np.ndarray):
            lower, upper = lower[rows], upper[rows]
        best = largest(lower, k)[:k]
        if not lower[best].min() > -np.inf:
            return None
        near = matrix[number(rows, best)].astype(np.float64) - self.centre
        squares = _squares(near)
        # The k-th nearest is as close as the farthest of any k, or closer; less what is the same for all.
        floor = float((near @ placed - squares / 2).min())
        floor -= _ROUNDED * abs(floor) + _WHOLE * error * (norm**2 + float(squares.max()))
        floor -= _underflown(norm)
        maybe = np.flatnonzero(upper >= np.float32(max(floor / scale, -_BELOW)))
        return number(rows, maybe) if len(maybe) <= allowed // _SHARE else None

    def blocks(
        self,
        matrix: Floats,
        queries: Floats,
        k: int,
        rows: slice | NDArray[np.bool_] | None = None,
        gone: NDArray[np.intp] | None = None,
        leave_out: NDArray[np.intp] | None = None,
        held: int = 0,
    ) -> Iterator[tuple[slice, Block]]:
        """Yield some queries and their bounds, as `Bounds.blocks`, as long as these leave few rows.

        Whoever asks sees from the last range which are left to be asked otherwise: all, where the processor
        has no instructions for it, k is large, or a query is too near the centre or too far for eight bits.

        Args:
            matrix: (n, dimension), whose codes these are.
            queries: (m, dimension).
            k, rows, leave_out, held: as for `Bounds.blocks`.
            gone: rows that may not be found.
        """
        some = rows if isinstance(rows, slice) else slice(None)
        matrix, codes, lengths = matrix[some], self.codes[some], self.numbers[0, some]
        if not pays(len(codes), matrix.shape[1], k) or 4 * _SHARE * k > len(codes):
            return
        half, size, rest = self.numbers[1:, some].astype(np.float64)
        sizes, rests, barred = Apart(size), Apart(rest), np.zeros(len(codes))
        if isinstance(rows, np.ndarray):
            barred[~rows] = np.inf
        if gone is not None:
            first, last, _ = some.indices(len(self.codes))
            barred[_of_range(gone, first, last)] = np.inf
        step = block_of(len(queries), len(codes) + held)
        grid = Grid(len(codes), step, k, np.zeros(len(codes), np.float32))
        multiply = _multiplied(codes, lengths)
        for start in range(0, len(queries), step):
            own = slice(start, start + step)
            _, left, scales, norms, u, v = self._in_eight_bits(queries[own])
            if not _fit(scales, norms).all():
                return
            (of_sizes, of_u), (of_rests, of_v) = sizes(u), rests(v)
            slack = np.minimum(4 * self._error * half + of_sizes + of_rests, _UNKNOWN)
            slack += _WIDER * np.abs(slack)
            grid.hold(slack.astype(np.float32))
            slacks = ((1 + _WIDER) * (of_u + of_v) + _underflown(norms)).astype(np.float32)
            offset, units = (half - slack + barred).astype(np.float32), scales[:, None].astype(np.float32)

            def bound(some: slice, out: Floats, by: Any = (left, units, offset)) -> None:
                multiply(by[0], some, out)
                out *= by[1]
                out -= by[2][some]

            grid.fill(len(left), bound, None if leave_out is None else leave_out[own])
            block = CodedBlock(grid, norms**2, slacks, k, queries[own], matrix, _WHOLE * self._error)
            few = block.nearest(slice(0, min(_TRIED, len(left))))
            if sum(map(len, few)) > len(few) * max(4 * k, len(codes) // _LEFT):
                return
            yield own, block

    def _in_eight_bits(self, queries: Floats) -> tuple[NDArray[Any], ...]:
        """Return of each query y - c, b, t, |y - c|, and by what |s a| and |r| are multiplied in bounds."""
        placed = queries.astype(np.float64) - self.centre
        scales, norms = np.abs(placed).max(axis=1) / 127, np.sqrt(_squares(placed))
        units = np.maximum(scales, _SMALLEST)[:, None]
        whole = np.rint(placed / units)
        rests = np.sqrt(_squares(placed - units * whole))
        u, v = ((1 + 2 * self._error) * each + _ROUNDED * norms for each in (rests, norms))
        return placed, whole.astype(np.int8), scales, norms, u, v

    def _bounds(
        self, query: NDArray[np.int8], spread: NDArray[np.float64], unit: float, first: int, last: int
    ) -> tuple[Floats, Floats]:
        """Return lower and upper bounds of the closeness of each row of a range, but for what all share."""
        product, count = kernels(), last - first
        assert product is not None
        lower, upper = np.empty((2, count), np.float32)
        weights = np.array([spread + np.array([unit, 0, 0]), 2 * spread], np.float32)
        share, (least, most) = -(-count // (os.cpu_count() or 1)), _SCANNED
        step = max(1, least // len(query), min(share, most // len(query)))

        def scan(start: int) -> None:
            rows = slice(start, min(start + step, last))
            here = slice(start - first, rows.stop - first)
            out = lower[here]
            product.cdist(self.codes[rows], query[None], "dot", out=out[:, None])
            out *= self.numbers[0, rows]
            out -= weights[0] @ self.numbers[1:, rows]
            np.add(out, weights[1] @ self.numbers[1:, rows], out=upper[here])

        in_threads(scan, range(first, last, step))
        return lower, upper


def _multiplied(
    codes: NDArray[np.int8], lengths: Floats
) -> Callable[[NDArray[np.int8], slice, Floats], None]:
    """Return what writes s a.b of some queries and a range of rows, in memory that each thread uses again."""
    product, memory = kernels(), local()
    assert product is not None

    def multiply(queries: NDArray[np.int8], some: slice, out: Floats) -> None:
        if getattr(memory, "shape", None) != out.shape:
            memory.shape, memory.products = out.shape, np.empty(out.shape, np.int32)
            memory.out = product.from_dlpack(memory.products)
        product.dots_packed(queries, product.dots_pack(codes[some]), out=memory.out)
        np.multiply(memory.products, lengths[some], out=out, dtype=np.float32, casting="same_kind")

    return multiply


def _of_range(rows: NDArray[np.intp], first: int, last: int) -> NDArray[np.intp]:
    """Return those of some rows, ascending, that lie in a range, numbered in it."""
    return rows[slice(*np.searchsorted(rows, (first, last)))] - first


def _fit(scale: Any, norm: Any) -> Any:
    """Tell of which queries nothing under- or overflows in between."""
    return (scale > _SMALLEST) & (norm**2 < _LARGEST)


def _underflown(norm: Any) -> Any:
    """Return more than what is lost where squares of rows underflow."""
    return 1e-16 * norm + 1e-30


def _squares(rows: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = np.einsum("ij,ij->i", rows, rows)
    return found
