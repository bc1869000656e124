"""The images and vectors of a folder at one moment, searched in this process."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deep_ranking.files import take_room
from deep_ranking.search.approximate import KINDS, Approximate, Kind
from deep_ranking.search.cache import Caches
from deep_ranking.search.exact import Exact, Rows, count, distances
from deep_ranking.search.image import Image, first_row, folder_keys
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.store import Snapshot

_BLOCK = 4096

if TYPE_CHECKING:
    from deep_ranking.search.stores.local import LocalStore

MAPPED_BYTES = 128 << 20
"""A larger matrix is mapped. A smaller one is read: in huge pages a product takes a quarter less time, which
is lost once the matrix is so large that the memory, not the page table, sets the pace."""


class LocalSnapshot(Snapshot):
    """Everything of one version of a store.

    Args:
        store: what to read; only while the snapshot is made.
        caches: the folder of the caches.
    """

    kinds = KINDS

    def __init__(self, store: "LocalStore", caches: Path):
        with store.reading():
            self.version = store.version()
            self._images = store.images()
            self._caches = Caches(caches, store.metadata["identity"], self.version)
            dimension = int(store.metadata["dimension"])
            self._matrix = (
                self._caches.get(
                    "vectors.npy",
                    lambda path: self._write_matrix(path, store, dimension),
                    lambda path: _load(path, (len(self.images), dimension)),
                )
                if self.images
                else np.zeros((0, dimension), np.float32)
            )
        self._structures: dict[Kind, Approximate] = {}

    @property
    def images(self) -> list[Image]:
        """Every image, in order of the path's bytes."""
        return self._images

    @property
    def matrix(self) -> np.ndarray:
        """(n, dimension) float32, in memory or mapped."""
        return self._matrix

    def __len__(self) -> int:
        return len(self.images)

    def prepare(self) -> None:
        """Do what the first search would have to do."""
        super().prepare()
        self.exact  # noqa: B018

    def content(self, path: str) -> bytes | None:
        """Return the content hash of an indexed image."""
        row = self.row(path)
        return None if row is None else self.images[row].hash

    def vector(self, content: bytes) -> np.ndarray | None:
        """Return the vector (dimension,) of the images with this content."""
        rows = self._rows_of_content(content)
        return self.matrix[rows[0]] if len(rows) else None

    def labels(self) -> Mapping[str, int]:
        """Return how many images each label has."""
        return {label: len(rows) for label, rows in self.rows_of_label.items()}

    def has_folder(self, folder: str) -> bool:
        """Tell whether there are images below a folder."""
        below = self._below(folder)
        return below is None or below.start < below.stop

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
                lambda path: Approximate.read(path, self.matrix.shape),
            )
        return self._structures[kind]

    def warm(self) -> None:
        """Bring the structures that an earlier version had up to date, so that no search has to."""
        for kind in KINDS:
            if self.images and self._caches.earlier(f"{kind}.faiss"):
                self.approximate(kind)

    def probes(self, kind: Kind) -> tuple[int, int]:
        """Return the smallest and the largest probe that make sense."""
        structure = self.approximate(kind)
        return structure.smallest_probe, structure.largest_probe

    def find(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return for each query its hits, as `search`."""
        rows = self._rows(options)
        same = np.concatenate([np.arange(0), *map(self._rows_of_content, left_out)])
        found: Sequence[np.ndarray]
        if options.bottom or options.beyond is not None or k is None:
            low, high = options.beyond or 0.0, np.inf if options.within is None else options.within
            more = None if k is None else k + len(same)
            found = [self.exact.between(q, low, high, more, options.bottom, rows) for q in queries]
        else:
            found = self._nearest(queries, k + len(same), options, rows)
        return [self._hits(q, f, k, options, same) for q, f in zip(queries, found, strict=True)]

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
        below = None if options.folder is None else self._below(options.folder)
        if options.labels is None:
            return below
        of_each = [self.rows_of_label.get(label, np.arange(0)) for label in options.labels]
        rows = of_each[0] if len(of_each) == 1 else np.unique(np.concatenate(of_each))
        return rows if below is None else rows[(rows >= below.start) & (rows < below.stop)]

    def _below(self, folder: str) -> slice | None:
        # The paths are sorted, so a folder is a range of rows.
        keys = folder_keys(folder)
        return None if keys is None else slice(*(first_row(self.images, key) for key in keys))

    def _rows_of_content(self, content: bytes) -> np.ndarray:
        rows = np.flatnonzero(self._hash_starts == _start(content))
        return np.array([row for row in rows if self.images[row].hash == content], np.int64)

    @cached_property
    def _hash_starts(self) -> np.ndarray:
        return np.array([_start(image.hash) for image in self.images], np.uint64)

    def _write_matrix(self, path: Path, store: "LocalStore", dimension: int) -> None:
        rows: dict[bytes, list[int]] = {}
        for row, image in enumerate(self.images):
            rows.setdefault(image.hash, []).append(row)
        store.check_vectors()
        matrix = np.lib.format.open_memmap(path, "w+", np.float32, (len(self.images), dimension))
        take_room(path)
        for content, vector in store.vectors():
            for row in rows.pop(content, ()):
                matrix[row] = vector
        if rows:
            raise store.damaged(f"{self.images[next(iter(rows.values()))[0]].path} has no vector")
        for start in range(0, len(matrix), _BLOCK):
            if not np.isfinite(matrix[start : start + _BLOCK]).all():
                raise store.damaged("a vector is not of finite numbers")
        matrix.flush()


def _load(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    mapped = np.lib.format.open_memmap(path, mode="r")
    if mapped.shape != shape or mapped.dtype != np.float32:
        return None
    return np.asarray(mapped if mapped.nbytes > MAPPED_BYTES else np.array(mapped))


def _start(content: bytes) -> int:
    return int.from_bytes(content[:8], "big")
