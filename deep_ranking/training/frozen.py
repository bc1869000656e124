"""Learning the upper layers alone: what the frozen ones below give for each image is computed once."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from deep_ranking.embedding import Model
from deep_ranking.embedding.engines import Engine, named_engine
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.images.augment import PRESETS, Augmentation
from deep_ranking.images.loader import load_batches
from deep_ranking.progress import progress
from deep_ranking.triplets.table import LabelledImages

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
        ends = [name for name in names if name.endswith(("_add", "_out", "_pool"))]
        raise DeepRankingError(
            f"train_from: expected a layer of the backbone, found {layer!r}; "
            f"such as {', '.join([*ends[-4:], names[-1]])}"
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
    first = image if network.layers[1] is backbone else network.layers[1](image)
    found = features.output if pooled else below(first)
    activations = keras.Input(found.shape[1:], name="activations")
    upper = head(above(activations) if above else activations)
    return Halves(keras.Model(image, found), keras.Model(activations, upper))


class CachedActivations:
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
    ):
        self.seed = seed
        self.activations: NDArray[np.float16] | None = None
        layers = replace(augmentation, horizontal_flip=False).layers(seed)
        with progress((), "frozen layers", "images", len(images)) as bar:
            for batch in load_batches(images, size, _BATCH):
                if batch.failures:
                    raise batch.failures[0][1]
                for view in range(views):
                    mirrored = view % 2 and augmentation.horizontal_flip
                    pixels = batch.images[:, :, ::-1] if mirrored else batch.images
                    for layer in layers if view else ():
                        pixels = np.asarray(layer(pixels, training=True))
                    found = lower(pixels)
                    if self.activations is None:
                        shape = (len(images), views, *found.shape[1:])
                        # Without a name in the folder: nothing is left behind, however the run ends.
                        with tempfile.TemporaryFile(dir=folder) as file:
                            self.activations = np.memmap(file, np.float16, "w+", shape=shape)
                    self.activations[batch.positions, view] = found
                bar.update(len(batch.images))

    def __call__(self, positions: NDArray[np.int64], batch: int) -> NDArray[np.float16]:
        """Return the activations of some images, a view of each, for a batch with this running number."""
        assert self.activations is not None  # there are images
        random = np.random.default_rng([self.seed, batch])
        return self.activations[positions, random.integers(self.activations.shape[1], size=len(positions))]


@dataclass(frozen=True)
class Discriminants:
    """An affine map in which each class scatters alike in all directions, to those that tell classes apart.

    With W the mean over images of (x - m)(x - m)^T, m their class's mean, shrunk to S = W + s tr(W) / d I,
    and B the same of the classes' means about their own mean, the axes are the leading solutions of
    B a = l S a with a^T S a = 1. All weigh the same, however large l is: a nearest neighbour needs those
    that tell a few classes apart too.

    Args:
        mean: (d,), of the classes' means.
        axes: (d, k), by falling l.

    Source: Fisher 1936 for two classes, Rao 1948 for more; the shrinkage is Friedman's, 1989.

    Example:
        >>> vectors = np.array([[0.0, 5.0], [0.2, -5.0], [1.0, -5.0], [1.2, 5.0]])
        >>> found = Discriminants.fit(vectors, np.array([0, 0, 1, 1]), 1, shrinkage=1e-4)
        >>> found(vectors).round().ravel().tolist()
        [-6.0, -4.0, 4.0, 6.0]
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @classmethod
    def fit(
        cls, vectors: NDArray[Any], labels: NDArray[np.integer], count: int, shrinkage: float = 0.3
    ) -> "Discriminants":
        """Learn them; at most min(count, d, classes less one).

        Args:
            vectors: (n, d).
            labels: (n,) of two classes or more, one of them with images that differ.
            count: k, 1 or more.
            shrinkage: s, above 0.

        Raises:
            DeepRankingError: a count or shrinkage out of range, one class, or none that scatters.
        """
        expect("discriminants", count >= 1, "1 or more", count)
        expect("shrinkage", shrinkage > 0, "a number above 0", shrinkage)
        classes, of = np.unique(labels, return_inverse=True)
        expect("classes", len(classes) >= 2, "two or more to tell apart", len(classes))
        means = np.stack([vectors[of == c].mean(axis=0, dtype=np.float64) for c in range(len(classes))])
        scattered = np.asarray(vectors, np.float32) - means[of].astype(np.float32)
        variances, directions = np.linalg.eigh((scattered.T @ scattered).astype(np.float64) / len(vectors))
        spread = variances.mean()
        expect("vectors", spread > 0, "some that differ from others of their class", "none")
        whiten = directions / np.sqrt(np.maximum(variances, 0) + shrinkage * spread)
        mean = means.mean(axis=0)
        turn = np.linalg.svd((means - mean) @ whiten, full_matrices=False)[2]
        axes = whiten @ turn[: min(count, len(classes) - 1)].T
        # The largest entry of each axis is made positive: singular vectors have no sign of their own.
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
        return cls(mean.astype(np.float32), axes.astype(np.float32))

    def __call__(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Map (n, d) to (n, k) float32."""
        return ((np.asarray(vectors, np.float32) - self.mean) @ self.axes).astype(np.float32)


def refit_embedding(
    network: keras.Model, labelled: LabelledImages, shrinkage: float, engine: str = "keras"
) -> None:
    """Make a network's embedding the linear discriminants of the features that it is made from.

    The network keeps its layers; the kernel and the bias of "embedding" are replaced. Of more classes than
    the embedding has numbers the leading discriminants are taken; of fewer, the other numbers are 0.

    Args:
        network: what `build_network` gave, with a linear layer.
        labelled: images of two classes or more.
        shrinkage: above 0; see `Discriminants`.
        engine: what runs the layers before: "keras", "openvino" or "openvino-bfloat16".

    Raises:
        DeepRankingError: an image cannot be read.
    """
    layer = network.get_layer("embedding")
    before = keras.Model(network.input, layer.input)
    embedder = Model(before, engine=named_engine(engine, before))
    features = embedder.embed_all(labelled.images, quiet=False)
    found = Discriminants.fit(features, labelled.labels, layer.units, shrinkage)
    kernel = np.zeros(layer.kernel.shape, np.float32)
    kernel[:, : found.axes.shape[1]] = found.axes
    layer.set_weights([kernel, -found.mean @ kernel])
