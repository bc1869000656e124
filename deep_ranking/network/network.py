"""The whole network: ConvNet and low-resolution paths, merged by a linear layer, on the unit sphere."""

from typing import Any

import keras
from keras import layers

from deep_ranking.network.backbones import BACKBONES
from deep_ranking.network.layers import GradientScale, ImageNetCentering
from deep_ranking.network.low_resolution import blog_paths, paper_paths
from deep_ranking.network.settings import NetworkSettings


def build_network(settings: NetworkSettings, backbone_rate: float = 1.0) -> keras.Model:
    """Build f: image -> vector, with random weights.

    Args:
        settings: the architecture.
        backbone_rate: the backbone learns at this share of the learning rate; at 0 it is frozen.

    Returns:
        A model from (batch, image_size, image_size, 3), RGB 0..255, any number type, to
        (batch, embedding size) float32 of unit length. Preprocessing is inside.

    Source: Wang et al. 2014, figure 3; `NetworkSettings.blog()` is the blog's reading of it.

    Example:
        >>> settings = NetworkSettings("simple", image_size=32, embedding_size=8)
        >>> build_network(settings).output_shape
        (None, 8)
    """
    image = keras.Input((settings.image_size, settings.image_size, 3), name="image")
    branches = [_convnet(image, settings, backbone_rate)]
    if settings.low_resolution != "none":
        # The small nets come first, in the order in which the blog concatenates them.
        paths = {"paper": paper_paths, "blog": blog_paths}[settings.low_resolution]
        branches = [*paths(image), *branches]
    merged = layers.Concatenate(name="merge")(branches) if len(branches) > 1 else branches[0]
    if settings.embedding_size:
        merged = layers.Dense(settings.embedding_size, name="embedding")(merged)
    # Every normalization is in float32, also where the rest runs in 16 bits: its epsilon is none in float16.
    unit = layers.UnitNormalization(name="unit", dtype="float32")(merged)
    return keras.Model(image, unit, name="deep_ranking")


def _convnet(image: Any, settings: NetworkSettings, rate: float) -> Any:
    backbone = BACKBONES[settings.backbone]
    x = image
    if settings.preprocessing == "unit":
        x = layers.Rescaling(1 / 255, name="preprocessing")(x)
    elif backbone.preprocessing == "centered":
        x = ImageNetCentering(name="preprocessing")(x)
    elif backbone.preprocessing == "signed":
        x = layers.Rescaling(1 / 127.5, offset=-1, name="preprocessing")(x)
    convnet = backbone.build(settings.image_size)
    convnet.name = "backbone"
    convnet.trainable = rate > 0
    x = convnet(x)
    if 0 < rate < 1:
        x = GradientScale(rate, name="backbone_rate")(x)
    reduce = layers.GlobalAveragePooling2D if backbone.pooling else layers.Flatten
    x = reduce(name="features")(x)
    for number, units in enumerate(backbone.hidden, 1):
        x = layers.Dense(units, activation="relu", name=f"hidden_{number}")(x)
        x = layers.Dropout(settings.dropout, name=f"dropout_{number}")(x)
    return layers.UnitNormalization(name="convnet_unit", dtype="float32")(x)
