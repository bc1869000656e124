"""Vectors kept by content: computed once for each image and setting, wherever the image lies."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_ranking.arrays import read_array
from deep_ranking.errors import DeepRankingError
from deep_ranking.files import written_whole


@dataclass(frozen=True)
class Cache:
    """A folder of `.npy` files; a file's name is the digest of what its array was computed from.

    Any file may be deleted at any time; one that is cut short or no array is computed again.

    Args:
        folder: made when it is first written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = Cache(Path(folder))
        ...     cache.put("abc", np.ones(2, np.float32))
        ...     cache.get("abc"), cache.get("abd")
        (array([1., 1.], dtype=float32), None)
    """

    folder: Path

    def get(self, key: str) -> np.ndarray | None:
        """Return the array of a key, or None."""
        try:
            return read_array(self._path(key))
        except (OSError, DeepRankingError):
            return None

    def put(self, key: str, array: np.ndarray) -> None:
        """Keep an array; its file is whole or not there."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            np.save(temporary, array, allow_pickle=False)

    def _path(self, key: str) -> Path:
        return Path(os.fspath(self.folder)) / key[:2] / f"{key[2:]}.npy"
