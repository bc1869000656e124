"""Which rows of a matrix are the same vector, so that a structure over it holds each vector once."""

from collections.abc import Iterator

import numpy as np

from deep_ranking.search.exact import Rows

_BLOCK = 1 << 22  # coordinates looked at in one go


class Copies:
    """The distinct vectors of a matrix, by the place each has among them, and the rows that have it.

    Args:
        places: the place of each row's vector, (n,).
        count: how many distinct vectors there are.
    """

    def __init__(self, places: np.ndarray, count: int):
        self.places, self.count = places, count
        self._rows = np.argsort(places, kind="stable")  # those of the first vector, ascending, then ...
        self._starts: np.ndarray | None = None  # where each has but one
        if count < len(places):
            self._starts = np.searchsorted(places[self._rows], np.arange(count + 1))

    @classmethod
    def at(cls, rows: np.ndarray) -> "Copies":
        """Return those of some distinct rows: the first one's vector is at the place 0, and so on."""
        found = cls(np.arange(len(rows)), len(rows))
        found._rows = rows
        return found

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
            return cls(np.arange(len(keys)), len(keys))
        # Different vectors hardly ever share a key; a row unlike the first of its key stands for itself.
        unlike = _unlike(matrix, first[places])
        places[unlike] = len(first) + np.arange(len(unlike))
        return cls(places, len(first) + len(unlike))

    def moved(self, order: np.ndarray) -> "Copies":
        """Return them with the vector that is at the place `order[i]` at the place i."""
        return Copies(np.argsort(order, kind="stable")[self.places], self.count)

    def distinct(self, matrix: np.ndarray) -> np.ndarray:
        """Return the distinct vectors of the matrix, each at its place."""
        return matrix if self._starts is None else matrix[self.firsts(np.arange(self.count))]

    @property
    def times(self) -> np.ndarray:
        """How many rows have the vector of each place, (count,)."""
        return np.bincount(self.places, minlength=self.count)

    @property
    def none(self) -> bool:
        """Whether no two rows have the same vector."""
        return self._starts is None

    def places_of(self, rows: Rows) -> np.ndarray:
        """Return where the vectors of some rows are, each as often as there are rows with it."""
        found: np.ndarray = self.places if rows is None else self.places[rows]
        return found

    def firsts(self, places: np.ndarray) -> np.ndarray:
        """Return of each place the first row."""
        return self._rows[places if self._starts is None else self._starts[places]]

    def rows(self, places: np.ndarray, most: int, among: Rows = None) -> np.ndarray:
        """Return up to `most` rows whose vectors are at these places, in their order, of those `among`."""
        if self._starts is None or not len(places):
            return self._rows[places][:most]
        found: list[np.ndarray] = []
        for place in places:
            own = self._rows[self._starts[place] : self._starts[place + 1]]
            if isinstance(among, slice):
                own = own[(own >= among.start) & (own < among.stop)]
            elif among is not None:
                own = own[np.isin(own, among)]
            found.append(own[: most - sum(map(len, found))])
        return np.concatenate(found)


def first_of_equal(matrix: np.ndarray) -> np.ndarray:
    """Return for each row the first one of the same bytes, (n,); unlike `Copies`, 0 and -0 are two.

    Example:
        >>> first_of_equal(np.array([[1], [2], [1]], np.float32))
        array([0, 1, 0])
    """
    bits = np.ascontiguousarray(matrix).view(f"u{matrix.dtype.itemsize}")
    keys = np.concatenate([np.zeros(0, np.uint64), *_keys(bits)])
    _, first, places = np.unique(keys, return_index=True, return_inverse=True)
    found = first[places]
    seen: dict[bytes, int] = {}  # of different rows with one key, which hardly ever are
    for row in _unlike(bits, found):
        found[row] = seen.setdefault(bits[row].tobytes(), row)
    return found


def _keys(matrix: np.ndarray) -> Iterator[np.ndarray]:
    """Yield, block by block, a number for each row, which equal rows share."""
    factors = np.random.default_rng(0).integers(1, 1 << 63, matrix.shape[1], np.uint64) * 2 + 1
    for rows in _blocks(matrix):
        some = matrix[rows]
        if matrix.dtype == np.float32:
            some = (some + np.float32(0)).view(np.uint32)  # -0 + 0 is 0
        yield (some * factors).sum(axis=1, dtype=np.uint64)


def _unlike(matrix: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the rows that are not equal to the others that are named for them."""
    found = [np.zeros(0, np.intp)]
    for rows in _blocks(matrix):
        found.append(rows.start + np.flatnonzero((matrix[rows] != matrix[others[rows]]).any(axis=1)))
    return np.concatenate(found)


def _blocks(matrix: np.ndarray) -> Iterator[slice]:
    step = max(1, _BLOCK // max(1, matrix.shape[1]))
    yield from (slice(start, start + step) for start in range(0, len(matrix), step))
