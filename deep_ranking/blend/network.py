"""A network that reads a frozen backbone at several depths, and colour beside it.

Descriptions are what is read: each a vector of unit length for an image. Blended, they are the embedding.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from deep_ranking.blend.learn import Blend
from deep_ranking.blend.settings import READINGS, LearnSettings, Reading
from deep_ranking.errors import DeepRankingError
from deep_ranking.network.layers import (
    ColourHistogram,
    LabColour,
    Mirror,
    Quadrants,
    SecondMoments,
    SignedRoot,
    Spread,
)
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.weights import load_weights

Affine = tuple[np.ndarray, np.ndarray]
"""A mean (d,) and axes (d, k): x -> (x - mean) @ axes."""


def _grid(name: str) -> Callable[[Any], Any]:
    """Return what takes the means of each channel in windows of 3x3 positions, at every second one."""
    cells, flat = layers.AveragePooling2D(3, 2, name=f"{name}_cells"), layers.Flatten(name=name)
    return lambda x: flat(cells(x))


_POOLINGS: dict[str, Callable[..., Callable[[Any], Any]]] = {
    "mean": layers.GlobalAveragePooling2D,
    "spread": Spread,
    "quadrants": Quadrants,
    "grid": _grid,
    "second_moments": SecondMoments,
}


def frozen_backbone(settings: LearnSettings) -> keras.Model:
    """Return the network whose readings are taken: (b, image_size, image_size, 3) RGB 0..255 -> a map each.

    Returns:
        A model with one output for each reading, in their order.

    Raises:
        DeepRankingError: the weights cannot be loaded.
    """
    own = NetworkSettings(settings.backbone, settings.image_size, embedding_size=0, low_resolution="none")
    keras.utils.set_random_seed(settings.seed)
    whole = build_network(own, backbone_rate=0.0)
    load_weights(whole, own, settings.weights)
    return read_at(whole, READINGS[settings.backbone])


def read_at(whole: keras.Model, readings: Mapping[str, Reading]) -> keras.Model:
    """Return what `build_network` gave, frozen, with one output for each reading, in their order."""
    convnet = whole.get_layer("backbone")
    taps = [convnet.get_layer(reading.layer).output for reading in readings.values()]
    inner = keras.Model(convnet.input, taps, name="backbone")
    inner.trainable = False
    return keras.Model(whole.input, inner(whole.get_layer("preprocessing").output), name="frozen")


def describe(
    frozen: keras.Model,
    readings: Mapping[str, Reading],
    reductions: Mapping[str, Affine],
    average_mirror: bool = False,
) -> tuple[Any, dict[str, Any]]:
    """Return an image, (b, size, size, 3) RGB 0..255, and its descriptions by name, as Keras tensors.

    Args:
        frozen: what `frozen_backbone` gave.
        readings: one for each of its outputs.
        reductions: the channels' principal components of the readings that want them.
        average_mirror: each description is the mean of the image's and its mirror image's, of unit length.
    """
    found = {}
    for (name, reading), x in zip(readings.items(), frozen.outputs, strict=True):
        if reading.channels:
            x = _affine(reductions[name], f"{name}_channels")(x)
        found[name] = _POOLINGS[reading.pooling](name=f"{name}_{reading.pooling}")(x)
    small = layers.AveragePooling2D(frozen.input_shape[1] // 32, name="colour_average")(frozen.input)
    found["colour"] = ColourHistogram(name="colour_histogram")(LabColour(name="colour_lab")(small))
    for name, x in found.items():
        found[name] = _unit(f"{name}_unit")(SignedRoot(name=f"{name}_root")(x))
    if not average_mirror:
        return frozen.input, found
    side = keras.Model(frozen.input, list(found.values()), name="side")
    image = keras.Input(frozen.input_shape[1:], name="image")
    sides = zip(side(image), side(Mirror(name="mirror")(image)), strict=True)
    for name, both in zip(list(found), sides, strict=True):
        found[name] = _unit(f"{name}_both_unit")(layers.Average(name=f"{name}_average_mirror")(both))
    return image, found


def build_blend(image: Any, descriptions: Mapping[str, Any], blend: Blend) -> keras.Model:
    """Build the whole: descriptions, their components, weights, metric, unit length.

    Args:
        image, descriptions: what `describe` gave.
        blend: what was learned.

    Returns:
        A model from (b, size, size, 3), RGB 0..255, to (b, d) float32 of unit length.

    Raises:
        DeepRankingError: a weight is given for what is not described.
    """
    if unknown := set(blend.weights) - set(descriptions):
        known, others = ", ".join(descriptions), ", ".join(unknown)
        raise DeepRankingError(f"weights: expected some of {known}, found {others}")
    parts = []
    for name, weight in blend.weights.items():
        x = _affine(blend.components[name], f"{name}_components")(descriptions[name])
        x = _unit(f"{name}_components_unit")(x)
        parts.append(layers.Rescaling(weight**0.5, name=f"{name}_weight")(x))
    x = layers.Concatenate(name="merge")(parts) if len(parts) > 1 else parts[0]
    x = _unit("unit")(_affine((blend.mean, blend.matrix), "embedding")(x))
    return keras.Model(image, x, name="deep_ranking")


def _unit(name: str) -> layers.UnitNormalization:
    return layers.UnitNormalization(name=name, dtype="float32")


def _affine(map_: Affine, name: str) -> layers.Dense:
    mean, axes = (np.asarray(part, np.float32) for part in map_)
    layer = layers.Dense(axes.shape[1], name=name, trainable=False)
    layer.build((None, axes.shape[0]))
    layer.set_weights([axes, -(mean.astype(np.float64) @ axes.astype(np.float64)).astype(np.float32)])
    return layer
