"""What a trained network is compared with: its start, itself untrained, its ConvNet path alone, colour."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import keras

from deep_ranking.embedding.model import Model
from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.network.file import at_most_weights
from deep_ranking.network.layers import ColourHistogram, LabColour
from deep_ranking.network.network import (
    NetworkSettings,
    average_mirror,
    build_network,
    one_side,
    own_conventions,
    random_numbers_kept,
)
from deep_ranking.network.weights import load_weights, starting_network

logger = logging.getLogger(__name__)

_MOST_TIMES = 4  # as many weights as the model has: one that was refitted began with others


def systems(embedder: Model, baselines: bool, beside_start: bool = False) -> Iterator[tuple[str, Model]]:
    """Yield `"model"` and the model itself and, if asked for, each baseline by its name, as a model too.

    A baseline that cannot be had is left out with a warning: the model is of other code, its starting weights
    are gone, it would be the model itself.

    Args:
        embedder: holds the trained network.
        baselines: yield them too.
        beside_start: yield the first of them, the start, in any case, where it can be had.
    """
    yield "model", embedder
    makers: dict[str, Callable[[], Model]] = {
        "start": lambda: start(embedder),
        "untrained": lambda: untrained(embedder),
        "single scale": lambda: single_scale(embedder),
        "colour histogram": lambda: colour_histogram(embedder.size),
    }
    for name, make in makers.items() if baselines else [("start", makers["start"])] * beside_start:
        try:
            yield name, make()
        except DeepRankingError as error:
            logger.log(
                logging.WARNING if baselines else logging.INFO, "baseline %r left out: %s", name, error
            )


def start(embedder: Model) -> Model:
    """Return what training had to be better than: the pretrained features without any new layer, or the model
    that was trained on.

    Raises:
        DeepRankingError: as of `untrained`; or training began with random weights, or with the model itself.
    """

    def make(settings: NetworkSettings, training: dict[str, Any]) -> keras.Model:
        if "head" in embedder.metadata and not embedder.metadata["head"]:
            raise DeepRankingError("the model is its start")
        return starting_network(settings, training["weights"])

    return _made(embedder, make)


def untrained(embedder: Model) -> Model:
    """Return the network as its training began: the same settings, seed and starting weights.

    Raises:
        DeepRankingError: the model does not say how it was made, or says what makes no network of its size;
            or the starting weights are gone; or it had no layer that began at random.
    """

    def make(settings: NetworkSettings, training: dict[str, Any]) -> keras.Model:
        if "head" in embedder.metadata:
            raise DeepRankingError("its linear layer never was random; see its start")
        keras.utils.set_random_seed(training["seed"])
        network = build_network(settings)
        load_weights(network, settings, training["weights"])
        return network

    return _made(embedder, make)


@random_numbers_kept()
@own_conventions("float32")
def _made(embedder: Model, make: Callable[[NetworkSettings, dict[str, Any]], keras.Model]) -> Model:
    """Return the network that a model file's settings give."""
    if "settings" not in embedder.metadata:
        raise DeepRankingError("the model file does not say how the network was made")
    training, settings = embedder.metadata["settings"], None
    try:
        settings = NetworkSettings(**training["network"])
        with at_most_weights(_MOST_TIMES * embedder.network.count_params()):
            network = make(settings, training)
        return Model(average_mirror(network) if training.get("average_mirror") else network)
    except Exception as error:  # the file may be a stranger's, and say anything
        if settings is not None and isinstance(error, DeepRankingError):
            raise
        raise DeepRankingError(
            "the model file does not say how the network was made; it says "
            f"{training!r:.100} ({reason(error):.100})"
        ) from error


def single_scale(embedder: Model) -> Model:
    """Return the ConvNet path of the network alone, without low-resolution paths and linear layer.

    Raises:
        DeepRankingError: the network has no low-resolution path, or is of other code.
    """
    network = one_side(embedder.network)
    names = {layer.name for layer in network.layers}
    if not {"convnet_unit", "merge"} <= names:
        raise DeepRankingError("the network has no low-resolution path beside its ConvNet")
    return Model(keras.Model(network.input, network.get_layer("convnet_unit").output))


@own_conventions("float32")
def colour_histogram(size: tuple[int, int]) -> Model:
    """Return the square root of an image's colour histogram in LAB, 245 numbers, of unit length.

    Args:
        size: (height, width) in pixels that images are resized to.
    """
    image = keras.Input((*size, 3))
    shares = ColourHistogram()(LabColour()(image))
    return Model(keras.Model(image, keras.ops.sqrt(shares)))
