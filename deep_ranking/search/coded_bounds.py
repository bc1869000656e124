"""Which few rows can be among the nearest of many queries? Bounds by products of rows of eight bits.

With the letters of `search.codes` the closeness of a row and a query is s t a.b - |x - c|^2 / 2, but for at
most |s a||u| + |r||y - c|. The product of many queries by float32 waits for arithmetic, not for memory, and
processors with instructions for whole numbers of eight bits do several times as many of these.

What those terms come to differs from pair to pair; bounds in a grid (`search.bounds`) want a slack of the row
and one of the query, which `Apart` makes of the product of a number of each.
"""

import numpy as np
from numpy.typing import NDArray

from deep_ranking.search.bounds import Block, Floats, Grid

_NUMBERS = 2**17  # of float64 worked on at once, so that they stay in a core's cache
_ROUNDED = 2.0**-22  # more than what is lost where a floor becomes float32


class Apart:
    """Takes products of a number of each row and each query apart: sums no less than they, and hardly more.

    With the medians R and U, r u = R u + (r - R) U + (r - R)(u - U). The last is small where neither varies
    much, and by the means at most ((r - R)^2 / p + p (u - U)^2) / 2, for any p > 0.

    Args:
        rows: (n,), at least 0.

    Example:
        >>> row, query = Apart(np.array([1.0, 1.1, 0.9]))(np.array([2.0, 3.0]))
        >>> (row[:, None] + query).round(2).tolist()
        [[2.03, 3.03], [2.3, 3.3], [1.8, 2.8]]
    """

    def __init__(self, rows: NDArray[np.float64]):
        self._middle, self._away, self._spread = _about_the_median(rows)

    def __call__(self, queries: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return a number of each row, (n,), and one of each query, (m,) like `queries`, at least 0."""
        usual, off, spread = _about_the_median(queries)
        share = self._spread / spread
        rows = self._away * usual + self._away**2 / (2 * share)
        return rows, self._middle * queries + share / 2 * off**2


def _about_the_median(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], float]:
    median = float(np.median(numbers))
    return median, numbers - median, float(np.median(np.abs(numbers - median))) + 1e-3 * median + 1e-30


class CodedBlock(Block):
    """Bounds of the closeness of all rows to some queries, of which the k best are looked at before the rest.

    The k-th nearest is as near as the farthest of any k rows, or nearer. That is known to all digits for the
    price of k distances, and bounds of eight bits are so much wider than those of float32 that it pays.

    Args:
        grid: of upper bounds, less the queries' slacks.
        squares: (m,), of each query |y - c|^2.
        slacks: (m,), of each query.
        k: how many are sought.
        queries: (m, dimension).
        matrix: (n, dimension), whose rows are bounded.
        rounding: how much of their sum `squares` and a distance's square are off by.
    """

    def __init__(
        self,
        grid: Grid,
        squares: NDArray[np.float64],
        slacks: Floats,
        k: int,
        queries: Floats,
        matrix: Floats,
        rounding: float,
    ):
        super().__init__(grid, squares, slacks, k)
        self._matrix, self._queries, self._rounding = matrix, queries, rounding

    def _floor(self, part: slice) -> Floats:
        groups = self._grid.groups(part) - self._grid.group_slack
        # Twice as many as are needed: two of the nearest may share a group, and a row beyond may seem near.
        count = min(2 * self._k, groups.shape[1])
        best = np.argpartition(groups, groups.shape[1] - count, axis=1)[:, -count:]
        there = np.take_along_axis(groups, best, axis=1) > -np.inf
        floor = np.full(len(best), -np.inf)
        step = max(1, _NUMBERS // (count * self._matrix.shape[1]))
        for start in range(0, len(best), step):
            some = slice(start, start + step)
            own = np.arange(part.start, part.stop)[some]
            rows = np.where(there[some], self._grid.largest_of(own, best[some]), 0)
            differences = np.subtract(self._matrix[rows], self._queries[own, None], dtype=np.float64)
            squares = np.where(there[some], np.einsum("ijk,ijk->ij", differences, differences), np.inf)
            far = np.partition(squares, self._k - 1, axis=1)[:, self._k - 1]
            near = (self.squares[own] - far) / 2 - self._rounding * (self.squares[own] + far)
            floor[some] = near - self.slacks[own]
        lower: Floats = (floor - _ROUNDED * np.abs(floor)).astype(np.float32)
        return lower
