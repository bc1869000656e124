"""Search in a segment, among the rows that are not gone since it was made."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from deep_ranking.files import path_key
from deep_ranking.search.exact import Exact, Rows, count, distances
from deep_ranking.search.image import Image, first_row, folder_keys
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.segment import Fill, Segment
from deep_ranking.search.table import ImageTable

_NONE = np.arange(0)
_BLOCK = 1 << 14  # vectors copied at once
_MORE = 64  # asked of a structure beyond k, at most, where rows are gone


class Part:
    """The rows of a segment less those that are gone.

    Args:
        segment: whose rows they are.
        gone: (m,) rows of it, ascending, of images that were removed or replaced.
    """

    def __init__(self, segment: Segment, gone: NDArray[np.intp] = _NONE):
        self.segment, self.gone = segment, gone

    def __len__(self) -> int:
        return len(self.segment) - len(self.gone)

    def moved(self, learned: str) -> "Part":
        """Return the part with its vectors under the map of this text."""
        return Part(self.segment.moved(learned), self.gone)

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """(n,): whether a row of the segment is not gone."""
        there = np.ones(len(self.segment), bool)
        there[self.gone] = False
        return there

    @cached_property
    def exact(self) -> Exact:
        """Search through every row that is there."""
        exact = self.segment.exact
        return exact.without(self.gone) if len(self.gone) else exact

    def images(self) -> Iterator[Image]:
        """Return the images, in order of the path's bytes."""
        images = self.segment.images
        return compress(images, self.there.tolist()) if len(self.gone) else iter(images)

    def row(self, path: str) -> int | None:
        """Return the row of an image in the segment."""
        row = self.segment.row(path)
        return row if row is not None and self.there[row] else None

    def rows_of(self, contents: Collection[bytes]) -> NDArray[np.intp]:
        """Return the rows of images with these content hashes."""
        return self._living(self.segment.images.rows_of(contents))

    def labels(self) -> Counter[str]:
        """Return how many images each label has."""
        counts = Counter({label: len(rows) for label, rows in self.segment.rows_of_label.items()})
        return +(counts - Counter(self.segment.images[row].label for row in self.gone.tolist()))

    def has_folder(self, folder: str) -> bool:
        """Tell whether there are images below a folder."""
        below = self._below(folder)
        return below is None or bool(self.there[below].any())

    def find(
        self, queries: NDArray[np.float32], k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return for each query its hits, as `Snapshot.find`."""
        rows = self._rows(options)
        same = self.rows_of(left_out) if left_out else _NONE
        found: Sequence[np.ndarray]
        if options.bottom or options.beyond is not None or k is None:
            low, high = options.beyond or 0.0, np.inf if options.within is None else options.within
            more = None if k is None else k + len(same)
            found = [self.exact.between(q, low, high, more, options.bottom, rows) for q in queries]
        else:
            found = self._nearest(queries, k + len(same), options, rows)
        return [self._hits(q, f, k, options, same) for q, f in zip(queries, found, strict=True)]

    def _nearest(
        self, queries: NDArray[np.float32], k: int, options: Options, rows: Rows
    ) -> list[np.ndarray]:
        if options.approximate is None or not len(self):
            return self.exact.nearest(queries, k, rows)
        structure = self.segment.approximate(options.approximate)
        if options.probe is None and not structure.suits(k, rows):
            return self.exact.nearest(queries, k, rows)
        found = structure.nearest(queries, k + min(_MORE, len(self.gone)), rows, options.probe)
        # A narrow filter, or rows that are gone, may leave fewer than there are; then nothing is saved.
        wanted = min(k, len(self) if rows is None else count(rows, len(self.segment)))
        found = [self._living(line) for line in found]
        for i, line in enumerate(found):
            if len(line) < wanted:
                found[i] = self.exact.nearest(queries[i : i + 1], k, rows)[0]
        return found

    def _hits(
        self, query: np.ndarray, found: np.ndarray, k: int | None, options: Options, left_out: np.ndarray
    ) -> list[Hit]:
        found = self._living(found)
        if len(left_out):
            found = found[~np.isin(found, left_out)]
        length = distances(self.segment.matrix, found, query)
        if options.within is not None or options.beyond is not None:
            inside = (length >= (options.beyond or 0)) & (
                length <= (np.inf if options.within is None else options.within)
            )
            found, length = found[inside], length[inside]
        order = np.lexsort((found, -length if options.bottom else length))[:k]
        names = self.segment.images.names(found[order])
        lengths = length[order].tolist()
        return [Hit(path, far, label) for (path, label), far in zip(names, lengths, strict=True)]

    def _living(self, rows: np.ndarray) -> np.ndarray:
        return rows[self.there[rows]] if len(self.gone) else rows

    def _rows(self, options: Options) -> Rows:
        below = None if options.folder is None else self._below(options.folder)
        if options.labels is None:
            return below
        rows = rows_of_labels(self.segment.rows_of_label, options.labels, len(self.segment))
        return self._living(
            rows if below is None else rows[slice(*np.searchsorted(rows, (below.start, below.stop)))]
        )

    def _below(self, folder: str) -> slice | None:
        # The paths are sorted, so a folder is a range of rows.
        keys = folder_keys(folder)
        return None if keys is None else slice(*(first_row(self.segment.images, key) for key in keys))


def rows_of_labels(of_each: Mapping[str, np.ndarray], labels: Sequence[str], total: int) -> NDArray[np.intp]:
    """Return the rows of several labels, ascending.

    Example:
        >>> rows_of_labels({"a": np.array([0, 3]), "b": np.array([1])}, ("b", "a", "c"), total=4)
        array([0, 1, 3])
    """
    found = [of_each.get(label, _NONE) for label in labels]
    if len(found) == 1:
        return found[0]
    among = np.zeros(total, bool)  # to sort them takes many times as long
    for rows in found:
        among[rows] = True
    return np.flatnonzero(among)


def merged(parts: Sequence[Part]) -> tuple[ImageTable, Fill]:
    """Return the images of a part and of a smaller one as one table, and what fills in their vectors.

    Args:
        parts: one or two, without a path in common.

    Example:
        >>> images = [Image("a", b"1", 0, 0), Image("c", b"2", 0, 0)], [Image("b", b"3", 0, 0)]
        >>> one, two = Segment(images[0], np.array([[1.0], [2.0]])), Segment(images[1], np.array([[3.0]]))
        >>> table, fill = merged([Part(one, np.array([0])), Part(two)])
        >>> matrix = np.empty((2, 1))
        >>> fill(matrix)
        >>> [image.path for image in table], matrix.tolist()
        (['b', 'c'], [[3.0], [2.0]])
    """
    tables, rows = [part.segment.images for part in parts], np.flatnonzero(parts[0].there)
    table, first = tables[0], len(tables[0])
    if len(parts) > 1:
        places = np.array([first_row(table, path_key(image.path)) for image in tables[1]], np.intp)
        rows = np.insert(rows, np.searchsorted(rows, places), first + np.arange(len(tables[1])))
        table = table.then(tables[1])

    def fill(matrix: NDArray[np.float32]) -> None:
        for start in range(0, len(rows), _BLOCK):
            some, block = rows[start : start + _BLOCK], matrix[start : start + _BLOCK]
            new = some >= first
            block[~new] = parts[0].segment.matrix[some[~new]]
            if new.any():
                block[new] = parts[1].segment.matrix[some[new] - first]

    return table.taken(rows), fill


def whole(parts: Sequence[Part]) -> Segment:
    """Return parts as one segment; a copy, unless there is but one of which nothing is gone."""
    if len(parts) == 1 and not len(parts[0].gone):
        return parts[0].segment
    images, fill = merged(parts)
    matrix = np.empty((len(images), parts[0].segment.matrix.shape[1]), np.float32)
    fill(matrix)
    return Segment(images, matrix)
