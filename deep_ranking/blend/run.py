"""Learning from ratings, from triplets to the file of the network."""

import os
from dataclasses import dataclass

import keras

from deep_ranking import __version__
from deep_ranking.blend.described import Descriptions, ranked_right, text_query_groups
from deep_ranking.blend.learn import Blend, BlendSettings, MahalanobisMetric
from deep_ranking.blend.settings import LearnSettings
from deep_ranking.evaluation.metrics import Estimate, bootstrap
from deep_ranking.files import check_writable
from deep_ranking.network.file import check_ending, save_network
from deep_ranking.triplets.table import Triplets


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned from ratings.

    Args:
        network: (b, image_size, image_size, 3) RGB 0..255 -> (b, d) float32 of unit length, as saved.
        weights: of the descriptions in the squared distance, by name.
        precision: similarity precision on held-out text queries, with its 95% interval.
        groups: how many independent groups the triplets make.
    """

    network: keras.Model
    weights: dict[str, float]
    precision: Estimate
    groups: int


def learn(
    triplets: Triplets,
    model_path: str | os.PathLike[str],
    settings: LearnSettings | None = None,
    *,
    quiet: bool = True,
) -> Learned:
    """Make a network from rated triplets, its backbone frozen, and save it.

    What is saved is learned from all triplets. Its precision is cross-validated: no text query, which is an
    image's folder, and no photograph is on both sides.

    Args:
        triplets: rated.
        model_path: where the network goes; ends in `.h5` or `.keras`.
        settings: the defaults of `LearnSettings` where none are given.
        quiet: no progress.

    Raises:
        DeepRankingError: the backbone cannot be had, an image cannot be read, there are fewer groups than
            folds, or no description ranks the triplets better than chance.
    """
    check_writable(model_path)
    check_ending(model_path)
    settings = LearnSettings() if settings is None else settings
    groups = text_query_groups(triplets.images, triplets.rows)
    described = Descriptions.of(triplets.images, settings, quiet)
    metric = MahalanobisMetric() if settings.metric else None
    own = described.settings(BlendSettings(settings.components, metric=metric, seed=settings.seed))
    found = described.descriptions
    right = ranked_right(found, triplets.rows, groups, own, settings.folds, quiet)
    precision = bootstrap({"precision": right}, groups, seed=settings.seed)["precision"]
    blend = Blend.fit(found, triplets.rows, own)
    network = described.network(blend)
    about = {
        "backbone": settings.backbone,
        "weights": blend.weights,
        "components": settings.components,
        "average_mirror": settings.average_mirror,
    }
    metadata = {
        "version": __version__,
        "blend": about,
        "triplets": triplets.description,
        "metrics": {"cross_validated_precision": precision._asdict()},
    }
    save_network(network, model_path, metadata)
    return Learned(network, blend.weights, precision, int(groups.max()) + 1)
