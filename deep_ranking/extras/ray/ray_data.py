"""Shards through Ray Data: its actors, its restarts; what is finished is known by the files."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence

from deep_ranking.errors import DeepRankingError, MissingExtraError, expect
from deep_ranking.extras.ray.ray_cluster import join_cluster
from deep_ranking.extras.ray.shards import Shard, ShardFolder
from deep_ranking.extras.ray.worker import ShardEmbedder
from deep_ranking.search.query import Embedder


def embed_shards(
    shards: Sequence[Shard],
    make_embedder: Callable[[], Embedder],
    root: str,
    folder: ShardFolder,
    address: str,
    workers: int | None = None,
) -> Iterator[str]:
    """Embed shards on a cluster; yield the name of each that is written.

    Each worker loads the network once. One that dies is started again, and the shard that it was at begins
    anew; a shard whose file is there is not embedded again. Ray Data's own checkpoints are not used: they
    keep every image's name in memory, and read all images again to pass over the finished ones.

    Args:
        shards: the work.
        make_embedder: loads the network, in the worker.
        root: of the sources, as `absolute_root` returns it; the workers must reach it.
        folder: where shards go; the workers must reach it.
        address: of the cluster, as in `join_cluster`.
        workers: as in `crew`.

    Raises:
        DeepRankingError: no cluster; a worker raised an error, and what is finished stays.
        MissingExtraError: Ray, or what it needs for data, is not installed.
    """
    if not shards:
        return
    ray = join_cluster(address)
    try:
        from ray.data import ActorPoolStrategy, DataContext
    except ImportError:
        raise MissingExtraError("ray[data]", "cluster", "embedding on a cluster") from None

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    DataContext.get_current().enable_progress_bars = False
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    count, cores, gpus = crew(
        [int(node.get("CPU", 0)) for node in nodes], sum(int(node.get("GPU", 0)) for node in nodes), workers
    )
    rows = [{"shard": shard.to_json()} for shard in shards]
    results = ray.data.from_items(rows, override_num_blocks=min(len(rows), 1000)).map(
        ShardEmbedder,  # type: ignore[arg-type]  # Ray Data makes the object itself
        fn_constructor_args=(make_embedder, root, folder, cores),
        compute=ActorPoolStrategy(size=count),
        num_cpus=cores,
        num_gpus=gpus,
    )
    try:
        for row in results.iter_rows():
            yield row["name"]
    except ray.exceptions.RayError as error:
        raise DeepRankingError(
            f"a worker failed ({_first_error(str(error))}); finished shards stay, the same command goes on"
        ) from error


def _first_error(text: str) -> str:
    """Return what went wrong at first, of the tracebacks that Ray brings as text."""
    found = re.search(r"^[\w.]*(?:Error|Exception): (.+)$", text, re.MULTILINE)
    return found[1] if found else text.partition("\n")[0]


def crew(cores: Sequence[int], gpus: int, workers: int | None = None) -> tuple[int, int, int]:
    """Return how many workers there are to be, and the cores and GPUs of each.

    Args:
        cores: of each machine.
        gpus: of all machines.
        workers: how many; None takes one a GPU, or where there is none one for every four cores.

    Raises:
        DeepRankingError: `workers` is not 1 or more.

    Example:
        >>> crew([16, 16, 16], gpus=0), crew([16, 16, 16], gpus=0, workers=5), crew([32], gpus=4)
        ((12, 4, 0), (5, 8, 0), (4, 8, 1))
    """
    expect("--ray_workers", workers is None or workers >= 1, "1 or more", workers)
    count = workers or gpus or max(1, sum(cores) // 4)
    each = next((c for c in range(max(cores), 1, -1) if sum(n // c for n in cores) >= count), 1)
    return count, each, int(gpus >= count)
