"""The reader: frozen MobileNetV2, read at two depths of an image and its mirror image, with colour beside.

It is the same for all folders, so its form for OpenVINO is kept in a folder of the user's: where it is,
images are described without Keras.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.blend.settings import Reading
from deep_ranking.embedding.kept import cache_folder, home, keep, key_of, number_type, opened
from deep_ranking.embedding.runner import Engine, Runner
from deep_ranking.errors import DeepRankingError, MissingExtraError, expect, reason
from deep_ranking.files import file_hash
from deep_ranking.network.settings import named_weights
from deep_ranking.settings import ENGINES

logger = logging.getLogger(__name__)

VERSION = 1
"""Of what is read: another one makes other vectors."""

_READ = f"reader {VERSION}"

READINGS = {"last": Reading("out_relu", "mean"), "lower": Reading("block_13_project_BN", "grid")}
PARTS = {"last": 1280, "lower": 1440, "colour": 245}
"""What is read, and how many numbers of each, of unit length: means of the last layer's channels, of a lower
one's in 3x3 windows, a histogram of colours."""

SIDE = 224
"""Height and width of the images that are read, in pixels."""

_KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


@dataclass
class Reader:
    """Takes (n, 224, 224, 3), RGB 0..255, and returns what is read of each image, part after part.

    Args:
        weights: SHA-256 of the values of the network's weights.
        make: makes what runs it, at its first use.
    """

    weights: str
    make: Callable[[], Engine]

    @cached_property
    def _engine(self) -> Engine:
        return self.make()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return what is read, (n, sum of `PARTS`) float32; n is 1 or more."""
        return self._engine(images)


def open_reader(
    weights: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    precision: str = "float32",
    digest: str | None = None,
) -> Reader:
    """Return the reader: as it is kept, or made by Keras and kept.

    Args:
        weights: a file of MobileNetV2's; None takes what `Model.pretrained` takes.
        engine: "openvino", "keras", or "auto": OpenVINO where it is installed.
        precision: of OpenVINO: "float32", "bfloat16", or "auto", bfloat16 where the processor has it.
        digest: of the weights' values, where these and no others are wanted.

    Raises:
        NoImageNetWeightsError, ModelFileError, DeepRankingError: as of `Model.pretrained`; other weights than
            wanted.
        MissingExtraError: OpenVINO is asked for, and not installed.
    """
    expect("engine", engine in ("auto", *ENGINES), f"auto or one of {', '.join(ENGINES)}", engine)
    precision = number_type(precision)
    if engine == "openvino" and not _has_openvino():
        raise MissingExtraError("openvino", "fast", "--engine openvino")
    file = named_weights(weights) or _from_keras()
    if engine == "keras" or not _has_openvino():
        network, found = _network(file)
        return _checked(found, digest, partial(_keras_engine, network))
    for path in _kept(file, digest):
        if (model := opened(path)) is not None:
            found = path.stem.rpartition("-")[2]
            return _checked(found, digest, partial(Runner, model, precision))
    from deep_ranking.embedding.engines import convert

    network, found = _network(file)
    try:
        model = convert(network)
    except Exception as error:  # of its own kinds, and TensorFlow's
        if engine == "openvino":
            raise
        logger.warning("OpenVINO does not take this network (%s); Keras runs it", reason(error))
        return _checked(found, digest, partial(_keras_engine, network))
    if file := named_weights(weights) or _from_keras():  # by now they are downloaded
        keep(f"reader-{key_of(file_hash(file).hex(), _READ)}-{found}.npz", model)
    return _checked(found, digest, partial(Runner, model, precision))


def needs_keras(
    weights: str | os.PathLike[str] | None = None, engine: str = "auto", digest: str | None = None
) -> bool:
    """Tell whether `open_reader` would import Keras, which takes seconds; a damaged file is not noticed."""
    if engine == "keras" or not _has_openvino():
        return True
    return not _kept(named_weights(weights) or _from_keras(), digest)


def _has_openvino() -> bool:
    return find_spec("openvino") is not None


def _checked(found: str, wanted: str | None, make: Callable[[], Engine]) -> Reader:
    if wanted not in (None, found):
        raise DeepRankingError(
            f"expected MobileNetV2's weights of the SHA-256 {wanted}, with which the images were described, "
            f"found {found}; name the file of those in DEEP_RANKING_WEIGHTS, or make the index anew"
        )
    return Reader(found, make)


def _network(file: str | None) -> tuple[Any, str]:
    """Return the network from (b, 224, 224, 3) to (b, sum of `PARTS`), and the SHA-256 of its weights."""
    import keras

    from deep_ranking.blend.network import describe, read_at
    from deep_ranking.embedding.model import load_pretrained
    from deep_ranking.network.network import NetworkSettings, build_network, own_conventions

    settings = NetworkSettings("mobilenetv2", SIDE, embedding_size=0, low_resolution="none")
    with own_conventions("float32"):
        whole = build_network(settings, backbone_rate=0.0)
        digest = load_pretrained(whole, settings, file)
        image, found = describe(read_at(whole, READINGS), READINGS, {}, average_mirror=True)
        joined = keras.layers.Concatenate(name="description")([found[name] for name in PARTS])
        return keras.Model(image, joined, name="description"), digest


def _keras_engine(network: Any) -> Engine:
    from deep_ranking.embedding.engines import KerasEngine

    return KerasEngine(network)


def _from_keras() -> str | None:
    """Return the file that Keras has downloaded, if it has."""
    folder = Path(os.environ.get("KERAS_HOME") or home() / ".keras")
    path = folder / "models" / _KERAS_FILE
    return str(path) if path.is_file() else None


def _kept(file: str | None, digest: str | None) -> list[Path]:
    """Return the files that hold the reader: of these weights' values, or else made of this file."""
    own = list(cache_folder().glob(f"reader-{key_of(file_hash(file).hex(), _READ)}-*.npz")) if file else []
    if digest is None:
        return own
    of_these = sorted(cache_folder().glob(f"reader-*-{digest}.npz"))
    return sorted(of_these, key=lambda path: path not in own) or own
