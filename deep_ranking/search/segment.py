"""Rows of an index that stay as they are: images in order of their paths, and their vectors.

A snapshot is a large segment, less the rows of images that were removed or replaced since it was written, and
a small one of what was put since. So a change costs what has changed, not the index.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from deep_ranking.files import path_key, take_room
from deep_ranking.search.approximate import Approximate, Kind
from deep_ranking.search.cache import Caches, held, load_arrays, save_arrays
from deep_ranking.search.codes import Codes, suits
from deep_ranking.search.exact import Exact
from deep_ranking.search.image import Image, first_row
from deep_ranking.search.learned import Stretch
from deep_ranking.search.promise import warn_of_recall
from deep_ranking.search.table import ImageTable

Fill = Callable[[NDArray[np.float32]], None]
"""Fills a matrix, (n, dimension), with vectors."""

_CODES = "codes.npy"
_REPAID = 32  # searches of one image take as long as codes take to be made
_MANY = 32  # queries at once save as much as one alone


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
        self._codes: Codes | None = None
        self._asked, self._making = 0, Lock()  # for the codes

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
            lambda path: save_arrays(path, [stretch(self.matrix)]),
            self._read_moved,
        )  # fmt: skip
        self._moved = learned, Segment(self.images, matrix, caches)
        return self._moved[1]

    def _read_moved(self, path: Path) -> NDArray[np.float32] | None:
        (matrix,) = load_arrays(path)
        return held(matrix) if matrix.shape == self.matrix.shape and matrix.dtype == np.float32 else None

    @cached_property
    def exact(self) -> Exact:
        """Search through every row."""
        return Exact(self.matrix, self.codes)

    def codes(self, queries: int = 1, now: bool = False) -> Codes | None:
        """Return the rows in eight bits; None where they save nothing.

        They are made where so many searches have gone without that these took as long, or `now`.
        """
        if self._codes is not None or not suits(self.matrix):
            return self._codes
        if not self._asked and not now and self.caches:
            self._codes = self.caches.kept(_CODES, self._read_codes)
        self._asked += max(1, queries // _MANY)
        if self._codes is None and (now or self._asked >= _REPAID) and self._making.acquire(blocking=now):
            try:
                self._codes = self._codes or self._made_codes()
            finally:
                self._making.release()
        return self._codes

    def _made_codes(self) -> Codes:
        if self.caches is not None:
            # On a full disk, say, no search fails of what only makes it faster.
            with contextlib.suppress(OSError):
                return self.caches.get(
                    _CODES, lambda path: save_arrays(path, Codes.of(self.matrix).arrays()), self._read_codes
                )
        return Codes.of(self.matrix)

    def _read_codes(self, path: Path) -> Codes | None:
        return Codes.from_arrays([*map(held, load_arrays(path))], self.matrix.shape)

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
        """Make codes, and bring the structures that earlier rows had up to date, so that no search has to."""
        self.codes(now=True)
        for kind in kinds:
            if self.caches and len(self) and self.caches.earlier(f"{kind}.faiss"):
                self.approximate(kind)

    def row(self, path: str) -> int | None:
        """Return the row of an image."""
        place = first_row(self.images, path_key(path))
        return place if place < len(self) and self.images[place].path == path else None


def write_segment(path: Path, images: ImageTable, dimension: int, fill: Fill) -> None:
    """Write a segment for `read_segment`: the matrix as NumPy's format has it, and the columns after it."""
    matrix = np.lib.format.open_memmap(path, "w+", np.float32, (len(images), dimension))
    take_room(path)
    fill(matrix)
    matrix.flush()
    save_arrays(path, images.arrays())


def read_segment(path: Path, dimension: int, caches: Caches | None = None) -> Segment | None:
    """Read a segment, the vectors mapped where they are many; None for a file that holds none such."""
    matrix, *columns = load_arrays(path)
    images = ImageTable.from_arrays(columns)
    if images is None or matrix.shape != (len(images), dimension) or matrix.dtype != np.float32:
        return None
    return Segment(images, held(matrix), caches)
