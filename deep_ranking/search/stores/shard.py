"""One shard of an index: a folder, held by a process of its own somewhere on a Ray cluster."""

from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.search.image import Image
from deep_ranking.search.stores.local import LocalStore
from deep_ranking.search.stores.local_snapshot import LocalSnapshot


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
