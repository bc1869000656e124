"""The default: keep the features of a pretrained network, and learn what comes after them in seconds."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from deep_ranking import __version__
from deep_ranking.embedding import Model
from deep_ranking.embedding.engines import named_engine
from deep_ranking.evaluation.log import write_log
from deep_ranking.evaluation.tasks import distinct_images
from deep_ranking.images.cache import ImageCache
from deep_ranking.network.file import save_network
from deep_ranking.network.network import average_mirror, build_network
from deep_ranking.network.weights import starting_network
from deep_ranking.training.broken import tell_broken
from deep_ranking.training.head import Chosen, Head, check_classes, choose_head
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.training.verdict import Verdict
from deep_ranking.triplets.table import LabelledImages


def learn_on_features(
    data: LabelledImages,
    path: Path,
    settings: TrainingSettings,
    cache: ImageCache | None = None,
    leave_out_broken: bool = False,
) -> tuple[keras.Model, Verdict, tuple[dict[str, float], ...]]:
    """Learn a linear layer on the features of a pretrained backbone, and save the network that has it.

    The network is the usual one without low-resolution paths: backbone, features, "embedding", unit length.
    Where no such layer is better than the features as they are, it has none.

    Args:
        data: images of two classes or more.
        path: where the network goes, with its log beside it.
        settings: `TrainingSettings.features()`, or such.
        cache: of decoded images.
        leave_out_broken: go without images that cannot be read, instead of ending.

    Returns:
        The network, what it is worth, and the log: epoch 0 is the start.

    Raises:
        DeepRankingError: an image cannot be read, or the classes do not suffice.
        NoImageNetWeightsError: there are no pretrained weights to start from.
    """
    once = distinct_images(data.images, data.labels, "each is learned from once")
    images, labels = [data.images[place] for place in once], data.labels[once]
    check_classes(labels)
    keras.utils.set_random_seed(settings.seed)
    start = starting_network(settings.network, settings.weights)
    plain = average_mirror(start) if settings.average_mirror else start
    embedder = Model(plain, engine=named_engine(settings.engine, plain), cache=cache)
    vectors, labels = readable_features(embedder, images, labels, leave_out_broken)
    chosen = choose_head(vectors, labels, settings.seed)
    network, network_settings = plain, settings.network.bare
    if chosen.head is not None:
        size = settings.network.embedding_size
        head = chosen.head.reduced(vectors, size) if 0 < size < vectors.shape[1] else chosen.head
        network_settings = replace(network_settings, embedding_size=head.axes.shape[1])
        network = with_head(start, network_settings, head)
        network = average_mirror(network) if settings.average_mirror else network
    history = tuple(
        {"epoch": epoch} | {f"val_{name}": value.value for name, value in measured.items()}
        for epoch, measured in enumerate((chosen.verdict.start, chosen.verdict.model))
    )
    about = {
        "version": __version__,
        "settings": asdict(replace(settings, network=network_settings)),
        "triplets": data.description,
        "metrics": history[-1],
        "untrained": history[0],
        "head": _described(chosen),
    }
    save_network(network, path, about)
    write_log(path.with_suffix(".csv"), history)
    return network, chosen.verdict, history


def with_head(start: keras.Model, settings: Any, head: Head) -> keras.Model:
    """Return the network of settings with a starting network's weights, its linear layer the head's."""
    network = build_network(settings)
    kernel = head.axes.astype(np.float64)
    bias = -head.mean.astype(np.float64) @ kernel
    network.set_weights([*start.get_weights(), kernel.astype(np.float32), bias.astype(np.float32)])
    return network


def readable_features(
    embedder: Model, images: Sequence[str], labels: NDArray[np.int64], leave_out_broken: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the vectors of images, and their classes, without those that cannot be read.

    Raises:
        DeepRankingError: some cannot be read and are not to be left out; the first ten are named.
    """
    vectors, failures = embedder.embed(images, quiet=False)
    if failures:
        tell_broken([error for _, error in failures], len(images), leave_out_broken)
        broken = {path for path, _ in failures}
        labels = labels[np.array([image not in broken for image in images])]
    return vectors, labels


def _described(chosen: Chosen) -> dict[str, float | None]:
    if chosen.head is None:
        return {}
    shrinkage = None if math.isinf(chosen.shrinkage) else chosen.shrinkage  # JSON has no infinity
    return {"shrinkage": shrinkage, "gain": chosen.gain}
