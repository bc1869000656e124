"""The images and vectors of an index at one moment, ready to be searched."""

import bisect
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.approximate import KINDS, Approximate, Kind
from deep_ranking.search.cache import Caches
from deep_ranking.search.exact import Exact, Rows, count, distances
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.store import Store, path_key

MAPPED_BYTES = 128 << 20
"""A larger matrix is mapped. A smaller one is read: in huge pages a product takes a quarter less time, which
is lost once the matrix is so large that the memory, not the page table, sets the pace."""


class Snapshot:
    """Everything of one version of a store; later writes, by anyone, do not change it.

    Args:
        store: what to read; only while the snapshot is made.
        caches: the folder of the caches.

    Row i of `matrix` (n, dimension) float32 is the vector of `images[i]`, in order of the paths.
    """

    def __init__(self, store: Store, caches: Path):
        with store.reading():
            self.version = store.version()
            self.images = store.images()
            self._caches = Caches(caches, store.metadata["identity"], self.version)
            dimension = int(store.metadata["dimension"])
            self.matrix = (
                self._caches.get(
                    "vectors.npy", lambda path: self._write_matrix(path, store, dimension), _load
                )
                if self.images
                else np.zeros((0, dimension), np.float32)
            )
        self._structures: dict[Kind, Approximate] = {}

    @cached_property
    def exact(self) -> Exact:
        """Search through every row."""
        return Exact(self.matrix)

    def approximate(self, kind: Kind) -> Approximate:
        """Return the structure of this kind, from its cache or built now."""
        if kind not in self._structures:
            name = f"{kind}.faiss"
            self._structures[kind] = self._caches.get(
                name,
                lambda path: Approximate.build(kind, self.matrix, self._caches.earlier(name)).write(path),
                Approximate.read,
            )
        return self._structures[kind]

    def warm(self) -> None:
        """Bring the structures that an earlier version had up to date, so that no search has to."""
        for kind in KINDS:
            if self.images and self._caches.earlier(f"{kind}.faiss"):
                self.approximate(kind)

    def row(self, path: str) -> int | None:
        """Return the row of an indexed image."""
        place = self._first_row(path_key(path))
        return place if place < len(self.images) and self.images[place].path == path else None

    def search(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Iterable[int] = ()
    ) -> list[list[Hit]]:
        """Return for each query its hits: by distance (the farthest first if so asked), then by path.

        Args:
            queries: (m, dimension) float32.
            k: how many; None for all, which an approximate search cannot give.
            options: which images, and how.
            left_out: rows that are never a hit.
        """
        rows = self._rows(options)
        left_out = np.fromiter(left_out, np.int64)
        if k is None and options.approximate:
            raise DeepRankingError(
                "an approximate search needs to know how many; give a number, or search exactly"
            )
        found: Sequence[np.ndarray]
        if options.bottom or options.beyond is not None or k is None:
            low, high = options.beyond or 0.0, np.inf if options.within is None else options.within
            more = None if k is None else k + len(left_out)
            found = [self.exact.between(q, low, high, more, options.bottom, rows) for q in queries]
        else:
            found = self._nearest(queries, k + len(left_out), options, rows)
        return [self._hits(q, f, k, options, left_out) for q, f in zip(queries, found, strict=True)]

    def _nearest(self, queries: np.ndarray, k: int, options: Options, rows: Rows) -> list[np.ndarray]:
        if options.approximate is None or not self.images:
            return self.exact.nearest(queries, k, rows)
        found = self.approximate(options.approximate).nearest(queries, k, rows, options.probe)
        # A narrow filter may leave the clusters looked into with fewer than there are; then nothing is saved.
        wanted = min(k, count(rows, len(self.images)))
        for i, line in enumerate(found):
            if len(line) < wanted:
                found[i] = self.exact.nearest(queries[i : i + 1], k, rows)[0]
        return found

    def _hits(
        self, query: np.ndarray, found: np.ndarray, k: int | None, options: Options, left_out: np.ndarray
    ) -> list[Hit]:
        if len(left_out):
            found = found[~np.isin(found, left_out)]
        length = distances(self.matrix, found, query)
        if options.within is not None or options.beyond is not None:
            inside = (length >= (options.beyond or 0)) & (
                length <= (np.inf if options.within is None else options.within)
            )
            found, length = found[inside], length[inside]
        order = np.lexsort((found, -length if options.bottom else length))[:k]
        images = self.images
        return [
            Hit(images[row].path, distance, images[row].label)
            for row, distance in zip(found[order].tolist(), length[order].tolist(), strict=True)
        ]

    def _rows(self, options: Options) -> Rows:
        below: slice | None = None
        if options.folder is not None and (folder := path_key(options.folder.strip("/"))):
            # The paths are sorted, so a folder is a range: from "folder/" to "folder0", the byte after "/".
            below = slice(self._first_row(folder + b"/"), self._first_row(folder + b"0"))
            if below.start == below.stop:
                raise DeepRankingError(
                    f"folder: expected one that has images in the index, found {options.folder!r}"
                )
        if options.label is None:
            return below
        if options.label not in self._rows_of_label:
            raise DeepRankingError(
                f"label: expected one of the {len(self._rows_of_label)} in the index (the first are "
                f"{', '.join(map(repr, sorted(self._rows_of_label)[:5]))}), found {options.label!r}"
            )
        rows = self._rows_of_label[options.label]
        return rows if below is None else rows[(rows >= below.start) & (rows < below.stop)]

    def _first_row(self, key: bytes) -> int:
        """Return the first row whose path does not come before `key`."""
        return bisect.bisect_left(self.images, key, key=lambda image: path_key(image.path))

    @cached_property
    def _rows_of_label(self) -> dict[str, np.ndarray]:
        rows: dict[str, list[int]] = {}
        for row, image in enumerate(self.images):
            rows.setdefault(image.label, []).append(row)
        return {label: np.array(members) for label, members in rows.items()}

    def _write_matrix(self, path: Path, store: Store, dimension: int) -> None:
        rows: dict[bytes, list[int]] = {}
        for row, image in enumerate(self.images):
            rows.setdefault(image.hash, []).append(row)
        matrix = np.lib.format.open_memmap(path, "w+", np.float32, (len(self.images), dimension))
        for content, vector in store.vectors():
            if len(vector) == dimension:
                for row in rows.pop(content, ()):
                    matrix[row] = vector
        if rows:
            lost = self.images[next(iter(rows.values()))[0]]
            raise DeepRankingError(
                f"{store.path}: damaged, {lost.path} has no whole vector; delete the folder and index again"
            )
        matrix.flush()


def _load(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r" if path.stat().st_size > MAPPED_BYTES else None))
