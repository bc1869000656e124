"""A trained network, ready to embed images."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deep_ranking.embedding.encoder import Embedded, Encoder
from deep_ranking.embedding.engines import Engine, KerasEngine, make_engine
from deep_ranking.embedding.runner import check_process
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import file_hash
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import MAX_PIXELS
from deep_ranking.network import weights
from deep_ranking.network.file import load_network
from deep_ranking.network.network import NetworkSettings, build_network, own_conventions
from deep_ranking.network.settings import named_weights
from deep_ranking.settings import WEIGHTS_VARIABLE

__all__ = ["Embedded", "Model", "load", "load_pretrained"]

_PRETRAINED = NetworkSettings("mobilenetv2", embedding_size=0, low_resolution="none")


@dataclass(repr=False)
class Model(Encoder):
    """A network and what is known of it; `deep_ranking.load` gives one.

    Args:
        network: (batch, height, width, 3) RGB 0..255 -> (batch, d).
        metadata: what was saved with it: settings, the data's fingerprint, metrics.
        fingerprint: SHA-256 of the model file, 64 hexadecimal digits; "" for a network never saved.
        engine: what runs it; Keras where none is given.
        cache: keeps the images that `embed` decodes.
    """

    network: keras.Model
    metadata: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    engine: Engine | None = None
    cache: ImageCache | None = None

    def __post_init__(self) -> None:
        if self.engine is None:
            self.engine = KerasEngine(self.network)

    @classmethod
    @own_conventions("float32")
    def load(cls, path: str | os.PathLike[str], engine: str = "keras", precision: str = "float32") -> "Model":
        """Load a model file, or a weights file of the blog's code.

        Arguments and errors are those of `deep_ranking.load`; Keras runs it unless `engine` says otherwise.
        """
        check_process(runs=False)
        if Path(path).is_file() and weights.is_weights_only(path):
            network, metadata = build_network(NetworkSettings.blog()), {"source": "blog weights"}
            weights.load_blog_weights(network, path)
        else:
            network, metadata = load_network(path)
        # A model that was never told what it will be given has no shapes.
        shape, output = (getattr(network, name, None) for name in ("input_shape", "output_shape"))
        wanted = found = ""
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3 or not all(shape[1:]):
            wanted, found = "with one image input (height, width, 3)", f"input shape {shape}"
        elif shape[1] * shape[2] > MAX_PIXELS:
            wanted, found = f"for images of up to {MAX_PIXELS:,} pixels", f"one for {shape[1]} x {shape[2]}"
        elif not isinstance(output, tuple) or len(output) != 2 or not output[1]:
            wanted, found = "that gives one vector an image", f"output shape {output}"
        if wanted:
            raise DeepRankingError(f"{os.fspath(path)}: expected a network {wanted}, found {found}")
        return cls(network, metadata, file_hash(path).hex(), make_engine(engine, network, precision))

    @classmethod
    @own_conventions("float32")
    def pretrained(
        cls, engine: str = "keras", precision: str = "float32", weights: str | None = None
    ) -> "Model":
        """Return MobileNetV2 as trained on ImageNet: 1,280 numbers an image, of unit length.

        Keras downloads the weights once; where it cannot, the environment variable DEEP_RANKING_WEIGHTS names
        a file of them (`keras.applications.MobileNetV2`, `include_top=False`), unless `weights` does. The
        fingerprint is that of the weights' values, so it is the same wherever they came from.

        Raises:
            NoImageNetWeightsError: they cannot be downloaded, and the variable is not set.
            ModelFileError: the file that it names is missing or holds other weights.
            MissingExtraError: the engine is not installed.
        """
        check_process(runs=False)
        network = build_network(_PRETRAINED)
        fingerprint = load_pretrained(network, _PRETRAINED, weights)
        made_by = make_engine(engine, network, precision)
        return cls(network, {"source": "MobileNetV2, ImageNet"}, fingerprint, made_by)

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Model: images of {height} x {width} pixels -> {self.dimension:,} numbers>"

    @property
    def dimension(self) -> int:
        return int(self.network.output_shape[-1])

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.network.input_shape[1:3])

    def export(self, path: str | os.PathLike[str], format: str | None = None) -> float:
        """Write the network for another runtime, run it there, and compare.

        Args:
            path: NAME.onnx, NAME.xml (OpenVINO, which writes NAME.bin beside it), NAME.tflite (LiteRT), or a
                folder that is not there yet (SavedModel).
            format: "onnx", "openvino", "litert" or "saved_model"; None goes by the name.

        Returns:
            The smallest cosine between both results over a few images; 1 is the same.

        Raises:
            DeepRankingError: an unknown format or ending, or a result that differs; nothing is written.
            MissingExtraError: the runtime is not installed.
        """
        from deep_ranking.embedding.export import export

        return export(self, path, format)

    def embed_pixels(self, images: np.ndarray) -> np.ndarray:
        assert self.engine is not None  # since __post_init__
        if not len(images):  # not every engine takes none
            return np.zeros((0, self.dimension), np.float32)
        return self.engine(images)


def load_pretrained(network: keras.Model, settings: NetworkSettings, file: str | None = None) -> str:
    """Fill a network of MobileNetV2 with its ImageNet weights, and return the SHA-256 of their values.

    Args:
        network: what `build_network(settings)` gave.
        settings: its settings.
        file: of the weights; None takes that which DEEP_RANKING_WEIGHTS names, or else downloads them, once.

    Raises:
        NoImageNetWeightsError, ModelFileError, DeepRankingError: as of `Model.pretrained`.
    """
    file = named_weights(file)
    try:
        weights.load_weights(network, settings, file or "imagenet")
    except weights.NoImageNetWeightsError as error:
        raise weights.NoImageNetWeightsError(
            "the ImageNet weights of MobileNetV2 could not be downloaded; name a file of them by --weights "
            f"FILE (in Python weights=), or in the environment variable {WEIGHTS_VARIABLE}; or use a model "
            "of your own"
        ) from error
    digest = hashlib.sha256()
    for weight in network.get_weights():
        digest.update(repr(weight.shape).encode() + np.ascontiguousarray(weight, "<f4").tobytes())
    return digest.hexdigest()


def load(
    path: str | os.PathLike[str] | None = None, engine: str = "auto", precision: str = "float32"
) -> Model:
    """Load a model: one's own file, or without a path one that needs no training.

    Args:
        path: a model file, or a weights file of the blog's code; None takes MobileNetV2 as trained on
            ImageNet, see `Model.pretrained`.
        engine: "keras", "openvino", or "auto": OpenVINO on a processor where it is installed, else Keras.
        precision: of the engine OpenVINO: "float32", "bfloat16", or "auto".

    Raises:
        ModelFileError: the file is missing, no model, damaged, or refused by safe mode.
        DeepRankingError: it is no network of images to vectors, or there are no pretrained weights.
        MissingExtraError: the engine is not installed.
    """
    expect("model", isinstance(path, str | os.PathLike | None), "the path of a model file", path)
    return Model.pretrained(engine, precision) if path is None else Model.load(path, engine, precision)
