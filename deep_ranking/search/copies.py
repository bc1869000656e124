"""Which rows of a matrix are the same vector, so that a structure over it holds each vector once."""

from collections.abc import Iterator

import numpy as np

from deep_ranking.search.exact import Rows

_BLOCK = 1 << 22  # coordinates looked at in one go


class Copies:
    """The distinct vectors of a matrix, by the place each has among them, and the rows that have it.

    Args:
        places: the place of each row's vector, (n,); None where no two rows have the same.
        count: how many distinct vectors there are.
    """

    def __init__(self, places: np.ndarray | None, count: int):
        self._places, self.count = places, count
        if places is not None:
            self._rows = np.argsort(places, kind="stable")  # those of the first vector, ascending, then ...
            self._starts = np.searchsorted(places[self._rows], np.arange(count + 1))

    @classmethod
    def none(cls, count: int) -> "Copies":
        """Return those of a matrix of distinct rows."""
        return cls(None, count)

    @classmethod
    def of(cls, matrix: np.ndarray) -> "Copies":
        """Find the equal rows of a (n, dimension) float32 matrix; 0 and -0 are the same.

        Example:
            >>> Copies.of(np.array([[1], [2], [1]], np.float32)).count
            2
        """
        keys = np.concatenate([np.zeros(0, np.uint64), *_keys(matrix)])
        _, first, places = np.unique(keys, return_index=True, return_inverse=True)
        if len(first) == len(keys):
            return cls.none(len(keys))
        # Different vectors hardly ever share a key; a row unlike the first of its key stands for itself.
        step = max(1, _BLOCK // max(1, matrix.shape[1]))
        for start in range(0, len(keys), step):
            rows = slice(start, start + step)
            unlike = start + np.flatnonzero((matrix[rows] != matrix[first[places[rows]]]).any(axis=1))
            places[unlike] = len(first) + np.arange(len(unlike))
            first = np.concatenate([first, unlike])
        return cls(places, len(first))

    def distinct(self, matrix: np.ndarray) -> np.ndarray:
        """Return the distinct vectors of the matrix, each at its place."""
        return matrix if self._places is None else matrix[self._rows[self._starts[:-1]]]

    def places(self, rows: Rows) -> Rows:
        """Return where the vectors of some rows are."""
        return rows if self._places is None or rows is None else np.unique(self._places[rows])

    def rows(self, places: np.ndarray, most: int, among: Rows = None) -> np.ndarray:
        """Return up to `most` rows whose vectors are at these places, in their order, of those `among`."""
        if self._places is None or not len(places):
            return places
        found = np.concatenate([self._rows[self._starts[p] : self._starts[p + 1]] for p in places])
        if isinstance(among, slice):
            found = found[(found >= among.start) & (found < among.stop)]
        elif among is not None:
            found = found[np.isin(found, among)]
        return found[:most]


def first_of_equal(matrix: np.ndarray) -> np.ndarray:
    """Return for each row the first one of the same bytes, (n,); unlike `Copies`, 0 and -0 are two.

    Example:
        >>> first_of_equal(np.array([[1], [2], [1]], np.float32))
        array([0, 1, 0])
    """
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(row.tobytes(), place) for place, row in enumerate(matrix)], np.intp)


def _keys(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """Yield, block by block, a number for each row, which equal rows share."""
    factors = np.random.default_rng(0).integers(1, 1 << 63, matrix.shape[1], np.uint64) * 2 + 1
    step = max(1, _BLOCK // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), step):
        bits = (matrix[start : start + step] + np.float32(0)).view(np.uint32)  # -0 + 0 is 0
        yield (bits * factors).sum(axis=1, dtype=np.uint64)
