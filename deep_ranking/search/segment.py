"""Rows of an index that stay as they are: images in order of their paths, and their vectors.

A snapshot is a large segment, less the rows of images that were removed or replaced since it was written, and
a small one of what was put since. So a change costs what has changed, not the index.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deep_ranking.files import path_key, take_room
from deep_ranking.search.approximate import Approximate, Kind
from deep_ranking.search.cache import TRAILER, Caches, held, load_matrix, save_matrix
from deep_ranking.search.exact import Exact
from deep_ranking.search.image import Image, first_row
from deep_ranking.search.learned import Stretch
from deep_ranking.search.promise import warn_of_recall
from deep_ranking.search.table import ImageTable

Fill = Callable[[NDArray[np.float32]], None]
"""Fills a matrix, (n, dimension), with vectors."""

_ALIGNED = 64  # bytes that an array in a file begins at a multiple of


class Segment:
    """Images and their vectors, and what is made of them once for all who search.

    Args:
        images: in order of the path's bytes.
        matrix: (n, dimension) float32, in memory or mapped; row i is the vector of `images[i]`.
        caches: where what is made of the rows is kept; None to make it in memory.
    """

    def __init__(self, images: Iterable[Image], matrix: NDArray[np.float32], caches: Caches | None = None):
        self.images, self.matrix, self.caches = ImageTable.of(images), matrix, caches
        self._structures: dict[Kind, Approximate] = {}
        self._moved: tuple[str, Segment] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def moved(self, learned: str) -> "Segment":
        """Return the segment with its vectors under the map of this text; see `learned.Stretch`."""
        if self._moved is not None and self._moved[0] == learned:
            return self._moved[1]
        stretch = Stretch.from_text(learned, self.matrix.shape[1])
        if stretch is None or not len(self):
            return self
        mark = hashlib.sha256(learned.encode()).hexdigest()[:16]
        caches = self.caches and self.caches.of(mark)
        matrix = stretch(self.matrix) if caches is None else caches.get(
            "learned.npy",
            lambda path: save_matrix(path, stretch(self.matrix)),
            partial(load_matrix, shape=self.matrix.shape),
        )  # fmt: skip
        self._moved = learned, Segment(self.images, matrix, caches)
        return self._moved[1]

    @cached_property
    def exact(self) -> Exact:
        """Search through every row."""
        return Exact(self.matrix)

    @cached_property
    def rows_of_label(self) -> dict[str, NDArray[np.intp]]:
        """The rows of each label, ascending."""
        return self.images.rows_of_label()

    def approximate(self, kind: Kind) -> Approximate:
        """Return the structure of this kind, from its cache or built now."""
        if kind not in self._structures:
            self._structures[kind] = self._structure(kind)
            warn_of_recall(kind, self._structures[kind].recall)
        return self._structures[kind]

    def _structure(self, kind: Kind) -> Approximate:
        name, caches = f"{kind}.faiss", self.caches
        if caches is None:
            return Approximate.build(kind, self.matrix)
        return caches.get(
            name,
            lambda path: Approximate.build(kind, self.matrix, caches.earlier(name)).write(path),
            lambda path: Approximate.read(path, self.matrix),
        )

    def warm(self, kinds: Iterable[Kind]) -> None:
        """Bring the structures that earlier rows had up to date, so that no search has to."""
        for kind in kinds:
            if self.caches and len(self) and self.caches.earlier(f"{kind}.faiss"):
                self.approximate(kind)

    def row(self, path: str) -> int | None:
        """Return the row of an image."""
        place = first_row(self.images, path_key(path))
        return place if place < len(self) and self.images[place].path == path else None


def write_segment(path: Path, images: ImageTable, dimension: int, fill: Fill) -> None:
    """Write a segment for `read_segment`: the matrix as NumPy's format has it, and the columns after it.

    Args:
        path: the file.
        images: of the rows.
        dimension: of their vectors.
        fill: fills a matrix (n, dimension) with them.
    """
    matrix = np.lib.format.open_memmap(path, "w+", np.float32, (len(images), dimension))
    take_room(path)
    fill(matrix)
    matrix.flush()
    with path.open("ab") as file:
        for array in images.arrays():
            file.write(bytes(-file.tell() % _ALIGNED))
            np.lib.format.write_array(file, array)


def read_segment(path: Path, dimension: int, caches: Caches | None = None) -> Segment | None:
    """Read a segment, the vectors mapped where they are many; None for a file that holds none such."""
    matrix, *columns = _arrays(path)
    images = ImageTable.from_arrays(columns)
    if images is None or matrix.shape != (len(images), dimension) or matrix.dtype != np.float32:
        return None
    return Segment(images, held(matrix), caches)


def _arrays(path: Path) -> Iterator[np.ndarray]:
    """Yield the arrays of a sealed file, mapped: all of one file, though another be put in its place."""
    with path.open("rb") as file:
        end, place = os.fstat(file.fileno()).st_size - TRAILER, 0
        while place < end:
            file.seek(place)
            np.lib.format.read_magic(file)
            shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
            order, begin = "F" if fortran else "C", file.tell()
            size = int(np.prod(shape)) * kind.itemsize
            mapped = np.memmap(file, kind, "r", begin, shape, order) if size else np.empty(shape, kind)  # type: ignore[call-overload]
            yield np.asarray(mapped)
            place = begin + size
            place += -place % _ALIGNED if place < end else 0
