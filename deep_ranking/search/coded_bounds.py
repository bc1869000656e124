"""Which few rows can be among the nearest of many queries? Bounds by products of rows of eight bits.

With the letters of `search.codes` the closeness of a row and a query is s t a.b - |x - c|^2 / 2, but for at
most |s a||u| + |r||y - c|. The product of many queries by float32 waits for arithmetic, not for memory, and
processors with instructions for whole numbers of eight bits do several times as many of these.

What those terms come to differs from pair to pair; bounds in a grid (`search.bounds`) want a slack of the row
and one of the query. By the means, R N <= (R^2 / p + p N^2) / 2 for any p > 0, and all but equal where p is a
usual R by a usual N and neither varies much: as in vectors of one network.
"""

import numpy as np
from numpy.typing import NDArray

from deep_ranking.search.bounds import Block, Floats, Grid

_NUMBERS = 2**17  # of float64 worked on at once, so that they stay in a core's cache
_ROUNDED = 2.0**-22  # more than what is lost where a floor becomes float32


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
        groups = self._grid.groups(part) - 2 * self._grid.group_slack
        best = np.argpartition(groups, groups.shape[1] - self._k, axis=1)[:, -self._k :]
        sure = np.take_along_axis(groups, best, axis=1).min(axis=1) > -np.inf
        floor = np.full(len(best), -np.inf)
        step = max(1, _NUMBERS // (self._k * self._matrix.shape[1]))
        for start in range(0, len(best), step):
            some = slice(start, start + step)
            own = np.arange(part.start, part.stop)[some]
            rows = self._grid.largest_of(own, best[some])
            differences = np.subtract(self._matrix[rows], self._queries[own, None], dtype=np.float64)
            far = np.einsum("ijk,ijk->ij", differences, differences).max(axis=1)
            near = (self.squares[own] - far) / 2 - self._rounding * (self.squares[own] + far)
            floor[some] = np.where(sure[some], near - self.slacks[own], -np.inf)
        lower: Floats = (floor - _ROUNDED * np.abs(floor)).astype(np.float32)
        return lower
