"""The reader's network in Keras."""

import keras

from deep_ranking.blend.network import describe, read_at
from deep_ranking.blend.settings import Reading
from deep_ranking.description.reader import PARTS, SIDE
from deep_ranking.embedding.model import load_pretrained
from deep_ranking.network.network import NetworkSettings, build_network

READINGS = {"last": Reading("out_relu", "mean"), "lower": Reading("block_12_add", "second_moments")}


def build_reader(weights: str | None = None) -> tuple[keras.Model, str]:
    """Return the network from (b, 224, 224, 3) to (b, sum of `PARTS`), and the SHA-256 of its weights.

    Args:
        weights: a file of MobileNetV2's; None takes what `Model.pretrained` takes.

    Raises:
        NoImageNetWeightsError, ModelFileError, DeepRankingError: as of `Model.pretrained`.
    """
    settings = NetworkSettings("mobilenetv2", SIDE, embedding_size=0, low_resolution="none")
    whole = build_network(settings, backbone_rate=0.0)
    digest = load_pretrained(whole, settings, weights)
    image, found = describe(read_at(whole, READINGS), READINGS, {}, average_mirror=True)
    joined = keras.layers.Concatenate(name="description")([found[name] for name in PARTS])
    return keras.Model(image, joined, name="description"), digest
