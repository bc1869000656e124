"""A saved model, ready to embed images."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from deep_ranking.embedding.engines import Engine, KerasEngine, make_engine
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import MAX_PIXELS, ImageError, read_image
from deep_ranking.images.loader import load_batches
from deep_ranking.network.file import load_network
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.weights import is_weights_only, load_blog_weights
from deep_ranking.progress import progress


class Embedded(NamedTuple):
    """The result of embedding a list of images.

    Attributes:
        vectors: (n, d) float32, a row for each image that could be read, in the list's order.
        failures: the others, as (path or bytes, error).
    """

    vectors: np.ndarray
    failures: list[tuple[Any, ImageError]]


@dataclass
class Model:
    """A network and what is known of it.

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

        Args:
            path: the file.
            engine: "auto", "keras" or "openvino"; see `engines`.
            precision: of the engine, "auto", "float32" or "bfloat16".

        Raises:
            MissingExtraError: the engine is not installed.
            ModelFileError: missing, no model, damaged, or refused by safe mode.
        """
        if Path(path).is_file() and is_weights_only(path):
            network, metadata = build_network(NetworkSettings.blog()), {"source": "blog weights"}
            load_blog_weights(network, path)
        else:
            network, metadata = load_network(path)
        # A model that was never told what it will be given has no shapes.
        shape, output = (getattr(network, name, None) for name in ("input_shape", "output_shape"))
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3 or not all(shape[1:]):
            raise DeepRankingError(
                f"{os.fspath(path)}: expected a network with one image input (height, width, 3), "
                f"found input shape {shape}"
            )
        if shape[1] * shape[2] > MAX_PIXELS:
            raise DeepRankingError(
                f"{os.fspath(path)}: expected a network for images of up to {MAX_PIXELS:,} pixels, "
                f"found one for {shape[1]} x {shape[2]}"
            )
        if not isinstance(output, tuple) or len(output) != 2 or not output[1]:
            raise DeepRankingError(
                f"{os.fspath(path)}: expected a network that gives one vector an image, "
                f"found output shape {output}"
            )
        with Path(path).open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(network, metadata, fingerprint, make_engine(engine, network, precision))

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.network.output_shape[-1])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that images are resized to."""
        return tuple(self.network.input_shape[1:3])

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
            batch_size: images the network takes at a time.
            workers: decoding threads; None takes one a core.
            quiet: no progress bar.
        """
        vectors = np.empty((len(paths), self.dimension), np.float32)
        count, failures = 0, []
        with progress((), "embedding", "images", total=len(paths), quiet=quiet) as bar:
            for batch in load_batches(paths, self.size, batch_size, workers, self.cache):
                if len(batch.images):
                    vectors[count : count + len(batch.images)] = self.embed_pixels(batch.images)
                    count += len(batch.images)
                failures += [(os.fspath(paths[i]), error) for i, error in batch.failures]
                bar.update(len(batch.images) + len(batch.failures))
        return Embedded(vectors[:count], failures)

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
