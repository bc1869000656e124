"""Write a page on a model that opens offline: metrics, training curves, what five test images find, a map.

Beside index.html lie its pictures as PNG files, and metrics.json.
"""

import argparse
import json
from pathlib import Path

from deep_ranking.cli import checks, image_folders, shared
from deep_ranking.cli.parser import UsageError

EXAMPLES = {
    "dataset held_out": "on deepranking.h5, into report/index.html",
    "dataset held_out --baselines": "beside the untrained network and a colour histogram",
}
MAIN = ("model", "train", "test", "output", "baselines")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    shared.add_model(parser, "a trained model; its log, FILE.csv, is looked for beside it", "FILE")
    add = parser.add_argument
    about = "training images and test images, each one sub-folder a class"
    add("folders", nargs="*", metavar="FOLDER", help=about)
    add("--train", metavar="DIR", help="training images, by a flag")
    add("--test", metavar="DIR", help="test images, by a flag")
    add("--output", default="report", metavar="DIR", help="folder to make (default: report)")
    image_folders.add_class_folders(parser)
    about = "use a random sample of so many of each set (default: all)"
    add("--images_per_class", type=int, metavar="N", help=about)
    about = "also measure the untrained network, its ConvNet path alone, a colour histogram"
    add("--baselines", action="store_true", help=about)
    shared.add_engine(parser)
    shared.add_seed(parser, "of what is drawn")
    shared.add_json(parser, "metrics.json")


def run(args: argparse.Namespace) -> None:
    """Measure, draw and write."""
    model = args.model or shared.MODEL
    flagged = [folder for folder in (args.train, args.test) if folder is not None]
    if len(args.folders) + len(flagged) != 2 or len(flagged) == 1:
        raise UsageError("expected two folders: report TRAIN TEST, or --train DIR --test DIR")
    args.train, args.test = flagged or args.folders
    for folder in (args.train, args.test):
        checks.folder(folder)
    checks.model(model)
    from deep_ranking.evaluation.tasks import sample_classes

    train, test = (
        sample_classes(
            image_folders.classes_below(folder, "", args.exclude, args.splits_are_classes),
            args.images_per_class,
            args.seed,
        )
        for folder in (args.train, args.test)
    )
    shared.import_keras()
    from deep_ranking.datasets.folder import class_titles
    from deep_ranking.reporting import write_report
    from deep_ranking.reporting.findings import Questions

    questions = Questions(train, test, args.seed, class_titles(args.train))
    numbers = write_report(
        args.output, model, questions, args.baselines, args.quiet, args.engine, args.precision
    )
    if args.json:
        print(json.dumps(numbers))
    else:
        print(Path(args.output) / "index.html")
    shared.tell(args, "open it in a browser; it needs no network")
