"""Image files, arrays and bytes to vectors: what `Model` and `Description` have in common."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.files import read_open
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import ImageError, Source, read_image
from deep_ranking.images.loader import load_batches
from deep_ranking.progress import progress

logger = logging.getLogger(__name__)

Images = Source | Iterable[Source]
"""One image or many; of arrays also (n, height, width, 3)."""

_BYTES = (bytes, bytearray, memoryview)
_EXPECTED = "a path, a PIL image, an array (height, width, 3), encoded bytes or an open file of them"


class Embedded(NamedTuple):
    """The result of embedding a list of images.

    Attributes:
        vectors: (n, d) float32, a row for each image that could be read, in the list's order.
        failures: the others, as (path or bytes, error).
    """

    vectors: np.ndarray
    failures: list[tuple[Any, ImageError]]


class Encoder(ABC):
    """Decodes and resizes images, batch by batch, and gives them to `embed_pixels`.

    Attributes:
        fingerprint: a text that is another one wherever the vectors would be; "" where that is not known.
        cache: keeps the images that `embed` decodes; None: nothing does.
    """

    fingerprint: str
    cache: ImageCache | None = None

    @property
    @abstractmethod
    def dimension(self) -> int:
        """Length of an embedding."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that images are resized to."""

    @abstractmethod
    def embed_pixels(self, images: np.ndarray) -> np.ndarray:
        """Embed decoded images, (n, height, width, 3) of `size`, RGB 0..255, as (n, d) float32."""

    def encode(self, images: Images, batch_size: int = 32, workers: int | None = None) -> np.ndarray:
        """Return the vectors of one image or of many, (n, d) float32; of one, n is 1.

        Args:
            images: a path, a PIL image, an array (height, width, 3) of RGB 0..255, encoded bytes or an open
                file of them; or any number of these, also as an array (n, height, width, 3). Images of any
                size are resized as files are.
            batch_size: images the network takes at a time, 1 or more.
            workers: decoding threads; None takes one a core.

        Raises:
            ImageError: one cannot be read; the message names it.
            DeepRankingError: something that is no image, or an array that does not hold 0..255; a model
                that gives NaN.

        Example:
            >>> from deep_ranking import Model, NetworkSettings, build_network
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
        return _finite(vectors)

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
            >>> from deep_ranking import Model, NetworkSettings, build_network
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
        return _finite(vectors)

    def embed_image(self, image: str | os.PathLike[str] | bytes) -> np.ndarray:
        """Embed one image, a path or its encoded bytes, as (d,) float32.

        Raises:
            ImageError: it cannot be read.
        """
        return _finite(self.embed_pixels(read_image(image, self.size)[None]))[0]


def _finite(vectors: np.ndarray) -> np.ndarray:
    if not np.isfinite(vectors).all():
        wrong = "the model gives NaN or infinity: its weights are damaged, or its training went astray"
        raise DeepRankingError(f"{wrong}; train it again with a smaller --learning_rate")
    return vectors


def is_one(images: Any) -> bool:
    """Tell whether a single image is meant, not a list that may hold one.

    Example:
        >>> is_one("a.jpg"), is_one(["a.jpg"]), is_one(np.zeros((4, 4, 3))), is_one(np.zeros((1, 4, 4, 3)))
        (True, False, True, False)
    """
    if isinstance(images, (str, os.PathLike, Image.Image, *_BYTES)) or hasattr(images, "read"):
        return True
    return _is_array(images) and _as_array(images, "").ndim == 3


def as_list(images: Any) -> list[Source]:
    """Return the images one by one, each as `read_image` takes it.

    Raises:
        DeepRankingError: something that is no image, or an array that does not hold RGB 0..255.

    Example:
        >>> as_list("a.jpg"), len(as_list(np.zeros((5, 4, 4, 3), np.uint8)))
        (['a.jpg'], 5)
        >>> as_list(["a.jpg", 7])
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: image 2: expected a path, a PIL image, ..., found int
    """
    if is_one(images):
        return [_image(images, "")]
    if _is_array(images):
        images = _as_array(images, "")
        if images.ndim == 4:
            return list(_pixels(images, ""))
        if images.ndim != 1 or images.dtype.kind not in "UO":  # of paths
            raise DeepRankingError(
                f"expected an array (height, width, 3) or (n, height, width, 3), found shape {images.shape}"
            )
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise DeepRankingError(f"expected {_EXPECTED}, or a list of these; found {type(images).__name__}")
    return [_image(image, f"image {number}: ") for number, image in enumerate(images, 1)]


def _is_array(thing: Any) -> bool:
    return hasattr(thing, "__array__") and not isinstance(thing, str | Image.Image)


def _as_array(thing: Any, where: str) -> np.ndarray:
    """Return what another library calls an array as one of NumPy's.

    Raises:
        DeepRankingError: it has no values here (a tensor on a GPU, or one that learns), or hides some.
    """
    try:
        array = np.asarray(thing)
    except (RuntimeError, TypeError, ValueError) as error:
        raise DeepRankingError(f"{where}no array of NumPy's can be made of it: {reason(error)}") from error
    if np.ma.is_masked(thing):
        raise DeepRankingError(f"{where}expected an array without masked values; fill them first")
    return array


def _image(image: Any, where: str) -> Source:
    if hasattr(image, "read"):
        image = read_open(image, where)
    if isinstance(image, _BYTES):
        return bytes(image)
    if isinstance(image, str | os.PathLike | Image.Image):
        return image
    if _is_array(image):
        image = _as_array(image, where)
        if image.ndim == 3:
            return _pixels(image, where)
        raise DeepRankingError(f"{where}expected an array (height, width, 3), found shape {image.shape}")
    raise DeepRankingError(f"{where}expected {_EXPECTED}, found {type(image).__name__}")


def _pixels(array: np.ndarray, where: str) -> np.ndarray:
    """Return pixels as uint8, or as float32 where they are floats."""
    if array.shape[-1] != 3 or 0 in array.shape[-3:]:
        raise DeepRankingError(f"{where}expected an array (height, width, 3), found shape {array.shape}")
    if array.dtype == np.uint8 or not array.size:
        return array
    if array.dtype.kind not in "uif":
        raise DeepRankingError(f"{where}expected RGB values of 0 to 255, found an array of {array.dtype}")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):
        raise DeepRankingError(f"{where}expected RGB values of 0 to 255, found {low:g} to {high:g}")
    if array.dtype.kind == "f" and 0 < high <= 1:
        logger.warning("%sRGB values of 0 to 1, nearly black where 0 to 255 are expected", where)
    return array.astype(np.float32 if array.dtype.kind == "f" else np.uint8)
