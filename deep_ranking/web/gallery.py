"""The index as the page sees it: one version at a time, its images under numbers that keep their meaning."""

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import path_key
from deep_ranking.location import STORE
from deep_ranking.search import Index, Options
from deep_ranking.search.image import Image, first_row, folder_keys
from deep_ranking.search.options import Hit
from deep_ranking.search.part import rows_of_labels
from deep_ranking.search.snapshot import Snapshot
from deep_ranking.search.stores.registry import folder_of

APPROXIMATE_FROM = 10_000
"""With fewer images, an exact search is as fast."""

MOST_FOLDERS = 3_000

logger = logging.getLogger(__name__)


class Gallery:
    """One version of an index.

    Args:
        snapshot: the images and vectors.
        metadata: of the index; `images` is the folder of the images, `model` the file of the network.

    Attributes:
        folder: that the paths are relative to, or None.
        ids: (n,) int64, the number of each image.
        sizes: width and height in pixels of the images whose files were looked at, by number.
    """

    def __init__(self, snapshot: Snapshot, metadata: dict[str, str]):
        self.snapshot, self.metadata, self.folder = snapshot, metadata, metadata.get("images")
        self.sizes: dict[int, tuple[int, int]] = {}
        self.ids = np.fromiter(map(image_id, snapshot.images), np.int64, len(snapshot.images))
        self._order = np.argsort(self.ids, kind="stable")
        self._ascending = self.ids[self._order]
        # Two have one number, at a million images, in one of ten thousand indexes.
        while len(same := np.flatnonzero(self._ascending[1:] <= self._ascending[:-1])):
            self._ascending[same[0] + 1] = self._ascending[same[0]] + 1
        self.ids[self._order] = self._ascending
        self._to_build, self._has_built = threading.Lock(), False
        snapshot.prepare()  # now, not by the first who searches
        self.labels, self.folders  # noqa: B018

    def take_over(self, earlier: "Gallery") -> None:
        """Remember what an earlier version knew of the images that are still there."""
        self.sizes |= {
            number: size for number, size in dict(earlier.sizes).items() if self.row(number) is not None
        }

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def key(self) -> tuple[str, str]:
        """The identity and the version of the index."""
        return self.metadata["identity"], self.snapshot.version

    def row(self, number: int) -> int | None:
        """Return the row of the image with a number."""
        place = int(np.searchsorted(self._ascending, number))
        there = place < len(self) and self._ascending[place] == number
        return int(self._order[place]) if there else None

    def row_of_content(self, content: bytes) -> int | None:
        """Return a row of the images with a content hash."""
        rows = self.snapshot.whole.images.rows_of((content,))
        return int(rows[-1]) if len(rows) else None

    @cached_property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels as they are shown, each with those of the index that look so."""
        shown_as: dict[str, list[str]] = {}
        for label in sorted(self.snapshot.rows_of_label, key=path_key):
            if label:
                shown_as.setdefault(shown(label), []).append(label)
        return {text: tuple(labels) for text, labels in shown_as.items()}

    @cached_property
    def folders(self) -> dict[str, tuple[str, int]]:
        """The folders as they are shown, each as the index has it, and how many images lie below it.

        The outer ones first; of more than `MOST_FOLDERS`, the inner ones are not listed.
        """
        below = Counter(image.path.rpartition("/")[0] for image in self.snapshot.images)
        counts: Counter[str] = Counter()
        for folder, number in below.items():
            while folder:
                counts[folder] += number
                folder = folder.rpartition("/")[0]
        outer_first = sorted(counts, key=lambda folder: (folder.count("/"), path_key(folder)))
        return {shown(folder): (folder, counts[folder]) for folder in outer_first[:MOST_FOLDERS]}

    @property
    def approximates(self) -> bool:
        """Whether a search that is not exact may find something else."""
        return len(self) >= APPROXIMATE_FROM and find_spec("faiss") is not None

    def rows_with(self, labels: Sequence[str], folder: str | None = None, name: str = "") -> np.ndarray:
        """Return the rows with one of some shown labels, below a shown folder, with a part of a path.

        Ascending; all of them if nothing is given. Letters of either case match.
        """
        rows = np.arange(len(self))
        if labels:
            own = [own for text in labels for own in self.labels.get(text, ())]
            rows = rows_of_labels(self.snapshot.rows_of_label, own, len(self))
        if folder and (keys := folder_keys(self.folders[folder][0])):
            low, high = (first_row(self.snapshot.images, key) for key in keys)
            rows = rows[(rows >= low) & (rows < high)]
        if wanted := name.strip().casefold():
            named = (wanted in shown(image.path).casefold() for image in self.snapshot.images)
            rows = rows[np.fromiter(named, bool, len(self))[rows]]
        return rows

    def search(
        self,
        vector: np.ndarray,
        k: int,
        labels: Sequence[str],
        left_out: Sequence[int],
        exact: bool,
        folder: str | None = None,
    ) -> tuple[list[Hit], bool]:
        """Return the nearest images, and whether they were searched exactly, as before `build` they are."""
        exact = exact or not self._has_built
        kind = None if exact else self.snapshot.kinds[0]
        return self._search(vector, k, self._options(labels, folder, approximate=kind), left_out), exact

    def farthest(
        self,
        vector: np.ndarray,
        k: int,
        labels: Sequence[str],
        left_out: Sequence[int],
        folder: str | None = None,
    ) -> list[Hit]:
        """Return the farthest images, the farthest first."""
        return self._search(vector, k, self._options(labels, folder, bottom=True), left_out)

    def _search(self, vector: np.ndarray, k: int, options: Options, left_out: Sequence[int]) -> list[Hit]:
        # Copies of the query are shown, so it is left out by its path and not, as elsewhere, by its content.
        paths = {self.snapshot.images[row].path for row in left_out}
        hits = self.snapshot.search(vector[None], k + len(paths), options)[0]
        return [hit for hit in hits if hit.path not in paths][:k]

    def _options(self, labels: Sequence[str], folder: str | None, **more: Any) -> Options:
        own = tuple(label for text in labels for label in self.labels[text]) or None
        return Options(label=own, folder=self.folders[folder][0] if folder else None, **more)

    def is_to_be_built(self) -> bool:
        """Tell, to the first who asks, that `build` is of use and was not begun."""
        return len(self) >= APPROXIMATE_FROM and self._to_build.acquire(blocking=False)

    def build(self) -> None:
        """Build what approximate search needs, where it can be had."""
        with contextlib.suppress(DeepRankingError):  # an extra is missing, or the vectors are too long for it
            self.snapshot.probes(self.snapshot.kinds[0])
            self._has_built = True


class CurrentGallery:
    """The newest version of an index that other processes may change meanwhile.

    Args:
        place: of the index.
        seconds: how often it is looked at.
    """

    def __init__(self, place: str | os.PathLike[str], seconds: float = 1.0):
        self._place, self._folder, self._seconds = place, folder_of(place), seconds
        # A folder is read once; a server is searched, so its index stays open.
        self._index = Index.open(place) if self._folder is None else None
        self._seen, self._checked = self._state(), time.monotonic()
        self._gallery = self._read()
        self._loading, self._closed = threading.Lock(), threading.Event()
        if self._folder is not None and seconds > 0:
            threading.Thread(target=self._watch, name="watch index", daemon=True).start()

    def _watch(self) -> None:
        """Look also while nobody asks: who comes in the morning shall not see what was there at night."""
        while not self._closed.wait(self._seconds):
            self()

    def close(self) -> None:
        """Look no more, and let go of a server."""
        self._closed.set()
        if self._index is not None:
            self._index.close()

    def __call__(self) -> Gallery:
        """Return the gallery; after a change of the index it is loaded aside, and the earlier one served."""
        if time.monotonic() - self._checked > self._seconds and self._loading.acquire(blocking=False):
            self._checked = time.monotonic()
            state = self._state()
            if state == self._seen and self._index is None:
                self._loading.release()
            else:
                self._seen = state  # of before it is read, so that no change is missed
                threading.Thread(target=self._load, name="load index", daemon=True).start()
        return self._gallery

    def reload(self) -> None:
        """Load what was changed, and come back when it is served."""
        self._loading.acquire()
        self._seen = self._state()
        self._load()

    def _load(self) -> None:
        try:
            if self._key() != self._gallery.key:
                newest = self._read()
                newest.take_over(self._gallery)
                self._gallery = newest
        except (DeepRankingError, OSError) as error:
            logger.warning("the index cannot be read now, its earlier version is served: %s", error)
        finally:
            self._loading.release()

    def _opened(self) -> AbstractContextManager[Index]:
        return Index.open(self._place) if self._index is None else nullcontext(self._index)

    def _key(self) -> tuple[str, str]:
        with self._opened() as index:
            return index.metadata["identity"], index.store.version()

    def _read(self) -> Gallery:
        with self._opened() as index:
            index.refresh()
            return Gallery(index.snapshot, dict(index.metadata))

    def _state(self) -> tuple:
        if self._folder is None:
            return ()
        found = []
        for name in (STORE, f"{STORE}-wal"):
            try:
                status = (self._folder / name).stat()
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


def image_id(image: Image) -> int:
    """Return an image's number, below 2^53: a hash of path and content, so it never means another image.

    What was cached, or kept as an address, under a number stays true after the index has changed.
    """
    digest = hashlib.blake2b(path_key(image.path) + b"\0" + image.hash, digest_size=8).digest()
    return int.from_bytes(digest) >> 11


def shown(text: str) -> str:
    """Return a file name as it can be sent; bytes that are not UTF-8 become U+FFFD."""
    return path_key(text).decode("utf-8", "replace")
