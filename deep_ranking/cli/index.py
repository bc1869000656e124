"""Embed the images of a folder into an index, or bring one up to date.

Only new and changed images are embedded; a renamed one is known by its content. A run that is stopped, in
whatever way, goes on where it was. Images that cannot be read are skipped and listed.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from deep_ranking.cli import shared
from deep_ranking.errors import DeepRankingError, one_line

if TYPE_CHECKING:
    from deep_ranking.search.index import Index
    from deep_ranking.search.measure import Measurement
    from deep_ranking.search.update import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `index`."""
    shared.add_store(parser, "the index; made if missing")
    add = parser.add_argument
    add("--model", metavar="FILE", help="the network that embeds (an index remembers its own)")
    add("--images", metavar="DIR", help="the folder to follow (an index remembers its own)")
    shared.add_engine(parser)
    for _, way in _other_ways():
        way.add_arguments(parser)
    add("--measure", action="store_true", help="measure recall@10 against time, and recommend a setting")
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Index, and measure if asked."""
    from deep_ranking.progress import progress
    from deep_ranking.search.index import Index
    from deep_ranking.search.measure import measure, recommend

    if args.model or args.images or not args.measure:
        try:
            index = _update(args)
        except KeyboardInterrupt as stop:
            stop.add_note("the same command goes on where this one was")
            raise
    else:
        index = Index.open(args.index)
    with index:
        report = index.report
        result = {"index": index.store.name, "count": len(index)}
        if report:
            result |= asdict(report)
            _print_report(report, len(index), to_stderr=args.json)
        if args.measure:
            measured = list(progress(measure(index.snapshot), "measuring", "settings"))
            best = recommend(measured)
            result |= {"measurements": [asdict(m) for m in measured], "recommended": asdict(best)}
            if not args.json:
                _print_measurements(measured, best)
    if args.json:
        print(json.dumps(result))
    if report and not result["count"]:
        raise DeepRankingError(f"none of {len(report.skipped)} images could be read; the index is empty")


def _other_ways() -> Iterator[tuple[str, ModuleType]]:
    """Yield the ways to embed that extras bring, and the flag that chooses each."""
    extras: Any = importlib.import_module("deep_ranking.extras")
    for flag, entry in extras.EMBEDDERS.items():
        yield flag, extras.load(entry)


def _update(args: argparse.Namespace) -> "Index":
    from deep_ranking.search.folder import indexed
    from deep_ranking.search.index import Index
    from deep_ranking.search.stores.registry import place_name

    remembered = {}
    if Index.exists(args.index):
        with Index.open(args.index) as index:
            remembered = dict(index.metadata)
    model, folder = args.model or remembered.get("model"), args.images or remembered.get("images")
    if not model or not folder:
        found = "--model" if model else "--images" if folder else "neither"
        needed = "expected --model and --images, which a new index needs"
        raise DeepRankingError(f"{place_name(args.index)}: {needed}; found only {found}")
    prepare = _prepare
    for flag, way in _other_ways():
        if getattr(args, flag) is None:
            way.check_unused(args, folder)
        else:
            prepare = way.prepare
    embedder, update, others = prepare(args, model, folder)
    return indexed(Index, args.index, embedder, update, others, {"model": str(Path(model).resolve())})


def _prepare(args: argparse.Namespace, model: str, folder: str) -> Any:
    """Return the embedder, what updates an index, and the files that are no images."""
    from deep_ranking.images.find import find_images
    from deep_ranking.search.image import CONTAINERS
    from deep_ranking.search.update import require_images, update_index

    others: list[str] = []
    paths = find_images(folder, on_skip=others.append)
    require_images(folder, paths)
    if not args.quiet:
        shared.import_keras()
        _tell_engine(args.engine, args.precision)
    embedder = shared.embedding_model(model, args.engine, args.precision)

    def update(index: "Index") -> "Report":
        for path in others:
            if path.endswith(CONTAINERS) and index.snapshot.has_folder(path):
                held = f"{index.store.name}: holds images of {path}"
                raise DeepRankingError(f"{held}, which --ray reads; add --ray local, or an address")
        return update_index(index, folder, paths, embedder)

    return embedder, update, others


def _tell_engine(engine: str, precision: str) -> None:
    """Say in a line on standard error what the flags come to on this machine."""
    import keras

    from deep_ranking.embedding.engines import resolve

    engine, precision = resolve(engine, precision)
    name = {"openvino": "OpenVINO", "keras": f"Keras on {keras.backend.backend()}"}[engine]
    print(f"embedding with {name} in {precision}", file=sys.stderr)


def _print_report(report: "Report", count: int, to_stderr: bool) -> None:
    for path, error in sorted(report.skipped.items()):
        print(one_line(f"skipped {path}: {error}"), file=sys.stderr)
    counts = ", ".join(f"{value:,} {name}" for name, value in asdict(report).items() if name != "skipped")
    told = f"{count:,} images in the index: {counts}, {len(report.skipped):,} skipped"
    print(told, file=sys.stderr if to_stderr else sys.stdout)


def _print_measurements(measured: "list[Measurement]", best: "Measurement") -> None:
    from deep_ranking.search.approximate import PROMISED

    print(f"{'search':<12}{'probe':>6}{'recall@10':>11}{'ms a query':>12}")
    for m in measured:
        name, probe = m.approximate or "exact", "" if m.probe is None else m.probe
        print(f"{name:<12}{probe:>6}{m.recall:>11.3f}{m.milliseconds:>12.3f}")
    flags = f"--approximate {best.approximate} --probe {best.probe}"
    flags = flags if best.approximate else "exact (no flags)"
    print(f"recommended, the fastest with recall@10 of {PROMISED} or more: {flags}")
