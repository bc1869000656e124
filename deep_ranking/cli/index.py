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
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from deep_ranking.cli import shared
from deep_ranking.errors import DeepRankingError

if TYPE_CHECKING:
    from deep_ranking.search.index import Index
    from deep_ranking.search.measure import Measurement
    from deep_ranking.search.update import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `index`."""
    shared.add_store(parser, "the index; made if missing")
    add = parser.add_argument
    add("--model", metavar="FILE", help="the network that embeds (an index remembers its own)")
    about = "the folder to follow, or several; beside those that an index has (it remembers them)"
    add("--images", nargs="+", metavar="DIR", help=about)
    about = "none (default); folders: the first folder of each path; or a CSV or TSV file of paths and labels"
    add("--labels", metavar="none|folders|FILE", help=about)
    shared.add_exclude(parser, "an index remembers them")
    about = (
        "drop images whose folder is not there or is empty; else they are kept, since a disk may be missing"
    )
    add("--forget_missing", action="store_true", help=about)
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
    model = args.model or remembered.get("model")
    folders = args.images or [remembered[name] for name in ("images",) if name in remembered]
    if not model or not folders:
        found = "--model" if model else "--images" if folders else "neither"
        needed = "expected --model and --images, which a new index needs"
        raise DeepRankingError(f"{place_name(args.index)}: {needed}; found only {found}")
    prepare = _prepare
    for flag, way in _other_ways():
        if getattr(args, flag) is None:
            way.check_unused(args, folders[0])
        else:
            prepare = partial(_prepare_otherwise, way, flag, remembered)
    embedder, update = prepare(args, model, folders)
    return indexed(Index, args.index, embedder, update, {"model": str(Path(model).resolve())})


def _prepare_otherwise(
    way: ModuleType,
    flag: str,
    remembered: dict[str, str],
    args: argparse.Namespace,
    model: str,
    folders: list[str],
) -> Any:
    """Return what `_prepare` does, of a way that reads one folder, as a whole."""
    from deep_ranking.search.labels import checked_rule

    several = len(folders) > 1 or len(json.loads(remembered.get("folders", "[]"))) > 1
    if several or args.exclude or args.forget_missing:
        raise DeepRankingError(f"--{flag}: it reads one folder, without --exclude and --forget_missing")
    labels = checked_rule(args.labels) or remembered.get("labels", "folders" if remembered else "none")
    embedder, update_otherwise = way.prepare(args, model, folders[0])

    def update(index: "Index") -> "Report":
        index.write(metadata={"labels": labels})
        report: Report = update_otherwise(index)
        return report

    return embedder, update


def _prepare(args: argparse.Namespace, model: str, folders: list[str]) -> Any:
    """Return the embedder, and what updates an index, once the folders are looked into."""
    from deep_ranking.search.folder import follow
    from deep_ranking.search.image import CONTAINERS
    from deep_ranking.search.index import Index

    exclude = args.exclude or None  # as remembered
    how = {"exclude": exclude, "labels": args.labels, "forget_missing": args.forget_missing}
    following = follow(Index, args.index, args.images or (), **how)
    for note in following.notes:
        print(note, file=sys.stderr)
    found = following.found
    shared.tell_left_out(found)
    if not args.quiet:
        shared.import_keras()
        _tell_engine(args.engine, args.precision)
    embedder = shared.embedding_model(model, args.engine, args.precision)

    def update(index: "Index") -> "Report":
        for path in found.left_out:
            if path.endswith(CONTAINERS) and index.snapshot.has_folder(path):
                held = f"{index.store.name}: holds images of {path}"
                raise DeepRankingError(f"{held}, which --ray reads; add --ray local, or an address")
        return following.update(index, embedder)

    return embedder, update


def _tell_engine(engine: str, precision: str) -> None:
    """Say in a line on standard error what the flags come to on this machine."""
    import keras

    from deep_ranking.embedding.engines import resolve

    engine, precision = resolve(engine, precision)
    name = {"openvino": "OpenVINO", "keras": f"Keras on {keras.backend.backend()}"}[engine]
    print(f"embedding with {name} in {precision}", file=sys.stderr)


def _print_report(report: "Report", count: int, to_stderr: bool) -> None:
    for path, error in sorted(report.skipped.items()):
        if error not in report.left_out:  # those are told before
            print(f"skipped {path}: {error}", file=sys.stderr)
    if report.missing:
        told = f"kept {len(report.missing):,} images whose folders are not there now, or empty"
        print(f"{told}: {shared.names_of(report.missing)}; --forget_missing drops them", file=sys.stderr)
    figures = {name: value for name, value in asdict(report).items() if isinstance(value, int)}
    counts = ", ".join(f"{value:,} {name}" for name, value in figures.items())
    told = f"{count:,} images in the index: {counts}, {len(report.skipped):,} skipped"
    print(told, file=sys.stderr if to_stderr else sys.stdout)


def _print_measurements(measured: "list[Measurement]", best: "Measurement") -> None:
    from deep_ranking.search.measure import WANTED_RECALL

    print(f"{'search':<12}{'probe':>6}{'recall@10':>11}{'ms a query':>12}")
    for m in measured:
        name, probe = m.approximate or "exact", "" if m.probe is None else m.probe
        print(f"{name:<12}{probe:>6}{m.recall:>11.3f}{m.milliseconds:>12.3f}")
    flags = f"--approximate {best.approximate} --probe {best.probe}"
    flags = flags if best.approximate else "exact (no flags)"
    print(f"recommended, the fastest with recall@10 of {WANTED_RECALL} or more: {flags}")
