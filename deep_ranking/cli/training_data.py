"""The flags that say what `train` learns from, and what they make: triplets, or images with classes."""

import argparse
import os
from typing import TYPE_CHECKING

from deep_ranking.cli import relevance_flags
from deep_ranking.cli.shared import add_settings, warn_of_skipped

if TYPE_CHECKING:
    from deep_ranking.evaluation.evaluation import Evaluation
    from deep_ranking.triplets.table import LabelledImages, Triplets, TripletSource

TRIPLETS_AN_IMAGE = 10
_ONLINE = ("triplets_per_epoch", "reservoir_capacity")
_MINING = ("classes_per_batch", "images_per_class")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    from deep_ranking.training.settings import TrainingSettings

    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="dataset", help="root of the images (default: dataset)")
    data.add_argument("--triplets", metavar="FILE", help="what to learn from (default: triplets.txt)")
    data.add_argument(
        "--validation_triplets", metavar="FILE", help="triplets of their own, ranked each epoch"
    )
    data.add_argument("--validation_dataset", metavar="DIR", help="root of their images (default: --dataset)")
    data.add_argument(
        "--validation_metrics",
        nargs="+",
        metavar="NAME",
        help="what else is measured on them each epoch, such as recall@1 map@r (docs/metrics.md); "
        "each sub-folder of their root is a class",
    )
    data.add_argument(
        "--validation_images_per_class",
        type=int,
        metavar="N",
        help="measure the retrieval among them on a fixed sample (default: all)",
    )

    online = parser.add_argument_group("triplets without a file")
    add = online.add_argument
    add(
        "--sampling",
        choices=("file", "online"),
        default="file",
        help="online: the class folders of --dataset pass through reservoirs, and each epoch draws triplets "
        "of its own from them (default: file)",
    )
    add(
        "--triplets_per_epoch",
        type=int,
        metavar="N",
        help=f"online (default: {TRIPLETS_AN_IMAGE} for each image)",
    )
    add("--reservoir_capacity", type=int, metavar="N", help="online: images a category (default: 100)")
    add_settings(online, TrainingSettings, group="data", given_only=True)
    relevance_flags.add_arguments(parser)


def read(
    args: argparse.Namespace,
) -> "tuple[TripletSource | LabelledImages, Triplets | None]":
    """Return what to learn from, and the validation triplets if there are any.

    Images of the validation triplets are left out of class folders that are learned from.

    Raises:
        DeepRankingError: flags that exclude each other; data that is missing or does not fit.
    """
    from deep_ranking.triplets.table import Triplets

    _refuse_what_has_no_effect(args)
    validation = None
    if args.validation_triplets:
        validation = Triplets.load(args.validation_triplets, args.validation_dataset or args.dataset)
    if args.sampling == "file" and args.mining in (None, "none"):
        return Triplets.load(args.triplets or "triplets.txt", args.dataset), validation

    from deep_ranking.triplets.table import LabelledImages

    classes, everything = _classes(args.dataset, validation)
    labelled = LabelledImages.of(classes, args.dataset)
    if args.sampling == "file":
        return labelled, validation

    from deep_ranking.triplets.online import OnlineTriplets

    count = args.triplets_per_epoch
    online = OnlineTriplets(
        labelled,
        relevance_flags.relevance_of(args, classes, everything),
        TRIPLETS_AN_IMAGE * len(labelled.images) if count is None else count,
        100 if args.reservoir_capacity is None else args.reservoir_capacity,
        relevance_flags.settings_of(args),
        args.seed or 0,
    )
    return online, validation


def evaluation(args: argparse.Namespace, validation: "Triplets | None") -> "Evaluation | None":
    """Return what else is measured on the validation images, if anything.

    Raises:
        DeepRankingError: there are no validation images, or a metric has no such name.
    """
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.evaluation.evaluation import Evaluation

    if not args.validation_metrics:
        return None
    if validation is None:
        raise DeepRankingError("--validation_metrics needs --validation_triplets, which name the images")
    root = args.validation_dataset or args.dataset
    return Evaluation.of_table(validation, root, args.validation_metrics, args.validation_images_per_class)


def summary(training: "TripletSource | LabelledImages") -> str:
    """Return in words what was learned from."""
    told = training.description
    if "count" in told:
        drawn = " drawn in each" if told.get("sampling") == "online" else ""
        return f"{told['count']:,} triplets{drawn} of {told['images']:,} images"
    return f"{told['images']:,} images of {told['classes']:,} classes"


def _refuse_what_has_no_effect(args: argparse.Namespace) -> None:
    from deep_ranking.errors import DeepRankingError

    def given(*names: str) -> list[str]:
        return [f"--{name}" for name in names if getattr(args, name) is not None]

    online, mining = args.sampling == "online", args.mining not in (None, "none")
    if online and mining:
        raise DeepRankingError("--mining makes its own triplets; leave out --sampling online, or --mining")
    own_batches = "--classes_per_batch times --images_per_class"
    for names, why in (
        (given("triplets") if online or mining else [], "with --sampling online or --mining"),
        (given("batch_size") if mining else [], f"with --mining, whose batches are {own_batches}"),
        ([] if mining else given(*_MINING, "discriminants"), "without --mining"),
        ([] if args.mining == "proxies" else given("scale", "smoothing"), "without --mining proxies"),
        ([] if args.train_from else given("views"), "without --train_from"),
        (
            [] if args.train_from or args.discriminants else given("engine"),
            "without --train_from or --discriminants",
        ),
        (
            [] if args.validation_metrics else given("validation_images_per_class"),
            "without --validation_metrics",
        ),
        ([] if online else given(*_ONLINE) + relevance_flags.changed(args), "without --sampling online"),
    ):
        if names:
            raise DeepRankingError(f"{', '.join(names)}: no effect {why}; change one of the two")


def _classes(folder: str, validation: "Triplets | None") -> tuple[dict[str, list[str]], list[str]]:
    """Return the classes of a folder without the images of the validation, and all images with them."""
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.images.find import find_classes

    skipped: list[str] = []
    found = find_classes(folder, on_skip=skipped.append)
    warn_of_skipped(skipped)
    everything = [image for members in found.values() for image in members]
    if validation is None:
        return found, everything
    held_out = {os.path.realpath(image) for image in validation.images}
    classes = {
        name: [image for image in members if os.path.realpath(os.path.join(folder, image)) not in held_out]  # noqa: PTH118
        for name, members in found.items()
    }
    classes = {name: members for name, members in classes.items() if members}
    if not classes:
        raise DeepRankingError(
            f"{folder}: all images are in the validation triplets, so none is left to learn from; "
            "sample validation triplets of a part of the images, with --validation_split"
        )
    return classes, everything
