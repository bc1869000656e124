"""The network's way to the workers: a copy beside the shards, which they reach anyway."""

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from deep_ranking.cluster.shards import ShardFolder
from deep_ranking.embedding import Embedder


def publish(
    model: str | os.PathLike[str], fingerprint: str, folder: ShardFolder, engine: str, precision: str
) -> Callable[[], Embedder]:
    """Copy a model file into the folder of shards, and return what loads it in a worker.

    Args:
        model: the file.
        fingerprint: SHA-256 of it; the copy is named by it, and written once.
        folder: where shards go.
        engine: as in `Embedder.load`.
        precision: as in `Embedder.load`.
    """
    name = f"model-{fingerprint[:32]}{Path(model).suffix}"
    if not folder.holds(name):
        folder.write(name, Path(model).read_bytes())
    return functools.partial(_load, folder, name, engine, precision)


def _load(folder: ShardFolder, name: str, engine: str, precision: str) -> Embedder:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / name
        path.write_bytes(folder.read(name))
        return Embedder.load(path, engine, precision)
