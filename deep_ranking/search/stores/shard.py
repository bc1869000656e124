"""One shard of an index: a folder, held by a process of its own somewhere on a Ray cluster."""

import logging
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason
from deep_ranking.search.image import Image
from deep_ranking.search.stores.local import LocalStore
from deep_ranking.search.stores.local_snapshot import LocalSnapshot

LOCAL = "local"
"""The address of a cluster that is started on this machine, and ends with the process."""


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


def start_ray(address: str) -> Any:
    """Join a Ray cluster, unless this process is in one, and return the package.

    Args:
        address: `local`, `auto` (one that runs on this machine) or `HOST:PORT`.

    Raises:
        MissingExtraError: Ray is not installed.
        DeepRankingError: there is no cluster.
    """
    own = address == LOCAL
    if own and "ray" not in sys.modules:  # it reads these when imported
        # It listens on every network, and would run whatever anybody sends.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers unless told not to
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns of a change to come
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "cluster", "a Ray cluster") from None
    if ray.is_initialized():
        return ray
    try:
        ray.init(
            address=address,
            include_dashboard=False if own else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises nearly anything, Exception itself for one
        ray.shutdown()
        mend = (
            "Ray gives itself 30 seconds to start; try again when the machine is less busy"
            if own
            else "start one with: ray start --head; or give the address local"
        )
        raise DeepRankingError(f"ray://{address}: expected a Ray cluster ({reason(error)}); {mend}") from None
    return ray
