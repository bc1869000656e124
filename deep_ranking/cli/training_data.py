"""The flags that say what is learned from, and what they make: triplets, images with classes, a relevance."""

import argparse
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, image_folders, shared
from deep_ranking.errors import DeepRankingError, some

if TYPE_CHECKING:
    from deep_ranking.evaluation.evaluation import Evaluation
    from deep_ranking.triplets.relevance import Relevance
    from deep_ranking.triplets.settings import ImportanceSettings
    from deep_ranking.triplets.table import LabelledImages, Triplets, TripletSource

logger = logging.getLogger(__name__)

TRIPLETS = "triplets.txt"
TRIPLETS_AN_IMAGE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `train`."""
    from deep_ranking.training.settings import TrainingSettings

    data = parser.add_argument_group("data")
    add = data.add_argument
    add("folder", nargs="?", metavar="FOLDER", help="of the images, one sub-folder a class")
    add("--dataset", metavar="DIR", help="the same by a flag, the root of the images (default: dataset)")
    add("--triplets", metavar="FILE", help="what to learn from (default: triplets.txt)")
    add("--validation_triplets", metavar="FILE", help="triplets of their own, ranked each epoch")
    add("--validation_dataset", metavar="DIR", help="root of their images (default: --dataset)")
    add(
        "--validation_metrics",
        nargs="+",
        metavar="NAME",
        help="what else is measured on them each epoch, such as recall@1 map@r (docs/metrics.md); "
        "each sub-folder of their root is a class",
    )
    about = "measure the retrieval among them on a fixed sample (default: all)"
    add("--validation_images_per_class", type=int, metavar="N", help=about)

    image_folders.add_class_folders(data)

    online = parser.add_argument_group("triplets without a file")
    add = online.add_argument
    add(
        "--sampling",
        choices=("file", "online"),
        default="file",
        help="online: the class folders of --dataset pass through reservoirs, and each epoch draws triplets "
        "of its own from them (default: file)",
    )
    about = f"online (default: {TRIPLETS_AN_IMAGE} for each image)"
    add("--triplets_per_epoch", type=int, metavar="N", help=about)
    add("--reservoir_capacity", type=int, metavar="N", help="online: images a category (default: 100)")
    shared.add_settings(online, TrainingSettings, group="data", given_only=True)
    add_importance(parser)


def add_importance(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of importance sampling."""
    from deep_ranking.triplets.settings import ImportanceSettings

    group = parser.add_argument_group("importance sampling (section 5.1 of the paper)")
    add = group.add_argument
    add(
        "--relevance",
        choices=("labels", "pairs", "hierarchy", "features"),
        default="labels",
        help="where the relevance of two images of a category comes from (default: labels)",
    )
    add("--pairs", metavar="FILE", help="CSV or Parquet with columns image, other, relevance")
    add("--hierarchy", metavar="FILE", help="child<TAB>parent lines, or JSON child -> parent")
    about = "categories are the ancestors at this depth of the hierarchy; 1 is the roots (default: 1)"
    add("--category_depth", type=int, default=1, metavar="N", help=about)
    add("--features", metavar="FILE", help=".npz with `paths` and a matrix for each feature")
    about = "weights in the sum of distances (default: 1 for each feature)"
    add("--feature_weights", metavar="NAME=W,...", help=about)
    about = "the distance at which relevance is 1/e (default: the median within categories)"
    add("--feature_scale", type=float, metavar="D", help=about)
    shared.add_settings(group, ImportanceSettings)
    parser.set_defaults(out_of_class_ratio=None)  # the relevance decides


def preset(args: argparse.Namespace) -> str:
    """Return the preset that is asked for, by itself or by flags that only learning by steps has.

    Raises:
        DeepRankingError: such flags beside `--preset features`.
    """
    from deep_ranking.network.backbones import HUB, find_backbone, is_backbone

    steps = [f"--{name}" for name in _of_steps(args)]
    name = args.backbone or "mobilenetv2"
    published = not is_backbone(name) or name.startswith(HUB) or find_backbone(name).application
    if args.preset == "features" and steps:
        raise DeepRankingError(f"{', '.join(steps)}: no effect with --preset features; leave one of them out")
    return str(args.preset or ("paper" if steps or not published else "features"))


def _of_steps(args: argparse.Namespace) -> list[str]:
    """Return the flags that are given and ask for learning by steps, without their dashes."""
    from dataclasses import fields

    from deep_ranking.training.settings import TrainingSettings

    names = [field.name for field in fields(TrainingSettings) if field.metadata.get("group")]
    names = [name for name in names if name not in ("weights", "engine", "seed", "average_mirror")]
    names += ["low_resolution", "dropout", "triplets_per_epoch", "reservoir_capacity", "processes"]
    given = [name for name in names if getattr(args, name) not in (None, "auto")]
    given += [name for name in ("resume", "tensorboard") if getattr(args, name)]
    given += ["sampling"] * (args.sampling != "file")
    return given + ["weights"] * (args.weights == "none" or _is_whole_network(args.weights))


def _is_whole_network(weights: str | None) -> bool:
    """Tell whether weights are a model's, which has learned layers of its own, and not a backbone's."""
    named = weights not in (None, "imagenet", "none") and Path(str(weights)).is_file()
    return named and checks.holds_network(Path(str(weights)))


def changed_importance(args: argparse.Namespace) -> list[str]:
    """Return which flags of importance sampling are not at their default, without their dashes."""
    parser = argparse.ArgumentParser()
    add_importance(parser)
    return [name for name, value in vars(parser.parse_args([])).items() if getattr(args, name) != value]


def importance_settings(args: argparse.Namespace) -> "ImportanceSettings":
    """Return the settings that the flags ask for; labels alone have no in-class negative."""
    from deep_ranking.triplets.settings import ImportanceSettings

    of_labels = {"out_of_class_ratio": 1.0} if args.relevance == "labels" else {}
    return ImportanceSettings().changed(of_labels).changed(vars(args))


def relevance_of(
    args: argparse.Namespace, classes: Mapping[str, Sequence[str]], everything: Iterable[str]
) -> "Relevance":
    """Return the relevance that the flags ask for, of the images of `classes`, class by class.

    Args:
        args: the flags.
        classes: class name -> its images.
        everything: all images of the data set, of which `classes` may be a part.

    Raises:
        DeepRankingError: a file is not given, or does not fit the images.
    """
    import numpy as np

    from deep_ranking.triplets import relevance as sources

    if args.relevance != "labels" and not getattr(args, args.relevance):
        raise DeepRankingError(f"--relevance {args.relevance} needs a file; name it with --{args.relevance}")
    images = [image for members in classes.values() for image in members]
    labels = np.repeat(np.arange(len(classes)), [len(members) for members in classes.values()])
    if args.relevance == "pairs":
        return sources.PairRelevance.read(args.pairs, images, labels, elsewhere=everything)
    if args.relevance == "hierarchy":
        tree = sources.Hierarchy.read(args.hierarchy)
        return sources.HierarchyRelevance(tree, list(classes), labels, args.category_depth)
    if args.relevance == "features":
        features = sources.read_features(args.features, images)
        weights = _weights(args.feature_weights) if args.feature_weights else None
        scale = args.feature_scale
        if scale is None:
            scale = sources.typical_distance(sources.FeatureRelevance(labels, features, weights))
        return sources.FeatureRelevance(labels, features, weights, scale)
    return sources.LabelRelevance(labels)


def _weights(text: str) -> dict[str, float]:
    weights = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            weights[name] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise DeepRankingError(f"--feature_weights: expected NAME=W,NAME=W, found {part!r}")
    return weights


def read(args: argparse.Namespace) -> "tuple[TripletSource | LabelledImages, Triplets | None]":
    """Return what to learn from, and the validation triplets if there are any; resolve `args.preset`.

    On features it is learned from classes: those of triplets, where --triplets names them or triplets.txt
    lies here beside dataset/, or the folders of --dataset.

    Images of the validation triplets are left out of class folders that are learned from.

    Raises:
        DeepRankingError: flags that exclude each other; data that is missing or does not fit.
    """
    args.dataset = image_folders.one_folder(args.folder, args.dataset, "--dataset")
    from deep_ranking.triplets.table import LabelledImages, Triplets

    asked, args.preset = args.preset, preset(args)
    _refuse_what_has_no_effect(args)
    validation = None
    if args.validation_triplets:
        validation = Triplets.load(args.validation_triplets, args.validation_dataset or args.dataset)
    from_file = args.sampling == "file" and args.mining in (None, "none")
    if args.preset == "features":
        sampled = Path(TRIPLETS).is_file() and args.dataset == "dataset"
        if from_file := bool(args.triplets or sampled):
            table = Triplets.load(args.triplets or TRIPLETS, args.dataset)
            if (labelled := LabelledImages.of_triplets(table)) is not None:
                return labelled, validation
            finer = f"{args.triplets or TRIPLETS}: its triplets tell more than classes"
            if asked:
                raise DeepRankingError(f"{finer}; learn from them by steps, with --preset paper")
            logger.warning("%s, so they are learned from by steps, as with --preset paper", finer)
            args.preset = "paper"
            return table, validation
    if from_file:
        return Triplets.load(args.triplets or TRIPLETS, args.dataset), validation

    classes, everything = _classes(args, validation)
    labelled = LabelledImages.of(classes, args.dataset)
    if args.sampling == "file":
        return labelled, validation

    from deep_ranking.triplets.online import OnlineTriplets

    count = args.triplets_per_epoch
    online = OnlineTriplets(
        labelled,
        relevance_of(args, classes, everything),
        TRIPLETS_AN_IMAGE * len(labelled.images) if count is None else count,
        100 if args.reservoir_capacity is None else args.reservoir_capacity,
        importance_settings(args),
        args.seed or 0,
    )
    return online, validation


def warn_of_leak(data: "TripletSource | LabelledImages", validation: "Triplets | None") -> None:
    """Say how many validation images are trained on too, byte for byte, if any."""
    if validation is None:
        return
    from deep_ranking.files import held_by

    if shared_by_both := sum(held_by(data.images, validation.images)):
        logger.warning(
            "%d of %d validation images are trained on too (the same bytes), so validation flatters; sample "
            "both with --validation_split, which keeps them apart",
            shared_by_both,
            len(validation.images),
        )


def evaluation(args: argparse.Namespace, validation: "Triplets | None") -> "Evaluation | None":
    """Return what else is measured on the validation images, if anything.

    Raises:
        DeepRankingError: there are no validation images, or a metric has no such name.
    """
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
        return f"{some(told['count'], 'triplet')}{drawn} of {told['images']:,} images"
    return f"{told['images']:,} images of {told['classes']:,} classes"


def _refuse_what_has_no_effect(args: argparse.Namespace) -> None:
    online, mining = args.sampling == "online", args.mining not in (None, "none")
    if online and mining:
        raise DeepRankingError("--mining makes its own triplets; leave out --sampling online, or --mining")
    own_batches = "--classes_per_batch times --images_per_class"
    of_online = ["triplets_per_epoch", "reservoir_capacity", *changed_importance(args)]
    for effect, names, why in (
        (not (online or mining), ["triplets"], "with --sampling online or --mining"),
        (not mining, ["batch_size"], f"with --mining, whose batches are {own_batches}"),
        (mining, ["classes_per_batch", "images_per_class", "discriminants"], "without --mining"),
        (args.mining == "proxies", ["scale", "smoothing"], "without --mining proxies"),
        (args.train_from, ["views"], "without --train_from"),
        (
            args.train_from or args.discriminants or args.preset == "features",
            ["engine"],
            "without --train_from or --discriminants",
        ),
        (args.validation_metrics, ["validation_images_per_class"], "without --validation_metrics"),
        (
            args.validation_triplets,
            ["validation_dataset"],
            "without --validation_triplets (a folder of classes is measured by: deep-ranking evaluate "
            "--gallery DIR --queries DIR)",
        ),
        (online, of_online, "without --sampling online"),
    ):
        given = [f"--{name}" for name in names if getattr(args, name) is not None]
        if given and not effect:
            raise DeepRankingError(f"{', '.join(given)}: no effect {why}; change one of the two")


def _classes(
    args: argparse.Namespace, validation: "Triplets | None"
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the classes of a folder without the images of the validation, and all images with them."""
    folder = args.dataset
    classes = image_folders.classes_below(folder, folder, args.exclude, args.splits_are_classes)
    everything = [image for members in classes.values() for image in members]
    if validation is None:
        return classes, everything
    from deep_ranking.files import held_by

    paths = [os.path.join(folder, image) for image in everything]  # noqa: PTH118
    old = held_by(validation.images, paths)
    new = {image for image, there in zip(everything, old, strict=True) if not there}
    kept: dict[str, list[str]] = {}
    for name, members in classes.items():
        for image in members:
            if image in new:
                kept.setdefault(name, []).append(image)
    if not kept:
        raise DeepRankingError(
            f"{folder}: all images are in the validation triplets, so none is left to learn from; "
            "sample validation triplets of a part of the images, with --validation_split"
        )
    return kept, everything
