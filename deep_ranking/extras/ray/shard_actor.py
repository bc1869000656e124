"""A shard's process: it holds the folder of a store, and answers for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.search.image import Image
from deep_ranking.search.snapshot import Snapshot
from deep_ranking.search.stores.local import LocalStore


class ShardActor:
    """What a shard's process does: it answers for the folder's store, and searches its newest snapshot.

    A process that takes the place of one that died opens the same folder, so nothing is lost with it.

    Args:
        folder: of a local store.
    """

    def __init__(self, folder: Path):
        self._store = LocalStore(folder)
        self._snapshot: Snapshot | None = None

    def metadata(self) -> dict[str, str]:
        """Return the store's metadata."""
        return self._store.metadata

    def count(self) -> int:
        """Return how many images there are."""
        return len(self._newest())

    def contents(self) -> tuple[str, Sequence[Image], np.ndarray]:
        """Return the version, the images in order of the path, and their vectors."""
        snapshot = self._newest()
        return snapshot.version, snapshot.images, snapshot.matrix

    def store(self, method: str, *arguments: Any) -> Any:
        """Call a method of the store."""
        return getattr(self._store, method)(*arguments)

    def search(self, method: str, *arguments: Any) -> Any:
        """Call a method of the snapshot."""
        return getattr(self._newest(), method)(*arguments)

    def _newest(self) -> Snapshot:
        if self._snapshot is None or self._snapshot.version != self._store.version():
            self._snapshot = self._store.snapshot()
        return self._snapshot
