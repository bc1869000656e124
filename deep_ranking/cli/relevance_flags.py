"""The flags of importance sampling, and what they make: settings and a relevance."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from deep_ranking.cli import shared

if TYPE_CHECKING:
    from deep_ranking.triplets.relevance import Relevance
    from deep_ranking.triplets.settings import ImportanceSettings

SOURCES = ("labels", "pairs", "hierarchy", "features")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    from deep_ranking.triplets.settings import ImportanceSettings

    group = parser.add_argument_group("importance sampling (section 5.1 of the paper)")
    group.add_argument(
        "--relevance",
        choices=SOURCES,
        default="labels",
        help="where the relevance of two images of a category comes from (default: labels)",
    )
    group.add_argument("--pairs", metavar="FILE", help="CSV or Parquet with columns image, other, relevance")
    group.add_argument("--hierarchy", metavar="FILE", help="child<TAB>parent lines, or JSON child -> parent")
    group.add_argument(
        "--category_depth",
        type=int,
        default=1,
        metavar="N",
        help="categories are the ancestors at this depth of the hierarchy; 1 is the roots (default: 1)",
    )
    group.add_argument(
        "--features",
        metavar="FILE",
        help=".npz with `paths` and a matrix for each feature",
    )
    group.add_argument(
        "--feature_weights",
        metavar="NAME=W,...",
        help="weights in the sum of distances (default: 1 for each feature)",
    )
    group.add_argument(
        "--feature_scale",
        type=float,
        metavar="D",
        help="the distance at which relevance is 1/e (default: the median within categories)",
    )
    shared.add_settings(group, ImportanceSettings)
    parser.set_defaults(out_of_class_ratio=None)  # the relevance decides


def changed(args: argparse.Namespace) -> list[str]:
    """Return which of these flags are not at their default."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return [
        f"--{name}" for name, value in vars(parser.parse_args([])).items() if getattr(args, name) != value
    ]


def settings_of(args: argparse.Namespace) -> "ImportanceSettings":
    """Return the settings that the flags ask for; labels alone have no in-class negative."""
    from deep_ranking.triplets.settings import ImportanceSettings

    settings = (
        ImportanceSettings(out_of_class_ratio=1.0) if args.relevance == "labels" else ImportanceSettings()
    )
    return settings.changed(vars(args))


def relevance_of(
    args: argparse.Namespace, classes: Mapping[str, Sequence[str]], everything: Iterable[str] = ()
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

    from deep_ranking.errors import DeepRankingError
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
    from deep_ranking.errors import DeepRankingError

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
