"""Exact nearest neighbours: one pass over all vectors, at the speed of the memory.

Rows are ranked by the closeness x.q - |x|^2 / 2, which falls as the Euclidean distance |x - q| grows and
costs one matrix-vector product. It is rounded to float32, so rows that are within its rounding of the last
place are all kept, and the caller ranks them by the distance itself.
"""

import numpy as np

Rows = slice | np.ndarray | None
"""Which rows of the matrix may be found: a range, an array of row numbers, or (None) all."""

_ROUNDING = 2e-6
"""More than twice the error of the closeness in float32, relative to the norms (a test holds it)."""

_BLOCK_BYTES = 64 << 20

_GATHER_SHARE = 8
"""Above an eighth of the rows, passing over all of them is faster than copying the allowed ones together."""


class Exact:
    """Search every row.

    Args:
        matrix: (n, dimension) float32, in memory or mapped.
    """

    def __init__(self, matrix: np.ndarray):
        self.matrix = matrix
        self._half_squares = np.einsum("ij,ij->i", matrix, matrix) / 2
        self._largest_norm = float(np.sqrt(2 * self._half_squares.max(initial=0)))

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
        found = []
        block = max(1, _BLOCK_BYTES // max(1, 4 * len(self.matrix)))
        for start in range(0, len(queries), block):
            some = queries[start : start + block]
            found += [
                number(rows, largest(line, k, self._margin(query)))
                for line, query in zip(self._closeness(some, rows), some, strict=True)
            ]
        return found

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
        closeness = self._closeness(query[None], rows)[0]
        margin = self._margin(query)
        square = float(query @ query)
        lowest, highest = (square - high * high) / 2, (square - low * low) / 2
        inside = np.flatnonzero((closeness >= lowest - margin) & (closeness <= highest + margin))
        if k is None:
            return number(rows, inside)
        closeness = closeness[inside]
        sure = (closeness >= lowest + margin) & (closeness <= highest - margin)
        ranked = np.flatnonzero(sure)
        best = largest(-closeness[ranked] if farthest else closeness[ranked], k, margin)
        return number(rows, inside[np.concatenate([np.flatnonzero(~sure), ranked[best]])])

    def _closeness(self, queries: np.ndarray, rows: Rows) -> np.ndarray:
        if isinstance(rows, np.ndarray) and len(rows) > len(self.matrix) // _GATHER_SHARE:
            return self._closeness(queries, None)[:, rows]
        matrix, half_squares = (
            (self.matrix, self._half_squares)
            if rows is None
            else (self.matrix[rows], self._half_squares[rows])
        )
        # For one query, a matrix-vector product: a product of matrices would not reach the bandwidth.
        closeness = (matrix @ queries[0])[None] if len(queries) == 1 else queries @ matrix.T
        closeness -= half_squares
        return closeness

    def _margin(self, query: np.ndarray) -> float:
        return _ROUNDING * max(self._largest_norm * float(np.linalg.norm(query)), self._largest_norm**2)


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


def distances(matrix: np.ndarray, rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of some rows to a query, (len(rows),) float64, to full precision.

    Example:
        >>> distances(np.array([[0, 0], [3, 4]], np.float32), np.array([1]), np.zeros(2, np.float32))
        array([5.])
    """
    found = np.empty(len(rows))
    block = max(1, _BLOCK_BYTES // (8 * matrix.shape[1]))
    for start in range(0, len(rows), block):
        difference = matrix[rows[start : start + block]].astype(np.float64) - query
        found[start : start + block] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found


def pair_distances(matrix: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the distances of pairs of rows to full precision, (len(one),) float64.

    Example:
        >>> pair_distances(np.array([[0, 0], [3, 4]], np.float32), np.array([0, 1]), np.array([1, 1]))
        array([5., 0.])
    """
    found = np.empty(len(one))
    step = max(1, _BLOCK_BYTES // (8 * matrix.shape[1]))
    for start in range(0, len(one), step):
        some = slice(start, start + step)
        difference = matrix[one[some]].astype(np.float64) - matrix[other[some]]
        found[some] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return found


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
