"""Embed the images of a folder into an index, or bring one up to date.

Only new and changed images are embedded; a renamed one is known by its content. A run that is stopped, in
whatever way, goes on where it was. Images that cannot be read are skipped and listed.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from deep_ranking.cli import checks, image_folders, places, shared
from deep_ranking.errors import DeepRankingError, one_line
from deep_ranking.location import index_beside, index_of

if TYPE_CHECKING:
    from deep_ranking.embedding.encoder import Encoder
    from deep_ranking.search.index import Index
    from deep_ranking.search.measure import Measurement
    from deep_ranking.search.update import Report

EXAMPLES = {
    "photos": "the folder photos, into photos.index; nothing to train",
    "photos.index": "an index that is there, brought up to date",
    "photos --model deepranking.h5": "by a model of your own",
}
MAIN = ("model", "look", "exclude", "labels", "index")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `index`."""
    about = "folders of images; or an index that is there, to bring it up to date, and folders beside its own"
    parser.add_argument("places", nargs="*", metavar="PLACE", help=about)
    places.add_store(parser, "where the index is, made if missing (default: beside the folder of images)")
    add = parser.add_argument
    about = "the network that embeds (default: one that needs no training; an index remembers its own)"
    add("--model", metavar="FILE", help=about)
    shared.add_look(parser)
    about = "the folders to follow, by a flag (an index remembers its own)"
    add("--images", nargs="+", default=[], metavar="DIR", help=about)
    which = parser.add_argument_group("which images, and their labels")
    add = which.add_argument
    image_folders.add_exclude(which, "an index remembers them")
    about = "none (default); folders: the first folder of each path; or a CSV or TSV file of paths and labels"
    add("--labels", metavar="none|folders|FILE", help=about)
    about = (
        "drop images whose folder is not there or is empty; else they are kept, since a disk may be missing"
    )
    add("--forget_missing", action="store_true", help=about)
    how = parser.add_argument_group("how")
    add = how.add_argument
    shared.add_weights(how)
    shared.add_engine(how)
    for _, way in _other_ways():
        way.add_arguments(parser)
    add("--measure", action="store_true", help="measure recall@10 against time, and recommend a setting")
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Index, and measure if asked."""
    args.index, folders = places.to_index(args)
    checks.network(args.model, args.weights)
    from deep_ranking.progress import progress

    report = None
    if args.model or folders or not args.measure:
        index, _ = _indexed(args, folders)
        report = index.report
    else:
        checks.index(args.index)
        from deep_ranking.search.index import Index

        index = Index.open(args.index)
    with index:
        result = {"index": index.store.name, "count": len(index)}
        if report:
            result |= {name: told for name, told in asdict(report).items() if told or name != "moved"}
            _print_report(report, len(index), to_stderr=args.json)
        if args.measure:
            from deep_ranking.search.measure import measure, recommend

            measured = list(progress(measure(index.snapshot), "measuring", "settings"))
            best = recommend(measured)
            result |= {"measurements": [asdict(m) for m in measured], "recommended": asdict(best)}
            if not args.json:
                _print_measurements(measured, best)
    if args.json:
        print(json.dumps(result))
    if report and not result["count"]:
        raise DeepRankingError(f"none of {len(report.skipped)} images could be read; the index is empty")
    shared.tell(args, f"the index is {result['index']}")
    # The folder of images stands for the index that lies beside it.
    beside = (folder for folder in folders if index_of(folder) == args.index)
    asked = places.typed(next(beside, args.index))
    shared.tell_next(args, f"search {asked} IMAGE --open", f"duplicates {asked}", f"serve {asked}")


def place_of(
    args: argparse.Namespace, command: str, check: Callable[[str], object] = lambda place: None
) -> "tuple[str, Encoder | None]":
    """Return the place of the index that a command reads, which is made now of a folder without one.

    Args:
        args: of that command: `place`, `index`, `model`, `weights` and `quiet`.
        command: as it is typed.
        check: called with the place of an index that is to be made, before that takes its time.

    Returns:
        The place, and what embedded the images if the index was made now.

    Raises:
        DeepRankingError: as by `places.index_given`; what is wrong with the model or the images.
    """
    if found := places.index_given(args, command):
        return found, None
    checks.network(args.model, args.weights)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    own = {name: getattr(args, name) for name in ("model", "weights", "quiet")}
    checks.folder(args.place)
    place = str(index_beside(args.place))
    check(place)
    made = argparse.Namespace(**{**vars(parser.parse_args([])), **own, "index": place})
    shared.tell(made, f"{args.place}: no index yet; making {place}")
    index, embedder = _indexed(made, [args.place])
    with index:
        assert index.report is not None  # since it was updated
        _print_report(index.report, len(index), to_stderr=True)
    return place, embedder


def _indexed(args: argparse.Namespace, folders: list[str]) -> "tuple[Index, Encoder]":
    try:
        return _update(args, folders)
    except KeyboardInterrupt as stop:
        stop.add_note("the same command goes on where this one was")
        raise


def _other_ways() -> Iterator[tuple[str, ModuleType]]:
    """Yield the ways to embed that extras bring, and the flag that chooses each."""
    extras: Any = importlib.import_module("deep_ranking.extras")
    for flag, entry in extras.EMBEDDERS.items():
        yield flag, extras.load(entry)


def _update(args: argparse.Namespace, folders: list[str]) -> "tuple[Index, Encoder]":
    for folder in folders:
        checks.folder(folder)
    from deep_ranking.search.folder import indexed
    from deep_ranking.search.index import Index
    from deep_ranking.search.stores.registry import place_name

    remembered = {}
    if Index.exists(args.index):
        with Index.open(args.index) as index:
            remembered = {**index.metadata, "name": index.store.name}
    if not folders and "images" not in remembered:
        told = "expected a folder of images, which a new index needs"
        name = place_name(args.index)
        raise DeepRankingError(f"{name}: {told}: deep-ranking index FOLDER --index {places.typed(name)}")
    prepare = _prepare
    for flag, way in _other_ways():
        if getattr(args, flag) is None:
            way.check_unused(args, folders[0] if folders else remembered["images"])
        else:
            prepare = partial(_prepare_otherwise, way, flag)
    embedder, update, metadata = prepare(args, folders, remembered)
    return indexed(Index, args.index, embedder, update, metadata), embedder


def _prepare_otherwise(
    way: ModuleType, flag: str, args: argparse.Namespace, folders: list[str], remembered: dict[str, str]
) -> Any:
    """Return what `_prepare` does, of a way that reads one folder, as a whole."""
    from deep_ranking.search.labels import checked_rule

    several = len(folders) > 1 or len(json.loads(remembered.get("folders", "[]"))) > 1
    if several or args.exclude or args.forget_missing:
        raise DeepRankingError(f"--{flag}: it reads one folder, without --exclude and --forget_missing")
    model = args.model or remembered.get("model")
    if not model:
        raise DeepRankingError(f"--{flag}: expected --model FILE, which the workers load, found none")
    labels = checked_rule(args.labels) or remembered.get("labels", "folders" if remembered else "none")
    embedder, update_otherwise = way.prepare(args, model, folders[0] if folders else remembered["images"])

    def update(index: "Index") -> "Report":
        index.write(metadata={"labels": labels})
        report: Report = update_otherwise(index)
        return report

    return embedder, update, {"model": str(Path(model).resolve())}


def _prepare(
    args: argparse.Namespace, folders: list[str], remembered: dict[str, str]
) -> "tuple[Encoder, Callable[[Index], Report], dict[str, str]]":
    """Return the embedder, what updates an index once the folders are looked into, and what it remembers."""
    from deep_ranking.search.folder import follow
    from deep_ranking.search.index import Index

    exclude = args.exclude or None  # as remembered
    how = {"exclude": exclude, "labels": args.labels, "forget_missing": args.forget_missing}
    following = follow(Index, args.index, folders, **how)
    for note in following.notes:
        print(note, file=sys.stderr)
    image_folders.tell_left_out(following.found)
    embedder, metadata = _embedder(args, remembered, following.paths)

    return embedder, lambda index: following.update(index, embedder), metadata


def _embedder(
    args: argparse.Namespace, remembered: dict[str, str], images: list[str]
) -> "tuple[Encoder, dict[str, str]]":
    """Return what embeds, and what the index remembers of it: the model that is given or that the index is
    of, or else the description of the index, made of these images if it is new.
    """
    path = shared.model_of(remembered["name"], remembered, args.model) if remembered else args.model
    how = {"engine": args.engine, "precision": args.precision}
    if path is not None:
        if args.look:
            raise DeepRankingError("--look: it is of the default network; leave it out, or --model")
        return shared.encoder(path, **how, quiet=args.quiet), {"model": str(Path(path).resolve())}
    from deep_ranking.description.description import weights_of

    shared.start_description(args.weights, args.engine, weights_of(remembered))
    from deep_ranking.search.folder import default_embedder
    from deep_ranking.search.index import Index

    how |= {"weights": args.weights, "look": args.look}
    return default_embedder(Index, args.index, images, args.quiet, **how)


def _print_report(report: "Report", count: int, to_stderr: bool) -> None:
    for path, error in sorted(report.skipped.items()):
        if error not in report.left_out:  # those are told before
            print(one_line(f"skipped {path}: {error}"), file=sys.stderr)
    if report.missing:
        why = "images that cannot be opened now, or whose folders are not there, or empty"
        told = f"kept {len(report.missing):,} {why}"
        print(
            f"{told}: {image_folders.names_of(report.missing)}; --forget_missing drops them", file=sys.stderr
        )
    figures = {name: value for name, value in asdict(report).items() if isinstance(value, int)}
    counts = ", ".join(f"{value:,} {name}" for name, value in figures.items())
    told = f"{count:,} images in the index: {counts}, {len(report.skipped):,} skipped"
    print(told, file=sys.stderr if to_stderr else sys.stdout)


def _print_measurements(measured: "list[Measurement]", best: "Measurement") -> None:
    from deep_ranking.search.promise import PROMISED

    print(f"{'search':<12}{'probe':>6}{'recall@10':>11}{'ms a query':>12}")
    for m in measured:
        name, probe = m.approximate or "exact", "" if m.probe is None else m.probe
        print(f"{name:<12}{probe:>6}{m.recall:>11.3f}{m.milliseconds:>12.3f}")
    flags = f"--approximate {best.approximate} --probe {best.probe}"
    flags = flags if best.approximate else "exact (no flags)"
    print(f"recommended, the fastest with recall@10 of {PROMISED} or more: {flags}")
