"""Which few rows can be among one query's nearest? By a scan over rows of eight bits, a quarter of the bytes.

With the rows' mean c, a row is x = c + s a + r and a query y = c + t b + u: scales s and t, whole numbers a
and b in -127..127, and the rests r and u, whose norms are kept. The closeness (`search.bounds`) of the two is

    (x - c).(y - c) - |x - c|^2 / 2 = s t a.b - |x - c|^2 / 2 + (s a).u + r.(y - c)

and by Cauchy and Schwarz the last two are at most |s a||u| + |r||y - c|. The rounding of it all is covered as
in `search.bounds`, twice over. What the bounds leave, some tens
of rows of 100,000, is ranked by the vectors themselves. (Scalar quantization, with a bound for each row.)
"""

import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.search.bounds import in_threads, rounding
from deep_ranking.search.exact import Rows, count, largest, number

Floats = NDArray[np.float32]

LEAST_BYTES = 32 << 20
"""Of a smaller matrix all is read as fast."""

_WIDEST = 1 << 16  # coordinates whose products' sum fits 32 bits
_ENCODED = 1 << 17  # numbers worked on at once, so that they stay in a core's cache
_SCANNED = 1 << 24, 1 << 25  # codes multiplied at once: small products cost more, as do numbers of large ones
_SMALLEST, _LARGEST = 1e-15, 1e20  # of a scale and of a square: nothing under- or overflows in between
_SHARE = 32  # more than this part of the rows is left: then to read all of them is no slower


@cache
def kernels() -> ModuleType | None:
    """Return what multiplies whole numbers of eight bits, from the extra `search`; None without it."""
    try:
        import numkong
    except ImportError:
        return None
    return numkong


def suits(matrix: NDArray[Any]) -> bool:
    """Tell whether a scan over eight bits of these vectors is possible, and faster."""
    return matrix.nbytes >= LEAST_BYTES and matrix.shape[1] <= _WIDEST and kernels() is not None


class Codes:
    """The rows of a matrix in eight bits, and by how much each of them differs.

    Args:
        codes: (n, dimension) int8, the `a` above.
        numbers: (4, n) float32: of each row s, |x - c|^2 / 2, |s a| and |r|.
        centre: (dimension,) float32, the `c`.
    """

    def __init__(self, codes: NDArray[np.int8], numbers: Floats, centre: Floats):
        self.codes, self.numbers, self.centre = codes, numbers, centre
        self._most = numbers[1:].max(axis=1, initial=0).astype(np.float64)
        self._error = rounding(len(centre))

    @classmethod
    def of(cls, matrix: Floats) -> "Codes":
        """Make them of a matrix (n, dimension)."""
        count, width = matrix.shape
        centre = np.zeros(width, np.float64)
        step = max(1, _ENCODED // width)
        for start in range(0, count, step):
            centre += matrix[start : start + step].sum(axis=0, dtype=np.float64)
        mean = (centre / max(1, count)).astype(np.float32)
        codes, numbers = np.empty((count, width), np.int8), np.empty((4, count), np.float32)

        @np.errstate(over="ignore", invalid="ignore")  # what is too large for float32 is told by its numbers
        def encode(start: int) -> None:
            rows = slice(start, start + step)
            placed = matrix[rows] - mean
            scales = np.maximum(np.abs(placed).max(axis=1) / np.float32(127), np.float32(_SMALLEST))
            rounded = placed / scales[:, None]
            np.clip(np.rint(rounded, out=rounded), -127, 127, out=rounded)
            codes[rows] = rounded
            rounded *= scales[:, None]
            numbers[0, rows], numbers[1, rows] = scales, _squares(placed) / 2
            numbers[2, rows], numbers[3, rows] = (
                np.sqrt(_squares(some)) for some in (rounded, placed - rounded)
            )

        in_threads(encode, range(0, count, step))
        return cls(codes, numbers, mean)

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> "Codes | None":
        """Return those whose `arrays` these are, of a matrix of this shape; None if they are of none."""
        shapes = [array.shape for array in arrays]
        return cls(*arrays) if shapes == [shape, (4, shape[0]), shape[1:]] else None

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
        placed = query.astype(np.float64) - self.centre
        scale, norm = float(np.abs(placed).max() / 127), float(np.linalg.norm(placed))
        sane = scale > _SMALLEST and norm**2 < _LARGEST and self._most[0] < _LARGEST
        if not sane or 4 * _SHARE * k > allowed:
            return None
        whole = np.rint(placed / scale)
        rest = float(np.linalg.norm(placed - scale * whole))
        # Of |x - c|^2 / 2, |s a| and |r|, in units of t, as the sums of whole numbers are.
        slope = np.array([4 * self._error, 1.001 * rest, 1.001 * norm]) / scale
        first, last, _ = (rows if isinstance(rows, slice) else slice(None)).indices(len(self.codes))
        lower = self._lower(whole.astype(np.int8), slope + np.array([1 / scale, 0, 0]), first, last)
        if gone is not None:
            lower[gone[slice(*np.searchsorted(gone, (first, last)))] - first] = -np.inf
        if isinstance(rows, np.ndarray):
            lower = lower[rows]
        best = largest(lower, k)[:k]
        if not lower[best].min() > -np.inf:
            return None
        near = matrix[number(rows, best)].astype(np.float64) - self.centre
        squares = _squares(near)
        # The k-th nearest is as close as the farthest of any k, or closer; less what is the same for all.
        floor = float((near @ placed - squares / 2).min()) / scale
        floor -= (4 * self._error * (norm**2 + float(squares.max())) + 1e-30) / scale
        maybe = np.flatnonzero(lower >= np.float32(floor - 2 * slope @ self._most))
        found = number(rows, maybe)
        found = found[lower[maybe] + 2 * slope @ self.numbers[1:, found] >= floor]
        return found if len(found) <= allowed // _SHARE else None

    def _lower(self, query: NDArray[np.int8], weights: NDArray[np.float64], first: int, last: int) -> Floats:
        """Return the lower bound of the closeness of each row of a range, but for what is the same of all."""
        product, lower, own = kernels(), np.empty(last - first, np.float32), weights.astype(np.float32)
        assert product is not None
        share, (least, most) = -(-(last - first) // (os.cpu_count() or 1)), _SCANNED
        step = max(1, least // len(query), min(share, most // len(query)))

        def scan(start: int) -> None:
            rows = slice(start, min(start + step, last))
            out = lower[start - first : rows.stop - first]
            product.cdist(self.codes[rows], query[None], "dot", out=out[:, None])
            out *= self.numbers[0, rows]
            out -= own @ self.numbers[1:, rows]

        in_threads(scan, range(first, last, step))
        return lower


def _squares(rows: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = np.einsum("ij,ij->i", rows, rows)
    return found
