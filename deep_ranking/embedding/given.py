"""What `Model.encode` is given: one image or many, in whatever form people have them."""

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import Source

logger = logging.getLogger(__name__)

Images = Source | Iterable[Source]
"""One image or many; of arrays also (n, height, width, 3)."""

_BYTES = (bytes, bytearray, memoryview)
_EXPECTED = "a path, a PIL image, an array (height, width, 3) or encoded bytes"


def is_one(images: Any) -> bool:
    """Tell whether a single image is meant, not a list that may hold one.

    Example:
        >>> is_one("a.jpg"), is_one(["a.jpg"]), is_one(np.zeros((4, 4, 3))), is_one(np.zeros((1, 4, 4, 3)))
        (True, False, True, False)
    """
    if isinstance(images, (str, os.PathLike, Image.Image, *_BYTES)):
        return True
    return _is_array(images) and np.ndim(images) == 3


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
        images = np.asarray(images)
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


def _image(image: Any, where: str) -> Source:
    if isinstance(image, _BYTES):
        return bytes(image)
    if isinstance(image, str | os.PathLike | Image.Image):
        return image
    if _is_array(image):
        image = np.asarray(image)
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
