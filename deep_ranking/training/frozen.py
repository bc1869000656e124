"""Learning the upper layers alone: what the frozen ones below give for each image is computed once."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from deep_ranking.embedding.engines import Engine
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.augment import PRESETS, Augmentation
from deep_ranking.images.loader import load_batches
from deep_ranking.progress import progress

_BATCH = 64


class Halves(NamedTuple):
    """A network in two parts that share its weights; `upper(lower(images))` is the network.

    Attributes:
        lower: (batch, height, width, 3) RGB 0..255 -> activations; frozen.
        upper: activations -> (batch, d).
    """

    lower: keras.Model
    upper: keras.Model


def split_network(network: keras.Model, layer: str) -> Halves:
    """Cut a network behind a layer of its backbone, and freeze what lies before the cut.

    Args:
        network: what `build_network` gave, without low-resolution paths, which would begin at the image.
        layer: name of a layer of the backbone through which everything passes; the backbone's last layer
            freezes all of it, and where its output is averaged over the positions the cut is behind that: for
            MobileNetV2 a fiftieth of the numbers. (In MobileNetV2 such are block_12_add,
            block_13_project_BN, out_relu.)

    Raises:
        DeepRankingError: there is no such layer, or something passes it by.
    """
    backbone = network.get_layer("backbone")
    names = [inner.name for inner in backbone.layers]
    if layer not in names:
        raise DeepRankingError(
            f"train_from: expected a layer of the backbone, found {layer!r}; " + _some(names)
        )
    following = network.layers[network.layers.index(backbone) + 1]
    between = backbone.get_layer(layer).output
    features = network.get_layer("features")
    pooled = layer == names[-1] and isinstance(features, keras.layers.GlobalAveragePooling2D)
    try:
        below = keras.Model(backbone.input, between)
        above = keras.Model(between, backbone.output) if layer != names[-1] else None
        head = keras.Model(features.output if pooled else following.input, network.output)
    except ValueError as error:
        raise DeepRankingError(
            f"train_from: expected a layer that all of the network passes through, found {layer!r} with a "
            "connection around it (the inside of a residual block; or low-resolution paths: leave them out "
            "with --low_resolution none)"
        ) from error
    below.trainable = False
    image = network.input
    if pooled:
        activations = keras.Input(features.output.shape[1:], name="activations")
        return Halves(keras.Model(image, features.output), keras.Model(activations, head(activations)))
    first = image if network.layers[1] is backbone else network.layers[1](image)
    activations = keras.Input(between.shape[1:], name="activations")
    return Halves(
        keras.Model(image, below(first)),
        keras.Model(activations, head(above(activations) if above else activations)),
    )


class Views:
    """The activations of each image, and of varied views of it, in a file that goes when this does.

    The first view is the image itself, the others are draws of the augmentation; if that mirrors left for
    right, it mirrors every other view instead of by chance. A batch takes one of each image's views at
    random, by seed and number of the batch alone.

    Args:
        lower: what gives the activations; see `Halves`.
        images: path of each image.
        size: (height, width) in pixels that they are resized to.
        folder: where the file goes: float16, images x views x the size of an activation.
        augmentation: what the other views are drawn by.
        views: of each image, 1 or more.
        seed: of the draws.
        quiet: no progress bar.

    Raises:
        DeepRankingError: an image cannot be read.
    """

    def __init__(
        self,
        lower: Engine,
        images: Sequence[str],
        size: tuple[int, int],
        folder: Path,
        augmentation: Augmentation = PRESETS["none"],
        views: int = 1,
        seed: int = 0,
        quiet: bool = True,
    ):
        self.seed = seed
        layers = replace(augmentation, horizontal_flip=False).layers(seed)
        with progress((), "frozen layers", "images", total=len(images), quiet=quiet) as bar:
            for batch in load_batches(images, size, _BATCH):
                if batch.failures:
                    raise batch.failures[0][1]
                for view in range(views):
                    mirrored = view % 2 and augmentation.horizontal_flip
                    pixels = batch.images[:, :, ::-1] if mirrored else batch.images
                    for layer in layers if view else ():
                        pixels = np.asarray(layer(pixels, training=True))
                    found = lower(pixels)
                    if not bar.n and not view:
                        shape = (len(images), views, *found.shape[1:])
                        # Without a name in the folder: nothing is left behind, however the run ends.
                        with tempfile.TemporaryFile(dir=folder) as file:
                            self.activations = np.memmap(file, np.float16, "w+", shape=shape)
                    self.activations[batch.positions, view] = found
                bar.update(len(batch.images))

    def __call__(self, positions: NDArray[np.int64], batch: int) -> NDArray[np.float16]:
        """Return the activations of some images, a view of each, for a batch with this running number."""
        views = np.random.default_rng([self.seed, batch]).integers(
            self.activations.shape[1], size=len(positions)
        )
        return self.activations[positions, views]


def _some(names: list[str]) -> str:
    ends = [name for name in names if name.endswith(("_add", "_out", "_pool"))]
    return f"such as {', '.join([*ends[-4:], names[-1]])}"
