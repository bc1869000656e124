"""Learning from ratings: from triplets to the file of a network blended from a frozen backbone's readings.

No gradient goes through the backbone, so each image is run through it once, whatever the number of folds.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deep_ranking import __version__
from deep_ranking.blend.learn import Blend, BlendSettings, Components
from deep_ranking.blend.network import Affine, build_blend, describe, frozen_backbone
from deep_ranking.blend.settings import READINGS, LearnSettings, Reading
from deep_ranking.embedding import Model
from deep_ranking.embedding.engines import make_engine
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics import Estimate, bootstrap, similarity_precision, triplet_distances
from deep_ranking.files import check_writable
from deep_ranking.images.loader import load_batches
from deep_ranking.learning.folds import folds, independent_groups
from deep_ranking.learning.metric import MahalanobisMetric
from deep_ranking.network.file import check_ending, save_network
from deep_ranking.network.network import own_conventions, random_numbers_kept
from deep_ranking.progress import progress, quietly
from deep_ranking.triplets.table import Triplets

_REDUCTION_IMAGES = 400
"""Images whose positions the channels' principal components are learned from."""


@dataclass(frozen=True, eq=False)
class Descriptions:
    """Images as the frozen backbone sees them, and what is needed to build on that.

    Args:
        frozen: the backbone.
        readings: what is read from it.
        outputs: an image and its descriptions by name, as Keras tensors.
        descriptions: by name, (images, d_name) float32 of unit length.
    """

    frozen: keras.Model
    readings: dict[str, Reading]
    outputs: tuple[Any, dict[str, Any]] = field(repr=False)
    descriptions: dict[str, np.ndarray] = field(repr=False)

    @classmethod
    def of(cls, paths: Sequence[str], settings: LearnSettings) -> "Descriptions":
        """Describe image files; nothing is learned here but the channels' components, without ratings.

        Raises:
            DeepRankingError: the backbone cannot be had, or an image cannot be read.
        """
        readings, frozen = READINGS[settings.backbone], frozen_backbone(settings)
        reductions = _reductions(frozen, readings, paths, settings.seed)
        image, outputs = describe(frozen, readings, reductions, settings.average_mirror)
        joined = keras.layers.Concatenate(name="descriptions")(list(outputs.values()))
        network = keras.Model(image, joined, name="descriptions")
        vectors = Model(network, engine=make_engine(settings.engine, network)).embed_all(paths, quiet=False)
        ends = np.cumsum([x.shape[-1] for x in outputs.values()])
        descriptions = dict(zip(outputs, np.split(vectors, ends[:-1], axis=1), strict=True))
        return cls(frozen, readings, (image, outputs), descriptions)

    def settings(self, settings: BlendSettings) -> BlendSettings:
        """Return settings with the readings' own powers."""
        return replace(settings, powers={name: reading.power for name, reading in self.readings.items()})

    def network(self, blend: Blend) -> keras.Model:
        """Return the whole network with what was learned."""
        return build_blend(*self.outputs, blend)


def ranked_right(
    descriptions: dict[str, np.ndarray],
    triplets: np.ndarray,
    groups: np.ndarray,
    settings: BlendSettings,
    count: int = 5,
) -> np.ndarray:
    """Return which triplets are ranked right by a blend that was learned from other groups, (t,) bool.

    Args:
        descriptions: by name, (images, d_name).
        triplets: (t, 3) rows.
        groups: (t,), see `golden.folds`.
        settings: of the blend.
        count: folds.
    """
    right = np.zeros(len(triplets), bool)
    for training, held_out in progress(folds(groups, count), "cross-validation", "folds"):
        vectors = Blend.fit(descriptions, triplets[training], settings).vectors(descriptions)
        right[held_out] = similarity_precision(triplet_distances(vectors, triplets[held_out]))
    return right


def text_query_groups(paths: Sequence[str], triplets: np.ndarray) -> np.ndarray:
    """Return the independent groups of triplets: no text query (folder) and no photograph in two of them."""
    contents = np.array([hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths])
    return independent_groups(triplets, np.array([str(Path(path).parent) for path in paths]), contents)


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


@random_numbers_kept()
@own_conventions("float32")
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
    metric = MahalanobisMetric() if settings.metric else None
    with quietly(quiet):
        described = Descriptions.of(triplets.images, settings)
        found = described.descriptions
        own = described.settings(BlendSettings(settings.components, metric=metric, seed=settings.seed))
        right = ranked_right(found, triplets.rows, groups, own, settings.folds)
    precision = bootstrap({"precision": right}, groups, seed=settings.seed)["precision"]
    blend = Blend.fit(found, triplets.rows, own)
    network = described.network(blend)
    about = {"backbone": settings.backbone, "weights": blend.weights, "components": settings.components}
    metadata = {
        "version": __version__,
        "blend": about | {"average_mirror": settings.average_mirror},
        "triplets": triplets.description,
        "metrics": {"cross_validated_precision": precision._asdict()},
    }
    save_network(network, model_path, metadata)
    return Learned(network, blend.weights, precision, int(groups.max()) + 1)


def _reductions(
    frozen: keras.Model, readings: dict[str, Reading], paths: Sequence[str], seed: int
) -> dict[str, Affine]:
    wanted = {name: reading.channels for name, reading in readings.items() if reading.channels}
    if not wanted:
        return {}
    expect("images", len(paths) >= 2, "two or more", len(paths))
    chosen = np.random.default_rng(seed).permutation(len(paths))[:_REDUCTION_IMAGES]
    maps: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for batch in load_batches([paths[i] for i in np.sort(chosen)], frozen.input_shape[1:3], 32):
        if batch.failures:
            raise DeepRankingError(f"{batch.failures[0][1]}; mend or remove it")
        found = dict(zip(readings, frozen.predict_on_batch(batch.images), strict=True))
        for name, parts in maps.items():
            parts.append(found[name].reshape(-1, found[name].shape[-1]))
    return {
        name: Components.fit(np.concatenate(parts), wanted[name], rows=len(paths) * 400, seed=seed)
        for name, parts in maps.items()
    }
