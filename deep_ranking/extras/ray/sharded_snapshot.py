"""Search over shards: each finds its nearest, and the nearest of these are the nearest of all."""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from deep_ranking.files import path_key
from deep_ranking.search.approximate import KINDS, Kind
from deep_ranking.search.image import Image
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.store import RemoteSnapshot

if TYPE_CHECKING:
    from deep_ranking.extras.ray.sharded import ShardedStore
from pathlib import Path
from typing import Any

from deep_ranking.search.stores.local import LocalStore
from deep_ranking.search.stores.local_snapshot import LocalSnapshot


class ShardedSnapshot(RemoteSnapshot):
    """The images of all shards, as they are when a search comes.

    Args:
        store: whose images are searched; to be kept open.
    """

    kinds = KINDS

    def __init__(self, store: "ShardedStore"):
        self.version = store.version()
        self._store = store

    def fetch(self) -> tuple[list[Image], np.ndarray]:
        """Gather the images and vectors of all shards."""
        images, matrices = zip(*self._store.ask("contents"), strict=True)
        every = list(chain(*images))
        order = sorted(range(len(every)), key=lambda row: path_key(every[row].path))
        return [every[row] for row in order], np.concatenate(matrices)[order]

    def count(self) -> int:
        """Let each shard count its images."""
        return sum(self._store.ask("count"))

    def content(self, path: str) -> bytes | None:
        """Return the content hash of an indexed image."""
        found = self._store.ask("search", "content", path)
        return next((content for content in found if content is not None), None)

    def vector(self, content: bytes) -> np.ndarray | None:
        """Return the vector (dimension,) of the images with this content."""
        return self._store.ask_one(self._store.home(content), "search", "vector", content)

    def labels(self) -> Mapping[str, int]:
        """Return how many images each label has."""
        return sum(map(Counter, self._store.ask("search", "labels")), Counter())

    def has_folder(self, folder: str) -> bool:
        """Tell whether there are images below a folder."""
        return any(self._store.ask("search", "has_folder", folder))

    def probes(self, kind: Kind) -> tuple[int, int]:
        """Return the smallest and the largest probe that make sense in some shard."""
        smallest, largest = zip(*self._store.ask("search", "probes", kind), strict=True)
        return min(smallest), max(largest)

    def warm(self) -> None:
        """Bring the structures that an earlier version had up to date in each shard."""
        self._store.ask("search", "warm")

    def find(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return for each query its hits, as `search`: those of all shards, in order."""
        found = self._store.ask("search", "find", queries, k, options, left_out)
        sign = -1 if options.bottom else 1

        def rank(hit: Hit) -> tuple[float, bytes]:
            return sign * hit.distance, path_key(hit.path)

        return [sorted(chain(*lists), key=rank)[:k] for lists in zip(*found, strict=True)]


class Shard:
    """What a shard's process does: it answers for the folder's store, and searches its newest snapshot.

    A process that takes the place of one that died opens the same folder, so nothing is lost with it.

    Args:
        folder: of a local store.
    """

    def __init__(self, folder: Path):
        self._store = LocalStore(folder)
        self._snapshot: LocalSnapshot | None = None

    def metadata(self) -> dict[str, str]:
        """Return the store's metadata."""
        return self._store.metadata

    def count(self) -> int:
        """Return how many images there are."""
        return len(self._newest())

    def contents(self) -> tuple[list[Image], np.ndarray]:
        """Return the images, in order of the path, and their vectors."""
        newest = self._newest()
        return newest.images, np.asarray(newest.matrix)

    def store(self, method: str, *arguments: Any) -> Any:
        """Call a method of the store."""
        return getattr(self._store, method)(*arguments)

    def search(self, method: str, *arguments: Any) -> Any:
        """Call a method of the snapshot."""
        return getattr(self._newest(), method)(*arguments)

    def _newest(self) -> LocalSnapshot:
        if self._snapshot is None or self._snapshot.version != self._store.version():
            self._snapshot = self._store.snapshot()
        return self._snapshot
