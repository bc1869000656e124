"""The reader: frozen MobileNetV2 read at two depths, of an image and its mirror image, with colour beside.

It is the same for all folders, so its form for OpenVINO is kept in a folder of the user's: where it is,
images are described without Keras.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.blend.settings import Reading
from deep_ranking.embedding.runner import Engine, Runner, import_openvino
from deep_ranking.errors import DeepRankingError, MissingExtraError, expect, reason
from deep_ranking.files import read_arrays, written_whole
from deep_ranking.network.settings import named_weights
from deep_ranking.settings import ENGINES

logger = logging.getLogger(__name__)

VERSION = 1
"""Of what is read: another one makes other vectors."""

PARTS = {"last": 1280, "lower": 4656, "colour": 245}
"""What is read, and how many numbers of each, unit length: the mean of the last layer's positions, second
moments of `block_12_add`, a histogram of colours."""

READINGS = {"last": Reading("out_relu", "mean"), "lower": Reading("block_12_add", "second_moments")}

SIDE = 224
"""Height and width of the images that are read, in pixels."""

CACHE_VARIABLE = "DEEP_RANKING_CACHE"
"""Names the folder where the reader is kept."""

_KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
_LIKE_THE_KEY = 64  # hexadecimal digits of a SHA-256


def cache_folder() -> Path:
    """Return $DEEP_RANKING_CACHE, or else `deep_ranking` in $XDG_CACHE_HOME or ~/.cache."""
    own, shared = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(shared) if shared else Path.home() / ".cache") / "deep_ranking"


@dataclass
class Reader:
    """Takes (n, 224, 224, 3), RGB 0..255, and returns what is read of each, the parts one after the other.

    Args:
        weights: SHA-256 of the values of the network's weights.
        make: makes what runs it, at its first use.
    """

    weights: str
    make: Callable[[], Engine]

    @cached_property
    def _engine(self) -> Engine:
        return self.make()

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        ends = np.cumsum(list(PARTS.values()))[:-1]
        return dict(zip(PARTS, np.split(self._engine(images), ends, axis=1), strict=True))


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
        precision: of OpenVINO: "float32" or "bfloat16".
        digest: of the weights' values, where these and no others are wanted.

    Raises:
        NoImageNetWeightsError, ModelFileError, DeepRankingError: as of `Model.pretrained`; other weights than
            wanted.
        MissingExtraError: OpenVINO is asked for, and not installed.
    """
    expect("engine", engine in ("auto", *ENGINES), f"auto or one of {', '.join(ENGINES)}", engine)
    has_openvino = find_spec("openvino") is not None
    if engine == "openvino" and not has_openvino:
        raise MissingExtraError("openvino", "fast", "--engine openvino")
    file = named_weights(weights) or _from_keras()
    if engine == "keras" or not has_openvino:
        network, found = _network(file)
        return _checked(found, digest, partial(_keras_engine, network))
    for kept in _kept(file, digest):
        opened = _read(kept)
        if opened is not None and (file or opened[0] == digest):
            return _checked(opened[0], digest, partial(Runner, opened[1], precision))
    from deep_ranking.embedding.engines import convert

    network, content = _network(file)
    try:
        model = convert(network)
    except Exception as error:  # of its own kinds, and TensorFlow's
        if engine == "openvino":
            raise
        logger.warning("OpenVINO does not take this network (%s); Keras runs it", reason(error))
        return _checked(content, digest, partial(_keras_engine, network))
    _keep(model, content, named_weights(weights) or _from_keras())
    return _checked(content, digest, partial(Runner, model, precision))


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
    from deep_ranking.network.network import NetworkSettings, build_network

    settings = NetworkSettings("mobilenetv2", SIDE, embedding_size=0, low_resolution="none")
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
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / _KERAS_FILE
    return str(path) if path.is_file() else None


def _name(file: str) -> str:
    """Return the name that a reader is kept under: all that it was made by and is read by."""
    with Path(file).open("rb") as data:
        content = hashlib.file_digest(data, "sha256").hexdigest()
    made_by = f"{VERSION} {version('openvino')} {content}"
    return hashlib.sha256(made_by.encode()).hexdigest()


def _kept(file: str | None, digest: str | None) -> list[Path]:
    """Return the files that may hold the reader: of these weights, or, without weights, of this digest."""
    if file:
        return [cache_folder() / f"reader-{_name(file)}.npz"]
    return sorted(cache_folder().glob(f"reader-{'?' * _LIKE_THE_KEY}.npz")) if digest else []


def _keep(model: Any, content: str, file: str | None) -> None:
    if not file:
        return
    openvino = import_openvino()
    path = cache_folder() / f"reader-{_name(file)}.npz"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as folder:
            xml = Path(folder) / "reader.xml"
            openvino.save_model(model, xml, compress_to_fp16=False)
            graph, weights = (np.fromfile(xml.with_suffix(end), np.uint8) for end in (".xml", ".bin"))
        sha = hashlib.sha256(graph.tobytes() + weights.tobytes()).hexdigest()
        about = np.array([content, version("openvino"), str(VERSION), sha])
        with written_whole(path) as temporary, temporary.open("wb") as data:
            np.savez(data, graph=graph, weights=weights, about=about)
    except OSError as error:
        logger.warning("the reader is not kept (%s); it is made anew each time", reason(error))


def _read(path: Path) -> tuple[str, Any] | None:
    """Return the digest of the weights and OpenVINO's model; None where there is none, or it is damaged."""
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path)
        content, made_by, read, sha = arrays["about"].tolist()
        graph, weights = arrays["graph"].tobytes(), arrays["weights"].tobytes()
        if hashlib.sha256(graph + weights).hexdigest() != sha:
            raise DeepRankingError(f"{path}: its bytes are not those that were written")
        if (made_by, read) != (version("openvino"), str(VERSION)):
            return None
        openvino = import_openvino()
        return content, openvino.Core().read_model(graph, openvino.Tensor(arrays["weights"]))
    except Exception as error:
        logger.warning("%s is damaged and made anew: %s", path, reason(error))
        return None
