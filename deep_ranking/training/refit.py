"""The last linear layer in closed form, from all training images at once."""

import keras
import numpy as np

from deep_ranking.embedding import Embedder
from deep_ranking.embedding.engines import named_engine
from deep_ranking.features.discriminants import Discriminants
from deep_ranking.triplets.labelled import LabelledImages


def refit_embedding(
    network: keras.Model,
    labelled: LabelledImages,
    shrinkage: float,
    engine: str = "keras",
    quiet: bool = True,
) -> None:
    """Make a network's embedding the linear discriminants of the features that it is made from.

    The network keeps its layers; the kernel and the bias of "embedding" are replaced. Of more classes than
    the embedding has numbers the leading discriminants are taken; of fewer, the other numbers are 0.

    Args:
        network: what `build_network` gave, with a linear layer.
        labelled: images of two classes or more.
        shrinkage: above 0; see `features.discriminants`.
        engine: what runs the layers before: "keras", "openvino" or "openvino-bfloat16".
        quiet: no progress bar.

    Raises:
        DeepRankingError: an image cannot be read.
    """
    layer = network.get_layer("embedding")
    before = keras.Model(network.input, layer.input)
    embedder = Embedder(before, engine=named_engine(engine, before))
    features = embedder.embed_all(labelled.images, quiet=quiet)
    found = Discriminants.fit(features, labelled.labels, layer.units, shrinkage)
    kernel = np.zeros(layer.kernel.shape, np.float32)
    kernel[:, : found.axes.shape[1]] = found.axes
    layer.set_weights([kernel, -found.mean @ kernel])
