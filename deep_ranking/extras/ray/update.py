"""An index brought up to date with images that a cluster embeds."""

import os
from collections.abc import Callable, Iterable, Mapping

from deep_ranking.containers import CONTAINERS
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.extras.ray.ray_data import embed_shards
from deep_ranking.extras.ray.shards import ShardFolder, from_parquet, make_shards
from deep_ranking.extras.ray.sources import Source, absolute_root, find_sources
from deep_ranking.progress import progress
from deep_ranking.search.index import Index
from deep_ranking.search.query import Embedder
from deep_ranking.search.update import Report, Stamp, Update, check_same_images

SHARD_SIZE = 1024


def update_on_cluster(
    index: Index,
    root: str | os.PathLike[str],
    make_embedder: Callable[[], Embedder],
    address: str,
    folder: ShardFolder,
    workers: int | None = None,
    shard_size: int = SHARD_SIZE,
    on_skip: Callable[[str], None] | None = None,
    quiet: bool = False,
) -> Report:
    """Make the index hold exactly the readable images below `root`, embedded by Ray workers.

    The result is that of `update_index`, up to the rounding of vectors; images within tar and Parquet files
    come besides. Each shard goes into the index in one transaction, once it is written; so a run that is
    killed, wherever, is gone on with by the next, and no finished shard is embedded again.

    Args:
        index: to change; its fingerprint is that of the network.
        root: a folder or a URL, with images or with containers of them (see `sources`).
        make_embedder: loads the network, in the worker.
        address: of the cluster, as in `join_cluster`.
        folder: where shards go.
        workers: as in `crew`.
        shard_size: images a shard, on average, 1 or more.
        on_skip: as in `find_sources`.
        quiet: no progress.

    Raises:
        DeepRankingError: no images, or none of an index made from elsewhere; a worker failed; no cluster.
        MissingExtraError: Ray is not installed.
    """
    expect("--shard_size", shard_size >= 1, "1 or more", shard_size)
    place = absolute_root(root)
    sources = find_sources(place, on_skip)
    stored = {image.path: (image.size, image.mtime) for image in index.store.images()}
    listed, done = _listed(sources, stored)
    check_same_images(index, place, [*listed, *(source.path for source in sources)])
    update = Update(index, place, listed)
    pending = set(update.pending)

    def wanted(source: Source) -> bool:
        return source.path not in done if source.is_container else source.path in pending

    shards = make_shards(sources, wanted, index.metadata["fingerprint"], shard_size)
    finished = folder.names()

    def merge(names: Iterable[str]) -> None:
        for name in names:
            try:
                result = from_parquet(folder.read(name))
            except DeepRankingError as error:
                raise DeepRankingError(f"{folder.url}/{name}: {error}") from None
            update.write(result.images, result.vectors, result.errors)
            bar.update()

    with progress([], "embedding", "shards", len(shards), quiet or not shards) as bar:
        merge(shard.name for shard in shards if shard.name in finished)
        rest = [shard for shard in shards if shard.name not in finished]
        merge(embed_shards(rest, make_embedder, place, folder, address, workers))
    return update.finish()


def _listed(sources: list[Source], stored: Mapping[str, Stamp]) -> tuple[dict[str, Stamp], set[str]]:
    """Return the images that are to be in the index as far as they are known, and the unchanged containers.

    A container's images carry its size and change time; while both stay, they are as they were.
    """
    listed = {s.path: (s.size, s.mtime) for s in sources if not s.is_container}
    containers = {s.path: (s.size, s.mtime) for s in sources if s.is_container}
    done = set()
    for path, stamp in stored.items():
        container = _container(path, containers)
        if container and containers[container] == stamp:
            listed[path] = stamp
            done.add(container)
    return listed, done


def _container(path: str, containers: Mapping[str, Stamp]) -> str | None:
    parts = path.split("/")
    for number, part in enumerate(parts[:-1], 1):
        if part.endswith(CONTAINERS) and (name := "/".join(parts[:number])) in containers:
            return name
    return None
