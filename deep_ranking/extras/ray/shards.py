"""Shards: what one worker does in one go, named by what goes in, so that a finished one is known."""

import functools
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.extras.ray.sources import Source, absolute_root, file_system
from deep_ranking.files import written_whole
from deep_ranking.search.image import Image

if TYPE_CHECKING:
    from deep_ranking.embedding import Model


class Shard(NamedTuple):
    """Some sources that are embedded together, and written as one file.

    Attributes:
        name: of the file; it follows from the model and from path, size and change time of each source, so
            a file of this name holds exactly this.
        sources: what goes in.
    """

    name: str
    sources: tuple[Source, ...]

    def to_json(self) -> str:
        """Return it as text; `from_json` reads it."""
        return json.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> "Shard":
        """Read what `to_json` wrote."""
        name, sources = json.loads(text)
        return cls(name, tuple(Source(*source) for source in sources))


def make_shards(
    sources: Iterable[Source], wanted: Callable[[Source], bool], model: str, size: int
) -> list[Shard]:
    """Cut a listing into shards; each container is one of its own.

    A shard of images ends behind a path whose hash says so, one in `size`, or where it has 4 * size images.
    So an image that comes or goes changes the shard that it is in and no other, where every shard behind it
    would change if each had `size` images.

    Args:
        sources: the whole listing, sorted: cuts are made before choosing.
        wanted: says which sources have to be embedded; a shard holds these alone.
        model: the fingerprint of the network.
        size: images a shard, on average.
    """
    shards: list[tuple[Source, ...]] = []
    images: list[Source] = []
    for source in sources:
        if source.is_container:
            shards.append((source,))
            continue
        images.append(source)
        digest = hashlib.blake2b(source.path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        if int.from_bytes(digest) % size == 0 or len(images) == 4 * size:
            shards.append(tuple(images))
            images = []
    shards.append(tuple(images))
    chosen = (tuple(filter(wanted, sources)) for sources in shards)
    return [Shard(_name(model, sources), sources) for sources in chosen if sources]


def _name(model: str, sources: tuple[Source, ...]) -> str:
    return hashlib.sha256(json.dumps([model, sources]).encode()).hexdigest()[:32] + ".parquet"


@dataclass
class Result:
    """What came of a shard.

    Attributes:
        images: those that could be read.
        vectors: by content hash, (d,) float32.
        errors: why others could not be read, by path.
    """

    images: list[Image] = field(default_factory=list)
    vectors: dict[bytes, np.ndarray] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


class ShardFolder:
    """The folder, or the URL, that finished shards are in; a file there is whole.

    Args:
        url: where; made if missing. All workers must reach it.
    """

    def __init__(self, url: str | os.PathLike[str]):
        self.url = absolute_root(url)

    def names(self) -> set[str]:
        """Return the names of the files that are there."""
        system, base = file_system(self.url)
        try:
            return {path.rpartition("/")[2] for path in system.ls(base, detail=False, refresh=True)}
        except FileNotFoundError:
            return set()

    def holds(self, name: str) -> bool:
        """Tell whether a file is there."""
        system, base = file_system(self.url)
        return bool(system.exists(f"{base}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        if "://" in self.url:  # object stores show an object once it is whole
            system, base = file_system(self.url)
            system.pipe_file(f"{base}/{name}", content)
            return
        Path(self.url).mkdir(parents=True, exist_ok=True)
        with written_whole(Path(self.url) / name) as temporary:
            temporary.write_bytes(content)

    def read(self, name: str) -> bytes:
        """Read a file."""
        system, base = file_system(self.url)
        content: bytes = system.cat_file(f"{base}/{name}")
        return content


def to_parquet(result: Result, dimension: int) -> bytes:
    """Return the file of a finished shard: columns path, hash, label, size, mtime and vector.

    Which images could not be read, and why, stands in the schema's metadata under `errors`, as JSON.
    """
    import pyarrow
    import pyarrow.parquet

    images = result.images
    matrix = np.array([result.vectors[image.hash] for image in images], np.float32).reshape(-1, dimension)
    columns = {
        "path": pyarrow.array([image.path for image in images], pyarrow.string()),
        "hash": pyarrow.array([image.hash for image in images], pyarrow.binary(32)),
        "label": pyarrow.array([image.label for image in images], pyarrow.string()),
        "size": pyarrow.array([image.size for image in images], pyarrow.int64()),
        "mtime": pyarrow.array([image.mtime for image in images], pyarrow.int64()),
        "vector": pyarrow.FixedSizeListArray.from_arrays(matrix.reshape(-1), dimension),
    }
    table = pyarrow.table(columns).replace_schema_metadata({"errors": json.dumps(result.errors)})
    file = io.BytesIO()
    # Vectors do not shrink: a dictionary or a codec would cost time for nothing.
    pyarrow.parquet.write_table(
        table, file, compression="none", use_dictionary=["label"], write_page_checksum=True
    )
    return file.getvalue()


def from_parquet(data: bytes) -> Result:
    """Read what `to_parquet` returned.

    Raises:
        DeepRankingError: it is damaged.
    """
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data), page_checksum_verification=True)
        errors: Mapping[str, str] = json.loads((table.schema.metadata or {})[b"errors"])
        vector = table["vector"].combine_chunks()
        matrix = vector.flatten().to_numpy().reshape(len(table), -1) if len(table) else ()
        columns = ("path", "hash", "size", "mtime", "label")
        plain: Sequence[list] = [table[name].to_pylist() for name in columns]
        images = [Image(*row) for row in zip(*plain, strict=True)]
        vectors = {image.hash: row for image, row in zip(images, matrix, strict=True)}
        return Result(images, vectors, dict(errors))
    # A table of other types has other methods.
    except (pyarrow.ArrowException, AttributeError, OSError, KeyError, TypeError, ValueError) as error:
        raise DeepRankingError(
            f"expected a finished shard, found a damaged file ({reason(error)}); delete it and run again"
        ) from error


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of `size` items, the last one shorter."""
    some: list[Any] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def publish(
    model: str | os.PathLike[str], fingerprint: str, folder: ShardFolder, engine: str, precision: str
) -> "Callable[[], Model]":
    """Copy a model file into the folder of shards, and return what loads it in a worker.

    The copy is named by the fingerprint, the SHA-256 of the file, and written once; engine and precision are
    as in `Model.load`.
    """
    name = f"model-{fingerprint[:32]}{Path(model).suffix}"
    if not folder.holds(name):
        folder.write(name, Path(model).read_bytes())
    return functools.partial(_load, folder, name, engine, precision)


def _load(folder: ShardFolder, name: str, engine: str, precision: str) -> "Model":
    from deep_ranking.embedding import Model

    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / name
        path.write_bytes(folder.read(name))
        return Model.load(path, engine, precision)
