"""Embed the images of a folder into an index, or bring one up to date.

Only new and changed images are embedded; a renamed one is known by its content. A run that is stopped, in
whatever way, goes on where it was. Images that cannot be read are skipped and listed.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deep_ranking.search.index import Index
    from deep_ranking.search.measure import Measurement
    from deep_ranking.search.update import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `index`."""
    parser.add_argument("--index", required=True, metavar="DIR", help="the index; made if missing")
    parser.add_argument(
        "--model", metavar="FILE", help="the network that embeds (an index remembers its own)"
    )
    parser.add_argument("--images", metavar="DIR", help="the folder to follow (an index remembers its own)")
    parser.add_argument(
        "--engine",
        choices=("keras", "openvino"),
        default="keras",
        help="what runs the network; openvino is several times faster on processors (default: keras)",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the engine openvino (default: float32)",
    )
    parser.add_argument(
        "--measure", action="store_true", help="measure recall@10 against time, and recommend a setting"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Index, and measure if asked."""
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.search.index import Index

    if args.model or args.images or not args.measure:
        index, report = _update(args)
    else:
        index, report = Index.open(args.index), None
    with index:
        result = {"index": args.index, "count": len(index)}
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
    from deep_ranking.images.find import find_images
    from deep_ranking.search.index import Index
    from deep_ranking.search.store import IndexExistsError
    from deep_ranking.search.update import require_images, update_index

    remembered = {}
    if Index.exists(args.index):
        with Index.open(args.index) as index:
            remembered = dict(index.metadata)
    model, folder = args.model or remembered.get("model"), args.images or remembered.get("images")
    if not model or not folder:
        raise DeepRankingError(
            f"{args.index}: expected --model and --images, which a new index needs; found only "
            f"{'--model' if model else '--images' if folder else 'neither'}"
        )
    broken: list[str] = []
    paths = find_images(folder, on_skip=broken.append)
    require_images(folder, paths)
    from deep_ranking.cli.quiet_keras import import_keras

    import_keras()
    from deep_ranking.embedding import Embedder

    embedder = Embedder.load(model, args.engine, args.precision)
    metadata = {"model": str(Path(model).resolve())}
    try:
        index = Index.create(args.index, embedder.dimension, embedder.fingerprint, metadata)
    except IndexExistsError:  # from an earlier run, or from another that started with this one
        index = Index.open(args.index)
    try:
        index.rebind(embedder.fingerprint, embedder.dimension, metadata)
        report = update_index(index, folder, paths, embedder, quiet=args.quiet)
        for path in filter(_looks_like_image, broken):
            report.skipped.setdefault(path, "named as an image, but its content is none")
        index.write(metadata=metadata)
        index.snapshot.warm()
        return index, report
    except BaseException:
        index.close()
        raise


def _looks_like_image(path: str) -> bool:
    import mimetypes

    return (mimetypes.guess_type(path)[0] or "").startswith("image/")


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
