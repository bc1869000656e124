"""What a search sees of a store: images and vectors, searched in this process or by the store."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import composed, path_key
from deep_ranking.search.approximate import KINDS, Approximate, Kind
from deep_ranking.search.cache import load_matrix, save_matrix
from deep_ranking.search.exact import Exact, Rows, count, distances
from deep_ranking.search.image import Image, first_row, folder_keys
from deep_ranking.search.learned import Stretch
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.promise import Curve, warn_of_recall

if TYPE_CHECKING:
    from deep_ranking.search.store import Contents, Store


_NONE = np.arange(0)


class Snapshot:
    """Everything of one version of a store, ready to be searched; later writes, by anyone, do not change it.

    Where the store itself can search, a subclass that is `remote` asks it: a search then sees what is there
    when it comes, and `images` and `matrix` are read once, when they are first asked for.

    Args:
        store: what to read. It may be closed once it is read.

    Attributes:
        version: the store's, when the snapshot was made.
        kinds: the approximate searches there are.
    """

    kinds: tuple[Kind, ...] = KINDS
    remote = False

    def __init__(self, store: "Store"):
        self.store = store
        self._structures: dict[Kind, Approximate] = {}
        self.version = store.version() if self.remote else self.contents.version

    @cached_property
    def contents(self) -> "Contents":
        """What was read of the store."""
        return self.store.contents()

    @property
    def images(self) -> list[Image]:
        """Every image, in order of the path's bytes."""
        return self.contents.images

    @cached_property
    def learned(self) -> Stretch | None:
        """The map learned from ratings that vectors are searched under; None where nothing was learned."""
        return None if self.remote else Stretch.from_text(self.contents.learned, self.store.dimension)

    def moved(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors (m, dimension), as the model gives them, as they are compared here."""
        return vectors if self.learned is None else self.learned(vectors)

    @cached_property
    def matrix(self) -> np.ndarray:
        """(n, dimension) float32, in memory or mapped; row i is the vector of `images[i]`, as compared."""
        start = self.contents.matrix
        if self.learned is None or not len(start):
            return start
        caches = self.store.caches(self.version)
        if caches is None:
            return self.moved(start)
        return caches.get(
            "learned.npy",
            lambda p: save_matrix(p, self.moved(start)),
            partial(load_matrix, shape=start.shape),
        )

    def __len__(self) -> int:
        return len(self.images) if "contents" in vars(self) else self.store.count()

    def row(self, path: str) -> int | None:
        """Return the row of an indexed image in `images` and `matrix`."""
        place = first_row(self.images, path_key(path))
        return place if place < len(self.images) and self.images[place].path == path else None

    @cached_property
    def rows_of_label(self) -> dict[str, np.ndarray]:
        """The rows of each label in `images` and `matrix`, ascending."""
        rows: dict[str, list[int]] = {}
        for row, image in enumerate(self.images):
            rows.setdefault(image.label, []).append(row)
        return {label: np.array(members) for label, members in rows.items()}

    def search(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return for each query its hits: by distance (the farthest first if so asked), then by path.

        Args:
            queries: (m, dimension) float32.
            k: how many; None for all, which an approximate search cannot give.
            options: which images, and how.
            left_out: content hashes of images that are never a hit.

        Raises:
            DeepRankingError: no image has the label or is in the folder; a search that this store lacks.
        """
        if options.approximate and options.approximate not in self.kinds:
            raise DeepRankingError(
                f"approximate: expected one of {', '.join(self.kinds)} for this store, "
                f"found {options.approximate!r}"
            )
        if k is None and options.approximate:
            raise DeepRankingError(
                "an approximate search needs to know how many; give a number, or search exactly"
            )
        options = self._as_spelled(options)
        found = self.find(queries, k, options, left_out)
        # Several labels may hide one that is not there.
        if not any(found) or len(options.labels or ()) > 1:
            self._check_filters(options)
        return found

    def spelled(self, name: str) -> str:
        """Return a path, or a folder, as it is spelled in the index, if only its Unicode form differs."""
        wanted, parts = composed(name), name.count("/") + 1
        if name.isascii():
            return name
        found = ("/".join(image.path.split("/")[:parts]) for image in self.images if not image.path.isascii())
        return next((path for path in found if composed(path) == wanted), name)

    def _as_spelled(self, options: Options) -> Options:
        """Return the options with labels and folder as the index has them, if only Unicode's form differs."""
        if options.label is None and options.folder is None:
            return options
        typed = *(options.labels or ()), options.folder or ""
        if all(name.isascii() for name in typed):
            return options
        folder, labels = options.folder, options.labels
        if folder is not None and not self.has_folder(folder):
            folder = self.spelled(folder.strip("/"))
        if labels:
            alike: dict[str, list[str]] = {}
            for label in self.labels():
                alike.setdefault(composed(label), []).append(label)
            wanted = (alike.get(composed(label), [label]) for label in labels)
            labels = tuple(dict.fromkeys(chain.from_iterable(wanted)))
        return replace(options, folder=folder, label=labels)

    def prepare(self) -> None:
        """Do what the first search would have to do."""
        self.rows_of_label  # noqa: B018 - and with it the images
        if not self.remote:
            self.exact  # noqa: B018

    def content(self, path: str) -> bytes | None:
        """Return the content hash of an indexed image."""
        row = self.row(path)
        return None if row is None else self.images[row].hash

    def vector(self, content: bytes) -> np.ndarray | None:
        """Return the vector (dimension,) of the images with this content."""
        rows = self._rows_of((content,))
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
            self._structures[kind] = self._structure(kind)
            warn_of_recall(kind, self._structures[kind].recall)
        return self._structures[kind]

    def _structure(self, kind: Kind) -> Approximate:
        name, caches = f"{kind}.faiss", self.store.caches(self.version)
        if caches is None:
            return Approximate.build(kind, self.matrix)
        return caches.get(
            name,
            lambda path: Approximate.build(kind, self.matrix, caches.earlier(name)).write(path),
            lambda path: Approximate.read(path, self.matrix),
        )

    def warm(self) -> None:
        """Bring the structures that an earlier version had up to date, so that no search has to."""
        caches = self.store.caches(self.version)
        for kind in self.kinds:
            if caches and self.images and caches.earlier(f"{kind}.faiss"):
                self.approximate(kind)

    def probes(self, kind: Kind) -> tuple[int, int]:
        """Return the smallest and the largest probe that make sense."""
        structure = self.approximate(kind)
        return structure.smallest_probe, structure.largest_probe

    def recalls(self, kind: Kind) -> Curve:
        """Return `(probe, recall@10)` of growing probes, for images that are not in the index."""
        return self.approximate(kind).curve

    def find(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return the hits as `search` does; of a label or a folder that is not there, none."""
        rows = self._rows(options)
        same = self._rows_of(left_out) if left_out else _NONE
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
        structure = self.approximate(options.approximate)
        if options.probe is None and not structure.suits(k, rows):
            return self.exact.nearest(queries, k, rows)
        found = structure.nearest(queries, k, rows, options.probe)
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

    def _rows_of(self, contents: Collection[bytes]) -> np.ndarray:
        if not contents:
            return np.arange(0)
        rows = np.flatnonzero(np.isin(self._hash_starts, np.array([*map(_start, contents)], np.uint64)))
        return np.array([row for row in rows if self.images[row].hash in contents], np.int64)

    @cached_property
    def _hash_starts(self) -> np.ndarray:
        return np.array([_start(image.hash) for image in self.images], np.uint64)

    def _check_filters(self, options: Options) -> None:
        if options.folder is not None and options.folder.strip("/") and not self.has_folder(options.folder):
            raise DeepRankingError(
                f"folder: expected one that has images in the index{self._folders_there()}, "
                f"found {options.folder!r}"
            )
        there = self.labels() if options.labels else {}
        for label in options.labels or ():
            if not any(there):
                raise DeepRankingError(
                    f"label: expected an index with labels, found none in this one (asked for {label!r}); "
                    "`index --labels folders` makes them of the folders' names"
                )
            if label not in there:
                raise DeepRankingError(
                    f"label: expected one of the {len(there)} in the index (the first are "
                    f"{', '.join(map(repr, sorted(there)[:5]))}), found {label!r}"
                )

    def _folders_there(self) -> str:
        tops = sorted({image.path.split("/")[0] for image in self.images if "/" in image.path})
        first = ", ".join(tops[:5]) + ", ..." * (len(tops) > 5)
        return f" ({first})" if tops else ", which has no sub-folders"


def _start(content: bytes) -> int:
    return int.from_bytes(content[:8], "big")
