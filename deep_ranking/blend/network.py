"""A network that reads a frozen backbone at several depths, and colour beside it.

Descriptions are what is read: each a vector of unit length for an image. Blended, they are the embedding.
"""

from collections.abc import Mapping
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

_POOLINGS = {
    "mean": layers.GlobalAveragePooling2D,
    "spread": Spread,
    "quadrants": Quadrants,
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
    convnet = whole.get_layer("backbone")
    taps = [convnet.get_layer(reading.layer).output for reading in READINGS[settings.backbone].values()]
    inner = keras.Model(convnet.input, taps, name="backbone")
    inner.trainable = False
    return keras.Model(whole.input, inner(whole.get_layer("preprocessing").output), name="frozen")


def build_descriptions(
    frozen: keras.Model,
    readings: Mapping[str, Reading],
    reductions: Mapping[str, Affine],
    average_mirror: bool = False,
) -> tuple[keras.Model, dict[str, slice]]:
    """Build the network that describes images.

    Args:
        frozen: what `frozen_backbone` gave.
        readings: one for each of its outputs.
        reductions: the channels' principal components of the readings that want them.
        average_mirror: each description is the mean of the image's and its mirror image's, of unit length.

    Returns:
        A model from images to all descriptions one after the other, and where each lies.
    """
    image, found = _descriptions(frozen, readings, reductions, average_mirror)
    places, end = {}, 0
    for name, description in found.items():
        places[name] = slice(end, end + description.shape[-1])
        end += description.shape[-1]
    joined = layers.Concatenate(name="descriptions")(list(found.values()))
    return keras.Model(image, joined, name="descriptions"), places


def build_blend(
    frozen: keras.Model,
    readings: Mapping[str, Reading],
    reductions: Mapping[str, Affine],
    blend: Blend,
    average_mirror: bool = False,
) -> keras.Model:
    """Build the whole: descriptions, their components, weights, metric, unit length.

    Args: as of `build_descriptions`, and what was learned.

    Returns:
        A model from (b, size, size, 3), RGB 0..255, to (b, d) float32 of unit length.

    Raises:
        DeepRankingError: a weight is given for what is not described.
    """
    image, found = _descriptions(frozen, readings, reductions, average_mirror)
    if unknown := set(blend.weights) - set(found):
        raise DeepRankingError(f"weights: expected some of {', '.join(found)}, found {', '.join(unknown)}")
    parts = []
    for name, weight in blend.weights.items():
        x = _affine(blend.components[name], f"{name}_components")(found[name])
        x = layers.UnitNormalization(name=f"{name}_components_unit", dtype="float32")(x)
        parts.append(layers.Rescaling(weight**0.5, name=f"{name}_weight")(x))
    x = layers.Concatenate(name="merge")(parts) if len(parts) > 1 else parts[0]
    x = _affine((blend.mean, blend.matrix), "embedding")(x)
    x = layers.UnitNormalization(name="unit", dtype="float32")(x)
    return keras.Model(image, x, name="deep_ranking")


def _descriptions(
    frozen: keras.Model,
    readings: Mapping[str, Reading],
    reductions: Mapping[str, Affine],
    average_mirror: bool,
) -> tuple[Any, dict[str, Any]]:
    """Return the image that is described, and its descriptions."""
    found = {}
    for (name, reading), x in zip(readings.items(), frozen.outputs, strict=True):
        if reading.channels:
            x = _affine(reductions[name], f"{name}_channels")(x)
        found[name] = _POOLINGS[reading.pooling](name=f"{name}_{reading.pooling}")(x)
    side = frozen.input_shape[1]
    small = layers.AveragePooling2D(side // 32, name="colour_average")(frozen.input)
    found["colour"] = ColourHistogram(name="colour_histogram")(LabColour(name="colour_lab")(small))
    for name, x in found.items():
        x = SignedRoot(name=f"{name}_root")(x)
        found[name] = layers.UnitNormalization(name=f"{name}_unit", dtype="float32")(x)
    if not average_mirror:
        return frozen.input, found
    side = keras.Model(frozen.input, list(found.values()), name="side")
    image = keras.Input(frozen.input_shape[1:], name="image")
    sides = zip(side(image), side(Mirror(name="mirror")(image)), strict=True)
    for name, both in zip(list(found), sides, strict=True):
        x = layers.Average(name=f"{name}_average_mirror")(both)
        found[name] = layers.UnitNormalization(name=f"{name}_both_unit", dtype="float32")(x)
    return image, found


def _affine(map_: Affine, name: str) -> layers.Dense:
    mean, axes = (np.asarray(part, np.float32) for part in map_)
    layer = layers.Dense(axes.shape[1], name=name, trainable=False)
    layer.build((None, axes.shape[0]))
    layer.set_weights([axes, -(mean.astype(np.float64) @ axes.astype(np.float64)).astype(np.float32)])
    return layer
