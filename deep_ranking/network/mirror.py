"""A network that looks at each image and at its mirror image: what has no left and right is told better."""

from typing import Any

import keras
from keras import layers, ops

_SIDE = "side"


@keras.saving.register_keras_serializable("deep_ranking")
class Mirror(keras.layers.Layer):
    """Exchange left and right: (b, h, w, c) -> (b, h, w, c)."""

    def call(self, images: Any) -> Any:
        """Return the mirror images."""
        return ops.flip(images, axis=2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


def average_mirror(network: keras.Model) -> keras.Model:
    """Return a network that embeds an image by the mean of itself and its mirror image.

    f'(x) = u((g(x) + g(mirror x)) / 2), where f(x) = u(g(x)) is the network and u brings to unit length. An
    image and its mirror image have the same embedding, and each takes twice the time.

    Args:
        network: its last layer is "unit", as in what `build_network` and `build_blend` give. The two share
            all weights.

    Example:
        >>> import numpy as np
        >>> from deep_ranking.network.network import build_network
        >>> from deep_ranking.network.settings import NetworkSettings
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
    found = [layer for layer in network.layers if layer.name == _SIDE]
    return found[0] if found else network
