"""What `deep-ranking index --ray` adds to the command: flags, and embedding by the workers of a cluster."""

import argparse
import os
from typing import TYPE_CHECKING, Any

from deep_ranking.errors import DeepRankingError

if TYPE_CHECKING:
    from deep_ranking.search.index import Index
    from deep_ranking.search.update import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add = parser.add_argument_group("on a cluster (docs/scaling.md)").add_argument
    add(
        "--ray",
        metavar="ADDRESS|local",
        help="embed by the workers of a Ray cluster, or of one that is started here; --images may then be a "
        "URL",
    )
    add("--ray_workers", type=int, metavar="N", help="(default: one a GPU, or one for every 4 cores)")
    add("--shards", metavar="DIR|URL", help="where the workers write vectors (default: INDEX/shards)")
    add("--shard_size", type=int, metavar="N", help="images a shard, on average (default: 1024)")


def check_unused(args: argparse.Namespace, folder: str) -> None:
    """Raise DeepRankingError for what has no effect, or cannot be, without `--ray`."""
    for name in ("ray_workers", "shards", "shard_size"):
        if getattr(args, name) is not None:
            raise DeepRankingError(f"--{name}: no effect without --ray; leave it out, or add --ray local")
    if "://" in folder:
        raise DeepRankingError(f"{folder}: only --ray reads a URL; add --ray local, or an address")


def prepare(args: argparse.Namespace, model: str, folder: str) -> Any:
    """Return the embedder, and what updates an index."""
    from deep_ranking.extras.ray.ray_cluster import join_cluster
    from deep_ranking.extras.ray.shards import ShardFolder, publish
    from deep_ranking.extras.ray.update import SHARD_SIZE, update_on_cluster
    from deep_ranking.images.content import NO_IMAGE, why_no_image
    from deep_ranking.images.find import Found
    from deep_ranking.search.following import told
    from deep_ranking.search.stores.registry import folder_of

    found = Found(folder)

    def skip(path: str) -> None:
        why = None if "://" in folder else why_no_image(os.path.join(folder, path))  # noqa: PTH118
        found.left_out[path] = why or NO_IMAGE

    beside = folder_of(args.index)
    if not args.shards and beside is None:
        raise DeepRankingError("expected --shards, a folder or URL for what the workers write, found none")
    shards = ShardFolder(args.shards or beside / "shards")  # type: ignore[operator]
    join_cluster(args.ray)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # Ray has counted them; they are for the workers alone
    from deep_ranking.cli.shared import import_keras

    import_keras()
    from deep_ranking.embedding import Model

    embedder = Model.load(model)
    make_embedder = publish(model, embedder.fingerprint, shards, args.engine, args.precision)

    def update(index: "Index") -> "Report":
        index.check_model(embedder.fingerprint, embedder.dimension)
        report = update_on_cluster(
            index,
            folder,
            make_embedder,
            args.ray,
            shards,
            args.ray_workers,
            SHARD_SIZE if args.shard_size is None else args.shard_size,
            skip,
            args.quiet,
        )
        return told(report, found)

    return embedder, update
