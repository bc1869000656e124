"""The whole network: ConvNet and low-resolution paths, merged by a linear layer, on the unit sphere."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import layers

from deep_ranking.network.backbones import find_backbone
from deep_ranking.network.layers import GradientScale, ImageNetCentering, Mirror
from deep_ranking.network.settings import NetworkSettings


@contextmanager
def own_conventions(policy: str | None = None) -> Iterator[None]:
    """Build with channels last and in float32, whatever the user has set in Keras for other work.

    Args:
        policy: what layers compute in, as of `keras.config.set_dtype_policy`; None: what the user has set.
    """
    order, numbers = keras.config.image_data_format(), keras.config.floatx()
    layers_have = keras.config.dtype_policy()  # the numbers' name, where no policy was set
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy or ("float32" if layers_have.name == numbers else layers_have))
    try:
        yield
    finally:
        keras.config.set_image_data_format(order)
        keras.config.set_floatx(numbers)
        keras.config.set_dtype_policy(layers_have)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Let what seeds and draws inside leave Python's and NumPy's own random numbers as they were."""
    before = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


@own_conventions()
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
        paths = paper_paths if settings.low_resolution == "paper" else blog_paths
        branches = [*paths(image), *branches]
    merged = layers.Concatenate(name="merge")(branches) if len(branches) > 1 else branches[0]
    if settings.embedding_size:
        merged = layers.Dense(settings.embedding_size, name="embedding")(merged)
    # Every normalization is in float32, also where the rest runs in 16 bits: its epsilon is none in float16.
    unit = layers.UnitNormalization(name="unit", dtype="float32")(merged)
    return keras.Model(image, unit, name="deep_ranking")


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, RGB 0..1; those of `keras.applications`' "torch" mode."""


def _convnet(image: Any, settings: NetworkSettings, rate: float) -> Any:
    backbone = find_backbone(settings.backbone, settings.tokens)
    x = image
    if settings.preprocessing == "unit":
        x = layers.Rescaling(1 / 255, name="preprocessing")(x)
    elif backbone.preprocessing == "centered":
        x = ImageNetCentering(name="preprocessing")(x)
    elif backbone.preprocessing == "signed":
        x = layers.Rescaling(1 / 127.5, offset=-1, name="preprocessing")(x)
    elif backbone.preprocessing == "standard":
        scale, offset = (
            [1 / (255 * s) for s in _DEVIATION],
            [-m / s for m, s in zip(_MEAN, _DEVIATION, strict=True)],
        )
        x = layers.Rescaling(scale, offset, name="preprocessing")(x)
    convnet = backbone.build(settings.image_size)
    convnet.name = "backbone"
    convnet.trainable = rate > 0
    x = convnet(x)
    if 0 < rate < 1:
        x = GradientScale(rate, name="backbone_rate")(x)
    pooled = backbone.pooling and len(x.shape) == 4  # a class token has no positions
    reduce = layers.GlobalAveragePooling2D if pooled else layers.Flatten
    x = reduce(name="features")(x)
    for number, units in enumerate(backbone.hidden if settings.fully_connected else (), 1):
        x = layers.Dense(units, activation="relu", name=f"hidden_{number}")(x)
        x = layers.Dropout(settings.dropout, name=f"dropout_{number}")(x)
    return layers.UnitNormalization(name="convnet_unit", dtype="float32")(x)


_SIDE = "side"


def average_mirror(network: keras.Model) -> keras.Model:
    """Return a network that embeds an image by the mean of itself and its mirror image.

    f'(x) = u((g(x) + g(mirror x)) / 2), where f(x) = u(g(x)) is the network and u brings to unit length. An
    image and its mirror image have the same embedding, and each takes twice the time.

    Args:
        network: its last layer is "unit", as in what `build_network` and `build_blend` give. The two share
            all weights.

    Example:
        >>> import numpy as np
        >>> plain = build_network(NetworkSettings("simple", image_size=32, embedding_size=8))
        >>> network = average_mirror(plain)
        >>> images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
        >>> one, other = network(images), network(images[:, :, ::-1])
        >>> bool(np.allclose(one, other, atol=1e-6))
        True
    """
    unit = network.get_layer("unit")
    side = keras.Model(network.input, unit.input, name=_SIDE)
    image = keras.Input(network.input_shape[1:], name="image")
    both = layers.Average(name="average_mirror")([side(image), side(Mirror(name="mirror")(image))])
    return keras.Model(image, type(unit).from_config(unit.get_config())(both), name=network.name)


def one_side(network: keras.Model) -> keras.Model:
    """Return what `average_mirror` runs on each side, (b, d) before unit length; another network as it is."""
    return next((layer for layer in network.layers if layer.name == _SIDE), network)


def paper_paths(image: Any) -> list[Any]:
    """The paper's two paths: average 4:1 and 8:1, one convolution, one max pooling each.

    At 225 pixels: 57 -> convolution 8x8 stride 4 -> 15 -> pooling 7x7 stride 4 -> 4x4x96, and
    29 -> 8 -> pooling 3x3 stride 2 -> 4x4x96; together 3,072 numbers under one L2 normalization.
    Figure 3 labels the poolings the other way round, which does not give its own sizes, and prints 3074.

    Args:
        image: (batch, height, width, 3), RGB 0..255.

    Returns:
        One branch, (batch, features), unit length.

    Source: Wang et al. 2014, figure 3.
    """
    image = layers.Rescaling(1 / 127.5, offset=-1, name="low_resolution_scale")(image)
    flat = []
    for ratio, pool, stride in ((4, 7, 4), (8, 3, 2)):
        x = layers.AveragePooling2D(ratio, padding="same", name=f"average_{ratio}")(image)
        x = layers.Conv2D(96, 8, strides=4, padding="same", name=f"low_resolution_{ratio}")(x)
        x = layers.MaxPooling2D(pool, stride, padding="same", name=f"max_{ratio}")(x)
        flat.append(layers.Flatten(name=f"flat_{ratio}")(x))
    both = layers.Concatenate(name="low_resolution")(flat)
    return [layers.UnitNormalization(name="low_resolution_unit", dtype="float32")(both)]


def blog_paths(image: Any) -> list[Any]:
    """The blog's two paths: convolutions that stride over the full image, normalized each by itself.

    An 8x8 kernel at stride 16 or 32 reads a quarter or a sixteenth of the pixels; kept as it was, so that
    weights trained with it load.

    Args:
        image: (batch, height, width, 3), RGB 0..255.

    Returns:
        Two branches, (batch, features) each, unit length.
    """
    image = layers.Rescaling(1 / 255, name="low_resolution_scale")(image)
    branches = []
    for step, pool, stride in ((16, 3, 4), (32, 7, 2)):
        x = layers.Conv2D(96, 8, strides=step, padding="same", name=f"low_resolution_{step}")(image)
        x = layers.MaxPooling2D(pool, stride, padding="same", name=f"max_{step}")(x)
        x = layers.Flatten(name=f"flat_{step}")(x)
        branches.append(layers.UnitNormalization(name=f"unit_{step}", dtype="float32")(x))
    return branches
