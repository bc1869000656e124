"""What runs in each Ray worker: a network, loaded once, that embeds shards."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from deep_ranking.containers import ContainerError
from deep_ranking.errors import reason
from deep_ranking.extras.ray.shards import Result, Shard, ShardFolder, batches, to_parquet
from deep_ranking.extras.ray.sources import Encoded, Source, read_source
from deep_ranking.search.image import Image
from deep_ranking.search.query import Embedder

T = TypeVar("T")

CHUNK = 128
"""Images read and embedded at a time; the next are read meanwhile."""


class ShardEmbedder:
    """Embeds shards and writes each as a file; Ray makes one for each worker.

    Args:
        make_embedder: loads the network.
        root: of the sources, as `absolute_root` returns it.
        folder: where shards go.
        threads: that read, and the processor cores that the network may take.
    """

    def __init__(self, make_embedder: Callable[[], Embedder], root: str, folder: ShardFolder, threads: int):
        # TensorFlow would take every core of the machine for each of its workers.
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
        self.root, self.folder, self.threads = root, folder, threads
        self.embedder = make_embedder()

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        """Embed the shard `row["shard"]` unless its file is there, and return its name."""
        shard = Shard.from_json(row["shard"])
        if not self.folder.holds(shard.name):  # it is where a worker died after writing
            self.folder.write(shard.name, to_parquet(self._embed(shard), self.embedder.dimension))
        return {"name": shard.name}

    def _embed(self, shard: Shard) -> Result:
        result = Result()
        try:
            for found, errors in _ahead(self._chunks(shard.sources)):
                result.errors |= errors
                self._add(found, {source.path: source for source in shard.sources}, result)
        except (ContainerError, OSError) as error:  # what was read of it before is not taken either
            path = shard.sources[0].path
            return Result(errors={path: reason(error).removeprefix(f"{path}: ")})
        return result

    def _chunks(self, sources: Sequence[Source]) -> Iterator[tuple[list[Encoded], dict[str, str]]]:
        if sources[0].is_container:
            for some in batches(read_source(self.root, sources[0]), CHUNK):
                yield some, {}
            return

        def read(source: Source) -> Encoded | str:
            try:
                (image,) = read_source(self.root, source)
                return image
            except OSError as error:
                return error.strerror or reason(error)

        with ThreadPoolExecutor(2 * self.threads) as pool:  # they wait for disks and networks
            for part in batches(sources, CHUNK):
                found = list(zip(part, pool.map(read, part), strict=True))
                errors = {source.path: image for source, image in found if isinstance(image, str)}
                yield [image for _, image in found if isinstance(image, Encoded)], errors

    def _add(self, found: list[Encoded], stamps: Mapping[str, Source], result: Result) -> None:
        hashes = [image.hash for image in found]
        new = {h: image.content for h, image in zip(hashes, found, strict=True) if h not in result.vectors}
        vectors, failures = self.embedder.embed(list(new.values()), quiet=True)
        broken = {content: str(error).removeprefix("the image: ") for content, error in failures}
        readable = [h for h, content in new.items() if content not in broken]
        finite = np.isfinite(vectors).all(axis=1)
        result.vectors |= {h: v for h, v, good in zip(readable, vectors, finite, strict=True) if good}
        (whole, *_) = stamps.values()  # of a container's images, their container's
        for content_hash, image in zip(hashes, found, strict=True):
            source = stamps.get(image.path, whole)
            if not _is_text(image.path):
                result.errors[image.path] = "its name is not UTF-8, which shards cannot hold"
            elif content_hash in result.vectors:
                stored = Image(image.path, content_hash, source.size, source.mtime, image.label)
                result.images.append(stored)
            else:
                no_number = "the model gives NaN or infinity for it"
                result.errors[image.path] = broken.get(image.content, no_number)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, each made by a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item
