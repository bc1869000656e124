"""Search over shards: each finds its nearest, and the nearest of these are the nearest of all."""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from deep_ranking.search.approximate import KINDS, Kind
from deep_ranking.search.image import Image, path_key
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.stores.remote_snapshot import RemoteSnapshot

if TYPE_CHECKING:
    from deep_ranking.search.stores.sharded import ShardedStore


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
