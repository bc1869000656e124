"""What is learned: a small network from random weights, or layers on MobileNetV2's frozen features."""

from collections.abc import Callable
from functools import cache

import keras
import numpy as np
from keras import layers
from parts import SIZE, Part, Parts
from ways import Way

from deep_ranking.embedding import Embedder
from deep_ranking.network.network import build_network
from deep_ranking.network.settings import NetworkSettings
from deep_ranking.network.weights import load_weights

BATCH = 24
"""Images, the blog's."""
EMBEDDING, HIDDEN = 64, 512

Embed = Callable[[np.ndarray], np.ndarray]
"""Images of a part in, (n, d) vectors out."""


class FromRandomWeights:
    """The backbone `simple` with low-resolution paths.

    Args:
        parts: of pixels.
    """

    def __init__(self, parts: Parts):
        self._parts = parts

    def parts(self, way: Way) -> Parts:
        """Return what a way learns from; the network itself scales pixels."""
        return self._parts

    def model(self, way: Way, seed: int) -> keras.Model:
        """Build the network; where layers are the same in two ways, so are a seed's weights."""
        strided = way.low_resolution == "strided"
        paths = "paper" if strided else way.low_resolution
        keras.utils.set_random_seed(seed)
        network = build_network(NetworkSettings("simple", SIZE, EMBEDDING, paths, way.preprocessing))
        return _strided(network) if strided else network


def _strided(network: keras.Model) -> keras.Model:
    """Take one pixel of each square where `network` takes their mean."""

    def changed(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, layers.AveragePooling2D):
            return layers.MaxPooling2D(1, layer.strides, name=layer.name)
        return layer.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=changed)
    copy.set_weights(network.get_weights())
    return copy


class OnFrozenFeatures:
    """What the blog puts behind a backbone, smaller: two hidden layers with dropout, and the embedding.

    Args:
        parts: of pixels.
        weights: MobileNetV2's weights file.
    """

    def __init__(self, parts: Parts, weights: str):
        self._pixels, self._weights = parts, weights
        self._described = cache(self._describe)

    def parts(self, way: Way) -> Parts:
        """Return features of pixels scaled as the way has it, of a standard deviation of 1 in training."""
        return self._described(way.preprocessing)

    def model(self, way: Way, seed: int) -> keras.Model:
        """Build the layers."""
        keras.utils.set_random_seed(seed)
        hidden = [
            layer
            for _ in range(2)
            for layer in (layers.Dense(HIDDEN, activation="relu"), layers.Dropout(way.dropout))
        ]
        return keras.Sequential([*hidden, layers.Dense(EMBEDDING), layers.UnitNormalization()])

    def _describe(self, preprocessing: str) -> Parts:
        # 96 pixels a side is the least that MobileNetV2's weights were made for.
        settings = NetworkSettings("mobilenetv2", 96, 0, "none", preprocessing)
        network = build_network(settings)
        load_weights(network, settings, self._weights)
        embedder = Embedder(network)

        def features(pixels: np.ndarray) -> np.ndarray:
            larger = (
                keras.ops.image.resize(some, (96, 96)) for some in np.array_split(pixels, len(pixels) // 32)
            )
            return np.concatenate([embedder.embed_pixels(np.asarray(some)) for some in larger])

        described = [features(part.images) for part in self._pixels]
        scale = described[0].std()
        return self._pixels.described([vectors / scale for vectors in described])


def learn(model: keras.Model, way: Way, rate: float, part: Part, seed: int, steps: int) -> Embed:
    """Train for so many batches; return what embeds with the outcome."""
    rng, count = np.random.default_rng(seed), len(part.triplets)
    epochs = -(-steps * BATCH // (3 * count))
    order = [rng.permutation(count) if way.shuffled else np.arange(count) for _ in range(epochs)]
    rows = part.triplets[np.concatenate(order)].reshape(-1)[: steps * BATCH]
    model.compile(
        keras.optimizers.SGD(rate, 0.9, nesterov=True),
        loss=way.loss(way.gap, way.distance),
        jit_compile=False,  # slower on processors
    )
    model.fit(part.images[rows], np.zeros((len(rows), 1)), batch_size=BATCH, shuffle=False, verbose=0)

    def embed(images: np.ndarray) -> np.ndarray:
        parts = np.array_split(images, -(-len(images) // 250))
        return np.concatenate([np.asarray(model(part, training=False)) for part in parts])

    return embed
