"""What is learned: a small network from random weights, or layers behind and beside a frozen MobileNetV2."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import keras
import numpy as np
from keras import layers
from parts import SIZE, Part, Parts
from ways import Way

from deep_ranking import Model, NetworkSettings, blog_paths, build_network, load_weights, paper_paths

BATCH = 24
"""Images, the blog's."""
EMBEDDING, HIDDEN, FEATURES = 64, 512, 1280

Embed = Callable[[Sequence[np.ndarray]], np.ndarray]
"""A part's images in, (n, d) vectors out."""


def from_random_weights(way: Way) -> keras.Model:
    """Build the backbone `simple` with low-resolution paths."""
    settings = NetworkSettings("simple", SIZE, EMBEDDING, way.low_resolution, way.preprocessing)
    network = build_network(settings)
    return keras.Model(network.inputs, network.output)  # a list of one input, where the other has two


def on_frozen_features(way: Way) -> keras.Model:
    """Build what the blog has behind a backbone, smaller, and its low-resolution paths beside it."""
    pixels, features = keras.Input((SIZE, SIZE, 3)), keras.Input((FEATURES,))
    x = features
    for _ in range(2):
        x = layers.Dropout(way.dropout)(layers.Dense(HIDDEN, activation="relu")(x))
    paths = {"paper": paper_paths, "blog": blog_paths}[way.low_resolution]
    branches = [*paths(pixels), layers.UnitNormalization()(x)]
    merged = layers.Concatenate()(branches)
    return keras.Model([pixels, features], layers.UnitNormalization()(layers.Dense(EMBEDDING)(merged)))


def with_features(parts: Parts, weights: str, preprocessing: str) -> Parts:
    """Return the parts with MobileNetV2's features, of pixels scaled as its weights expect or to 0..1."""
    side = 96  # the least that its weights were made for
    settings = NetworkSettings("mobilenetv2", side, 0, "none", preprocessing)
    network = build_network(settings)
    load_weights(network, settings, weights)
    embed = Model(network).embed_pixels

    def described(part: Part) -> Part:
        (pixels,) = part.images
        some = np.array_split(pixels, len(pixels) // 32 + 1)
        larger = (np.asarray(keras.ops.image.resize(batch, (side, side))) for batch in some)
        # Of unit length; a layer that begins with random weights wants numbers near 1.
        return replace(part, images=(pixels, np.concatenate([*map(embed, larger)]) * FEATURES**0.5))

    return Parts(*map(described, parts))


def strided(network: keras.Model) -> keras.Model:
    """Take one pixel of each square where `network` takes their mean."""

    def changed(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, layers.AveragePooling2D):
            return layers.MaxPooling2D(1, layer.strides, name=layer.name)
        return layer.from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=changed)
    copy.set_weights(network.get_weights())
    return copy


def learn(
    build: Callable[[Way], keras.Model], way: Way, rate: float, part: Part, seed: int, steps: int
) -> Embed:
    """Train for so many batches; return what embeds with the outcome.

    With one seed the layers that two ways share begin with the same weights, and see the same triplets.
    """
    keras.utils.set_random_seed(seed)
    model = strided(build(way)) if way.strided else build(way)
    rng, count = np.random.default_rng(seed), len(part.triplets)
    epochs = -(-steps * BATCH // (3 * count))
    order = [rng.permutation(count) if way.shuffled else np.arange(count) for _ in range(epochs)]
    rows = part.triplets[np.concatenate(order)].reshape(-1)[: steps * BATCH]
    model.compile(
        # A rate that ends at 0 leaves runs that differ less by where their last steps happened to lead.
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(rate, steps), 0.9, nesterov=True),
        loss=way.loss(way.gap, way.distance),
        jit_compile=False,  # slower on processors
    )
    inputs = [array[rows] for array in part.images]
    model.fit(inputs, np.zeros((len(rows), 1)), batch_size=BATCH, shuffle=False, verbose=0)

    def embed(images: Sequence[np.ndarray]) -> np.ndarray:
        places = np.array_split(np.arange(len(images[0])), len(images[0]) // 250 + 1)
        return np.concatenate([np.asarray(model([array[some] for array in images])) for some in places])

    return embed
