"""A trained network, ready to embed images."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from deep_ranking.embedding.engines import Engine, KerasEngine, make_engine
from deep_ranking.embedding.given import Images, as_list, is_one
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import MAX_PIXELS, ImageError, Source, read_image
from deep_ranking.images.loader import load_batches
from deep_ranking.network import weights
from deep_ranking.network.file import load_network
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.progress import progress

WEIGHTS_VARIABLE = "DEEP_RANKING_WEIGHTS"
"""Names a file of MobileNetV2's weights for where they cannot be downloaded."""

_PRETRAINED = NetworkSettings("mobilenetv2", embedding_size=0, low_resolution="none")


class Embedded(NamedTuple):
    """The result of embedding a list of images.

    Attributes:
        vectors: (n, d) float32, a row for each image that could be read, in the list's order.
        failures: the others, as (path or bytes, error).
    """

    vectors: np.ndarray
    failures: list[tuple[Any, ImageError]]


@dataclass(repr=False)
class Model:
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
    def load(cls, path: str | os.PathLike[str], engine: str = "keras", precision: str = "float32") -> "Model":
        """Load a model file, or a weights file of the blog's code.

        Arguments and errors are those of `deep_ranking.load`; Keras runs it unless `engine` says otherwise.
        """
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
        with Path(path).open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(network, metadata, fingerprint, make_engine(engine, network, precision))

    @classmethod
    def pretrained(cls, engine: str = "keras", precision: str = "float32") -> "Model":
        """Return MobileNetV2 as trained on ImageNet: 1,280 numbers an image, of unit length.

        Keras downloads the weights once; where it cannot, the environment variable DEEP_RANKING_WEIGHTS names
        a file of them (`keras.applications.MobileNetV2`, `include_top=False`). The fingerprint is that of the
        weights' values, so it is the same wherever they came from.

        Raises:
            NoImageNetWeightsError: they cannot be downloaded, and the variable is not set.
            ModelFileError: the file that it names is missing or holds other weights.
            MissingExtraError: the engine is not installed.
        """
        file = os.environ.get(WEIGHTS_VARIABLE)
        if file and not Path(file).is_file():
            raise DeepRankingError(
                f"{WEIGHTS_VARIABLE}={file}: expected a file of MobileNetV2's weights, found no such file"
            )
        network = build_network(_PRETRAINED)
        try:
            weights.load_weights(network, _PRETRAINED, file or "imagenet")
        except weights.NoImageNetWeightsError as error:
            raise weights.NoImageNetWeightsError(
                "the ImageNet weights of MobileNetV2 could not be downloaded; name a file of them in the "
                f"environment variable {WEIGHTS_VARIABLE}, or load a model of your own: "
                'load("deepranking.h5")'
            ) from error
        digest = hashlib.sha256()
        for weight in network.get_weights():
            digest.update(repr(weight.shape).encode() + np.ascontiguousarray(weight, "<f4").tobytes())
        made_by = make_engine(engine, network, precision)
        return cls(network, {"source": "MobileNetV2, ImageNet"}, digest.hexdigest(), made_by)

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Model: images of {height} x {width} pixels -> {self.dimension:,} numbers>"

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.network.output_shape[-1])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that images are resized to."""
        return tuple(self.network.input_shape[1:3])

    def encode(self, images: Images, batch_size: int = 32, workers: int | None = None) -> np.ndarray:
        """Return the vectors of one image or of many, (n, d) float32; of one, n is 1.

        Args:
            images: a path, a PIL image, an array (height, width, 3) of RGB 0..255 or encoded bytes; or any
                number of them, also as an array (n, height, width, 3). Images of any size are resized as
                files are.
            batch_size: images the network takes at a time.
            workers: decoding threads; None takes one a core.

        Raises:
            ImageError: one cannot be read; the message names it.
            DeepRankingError: something that is no image, or an array that does not hold 0..255.

        Example:
            >>> network = build_network(NetworkSettings("simple", image_size=32, embedding_size=8))
            >>> model = Model(network)
            >>> black = np.zeros((40, 60, 3), np.uint8)
            >>> model.encode(black).shape, model.encode([black, black + 255]).shape
            ((1, 8), (2, 8))
        """
        sources = as_list(images)
        vectors, failures = self._embed(sources, batch_size, workers, quiet=True)
        if failures:
            position, error = failures[0]
            if len(sources) == 1:
                raise error
            raise type(error)(f"image {position + 1} of {len(sources)}: {error}") from error
        return vectors

    def distance(self, a: Images, b: Images) -> Any:
        """Return the Euclidean distance of two images, 0 to 2 where vectors have unit length.

        Args:
            a: as `encode` takes them.
            b: of two lists the first is compared with the first, and so on; one image, with each of a list.

        Returns:
            A float for two images; else (n,) float32.

        Raises:
            DeepRankingError: lists of different lengths, or as by `encode`.

        Example:
            >>> network = build_network(NetworkSettings("simple", image_size=32, embedding_size=8))
            >>> black = np.zeros((32, 32, 3), np.uint8)
            >>> Model(network).distance(black, black), Model(network).distance(black, [black, black])
            (0.0, array([0., 0.], dtype=float32))
        """
        one, two = as_list(a), as_list(b)
        if len(one) != len(two) and not (is_one(a) or is_one(b)):
            raise DeepRankingError(
                f"expected as many images as in the other list, {len(one)}, found {len(two)}"
            )
        vectors = self.encode([*one, *two])
        apart = np.linalg.norm(vectors[: len(one)] - vectors[len(one) :], axis=1)
        return float(apart[0]) if is_one(a) and is_one(b) else apart

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

    def embed(
        self,
        paths: Sequence[str | os.PathLike[str]] | Sequence[bytes],
        batch_size: int = 32,
        workers: int | None = None,
        quiet: bool = True,
    ) -> Embedded:
        """Embed image files; a broken one is listed, not fatal.

        Args:
            paths: the images, as paths or as encoded bytes.
            batch_size, workers: as of `encode`.
            quiet: no progress bar.
        """
        vectors, failures = self._embed(paths, batch_size, workers, quiet)
        return Embedded(vectors, [(os.fspath(paths[i]), error) for i, error in failures])

    def _embed(
        self, sources: Sequence[Source], batch_size: int, workers: int | None, quiet: bool
    ) -> tuple[np.ndarray, list[tuple[int, ImageError]]]:
        """Return the vectors of what can be read, and the positions of the rest with their errors."""
        vectors = np.empty((len(sources), self.dimension), np.float32)
        count, failures = 0, []
        with progress((), "embedding", "images", total=len(sources), quiet=quiet) as bar:
            for batch in load_batches(sources, self.size, batch_size, workers, self.cache):
                if len(batch.images):
                    vectors[count : count + len(batch.images)] = self.embed_pixels(batch.images)
                    count += len(batch.images)
                failures += batch.failures
                bar.update(len(batch.images) + len(batch.failures))
        return vectors[:count], failures

    def embed_all(self, paths: Sequence[str | os.PathLike[str]], quiet: bool = True) -> np.ndarray:
        """Embed image files as (n, d) float32, for where none may be missing.

        Raises:
            DeepRankingError: an image cannot be read; the message names the first.
        """
        vectors, failures = self.embed(paths, quiet=quiet)
        if failures:
            others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise DeepRankingError(f"{failures[0][1]}{others}; mend or remove it")
        return vectors

    def embed_image(self, image: str | os.PathLike[str] | bytes) -> np.ndarray:
        """Embed one image, a path or its encoded bytes, as (d,) float32.

        Raises:
            ImageError: it cannot be read.
        """
        return self.embed_pixels(read_image(image, self.size)[None])[0]

    def embed_pixels(self, images: np.ndarray) -> np.ndarray:
        """Embed decoded images, (n, height, width, 3) of `size`, RGB 0..255, as (n, d) float32."""
        assert self.engine is not None  # since __post_init__
        if not len(images):  # not every engine takes none
            return np.zeros((0, self.dimension), np.float32)
        return self.engine(images)


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
    return Model.pretrained(engine, precision) if path is None else Model.load(path, engine, precision)
