"""Embed the images of a folder into an index, or bring one up to date.

Only new and changed images are embedded; a renamed one is known by its content. A run that is stopped, in
whatever way, goes on where it was. Images that cannot be read are skipped and listed.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import shared

if TYPE_CHECKING:
    from deep_ranking.search.index import Embedder, Index
    from deep_ranking.search.measure import Measurement
    from deep_ranking.search.update import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `index`."""
    from deep_ranking.cli.shared import add_store

    add_store(parser, "the index; made if missing")
    parser.add_argument(
        "--model", metavar="FILE", help="the network that embeds (an index remembers its own)"
    )
    parser.add_argument("--images", metavar="DIR", help="the folder to follow (an index remembers its own)")
    shared.add_engine(parser)
    cluster = parser.add_argument_group("on a cluster (docs/scaling.md)")
    add = cluster.add_argument
    add(
        "--ray",
        metavar="ADDRESS|local",
        help="embed by the workers of a Ray cluster, or of one that is started here; --images may then be a "
        "URL, and hold WebDataset (.tar) and Parquet files",
    )
    add("--ray_workers", type=int, metavar="N", help="(default: one a GPU, or one for every 4 cores)")
    add("--shards", metavar="DIR|URL", help="where the workers write vectors (default: INDEX/shards)")
    add("--shard_size", type=int, metavar="N", help="images a shard, on average (default: 1024)")
    parser.add_argument(
        "--measure", action="store_true", help="measure recall@10 against time, and recommend a setting"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Index, and measure if asked."""
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.search.index import Index

    if args.model or args.images or not args.measure:
        try:
            index, report = _update(args)
        except KeyboardInterrupt as stop:
            stop.add_note("the same command goes on where this one was")
            raise
    else:
        index, report = Index.open(args.index), None
    with index:
        result = {"index": index.store.name, "count": len(index)}
        if report:
            result |= asdict(report)
            _print_report(report, len(index), to_stderr=args.json)
        if args.measure:
            measured, best = _measure(index, args.quiet)
            result |= {"measurements": [asdict(m) for m in measured], "recommended": asdict(best)}
            if not args.json:
                _print_measurements(measured, best)
    if args.json:
        print(json.dumps(result))
    if report and not result["count"]:
        raise DeepRankingError(f"none of {len(report.skipped)} images could be read; the index is empty")


def _update(args: argparse.Namespace) -> "tuple[Index, Report]":
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.search.index import Index
    from deep_ranking.search.stores import place_name

    remembered = {}
    if Index.exists(args.index):
        with Index.open(args.index) as index:
            remembered = dict(index.metadata)
    model, folder = args.model or remembered.get("model"), args.images or remembered.get("images")
    if not model or not folder:
        raise DeepRankingError(
            f"{place_name(args.index)}: expected --model and --images, which a new index needs; found only "
            f"{'--model' if model else '--images' if folder else 'neither'}"
        )
    if args.ray is not None:
        return _update_on_cluster(args, model, folder)
    for name in ("ray_workers", "shards", "shard_size"):
        if getattr(args, name) is not None:
            raise DeepRankingError(f"--{name}: no effect without --ray; leave it out, or add --ray local")
    if "://" in folder:
        raise DeepRankingError(f"{folder}: only --ray reads a URL; add --ray local, or an address")
    return _update_here(args, model, folder)


def _update_here(args: argparse.Namespace, model: str, folder: str) -> "tuple[Index, Report]":
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.extras.ray.sources import CONTAINERS
    from deep_ranking.images.find import find_images
    from deep_ranking.search.update import require_images, update_index

    broken: list[str] = []
    paths = find_images(folder, on_skip=broken.append)
    require_images(folder, paths)
    from deep_ranking.cli.shared import import_keras

    import_keras()
    from deep_ranking.embedding import Model

    shared.tell_engine(args)
    embedder = Model.load(model, args.engine, args.precision)

    def update(index: "Index") -> "Report":
        for path in broken:
            if path.endswith(CONTAINERS) and index.snapshot.has_folder(path):
                raise DeepRankingError(
                    f"{index.store.name}: holds images of {path}, which --ray reads; add --ray local, "
                    "or an address"
                )
        return update_index(index, folder, paths, embedder, quiet=args.quiet)

    return _updated(args, model, embedder, update, broken)


def _update_on_cluster(args: argparse.Namespace, model: str, folder: str) -> "tuple[Index, Report]":
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.extras.ray.ray_cluster import join_cluster
    from deep_ranking.extras.ray.shards import ShardFolder
    from deep_ranking.extras.ray.update import SHARD_SIZE, update_on_cluster

    broken: list[str] = []
    if not args.shards and "://" in args.index:
        raise DeepRankingError("expected --shards, a folder or URL for what the workers write, found none")
    shards = ShardFolder(args.shards or str(Path(args.index) / "shards"))
    join_cluster(args.ray)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # Ray has counted them; they are for the workers alone
    from deep_ranking.cli.shared import import_keras

    import_keras()
    from deep_ranking.embedding import Model
    from deep_ranking.extras.ray.shards import publish

    embedder = Model.load(model)
    make_embedder = publish(model, embedder.fingerprint, shards, args.engine, args.precision)

    def update(index: "Index") -> "Report":
        index.check_model(embedder.fingerprint, embedder.dimension)
        return update_on_cluster(
            index,
            folder,
            make_embedder,
            args.ray,
            shards,
            args.ray_workers,
            SHARD_SIZE if args.shard_size is None else args.shard_size,
            broken.append,
            args.quiet,
        )

    return _updated(args, model, embedder, update, broken)


def _updated(
    args: argparse.Namespace,
    model: str,
    embedder: "Embedder",
    update: "Callable[[Index], Report]",
    broken: list[str],
) -> "tuple[Index, Report]":
    from deep_ranking.images.find import is_named_as_image
    from deep_ranking.search.index import Index
    from deep_ranking.search.store import IndexExistsError

    metadata = {"model": str(Path(model).resolve())}
    try:
        index = Index.create(args.index, embedder.dimension, embedder.fingerprint, metadata)
    except IndexExistsError:  # from an earlier run, or from another that started with this one
        index = Index.open(args.index)
    try:
        index.rebind(embedder.fingerprint, embedder.dimension, metadata)
        report = update(index)
        for path in filter(is_named_as_image, broken):
            report.skipped.setdefault(path, "named as an image, but its content is none")
        index.write(metadata=metadata)
        index.snapshot.warm()
        return index, report
    except BaseException:
        index.close()
        raise


def _print_report(report: "Report", count: int, to_stderr: bool) -> None:
    for path, error in sorted(report.skipped.items()):
        print(f"skipped {path}: {error}", file=sys.stderr)
    counts = ", ".join(f"{value:,} {name}" for name, value in asdict(report).items() if name != "skipped")
    print(
        f"{count:,} images in the index: {counts}, {len(report.skipped):,} skipped",
        file=sys.stderr if to_stderr else sys.stdout,
    )


def _measure(index: "Index", quiet: bool) -> "tuple[list[Measurement], Measurement]":
    from deep_ranking.progress import progress
    from deep_ranking.search.measure import measure, recommend

    measured = list(progress(measure(index.snapshot), "measuring", "settings", quiet=quiet))
    return measured, recommend(measured)


def _print_measurements(measured: "list[Measurement]", best: "Measurement") -> None:
    from deep_ranking.search.measure import WANTED_RECALL

    print(f"{'search':<12}{'probe':>6}{'recall@10':>11}{'ms a query':>12}")
    for m in measured:
        name, probe = m.approximate or "exact", "" if m.probe is None else m.probe
        print(f"{name:<12}{probe:>6}{m.recall:>11.3f}{m.milliseconds:>12.3f}")
    flags = (
        f"--approximate {best.approximate} --probe {best.probe}" if best.approximate else "exact (no flags)"
    )
    print(f"recommended, the fastest with recall@10 of {WANTED_RECALL} or more: {flags}")
