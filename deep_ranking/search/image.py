"""One indexed image, what tells it from others, and the order of images."""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

from deep_ranking.files import path_key


class Image(NamedTuple):
    """One indexed image: its path, SHA-256 of its bytes, size in bytes, change time in ns, and label."""

    path: str
    hash: bytes
    size: int
    mtime: int
    label: str = ""


def first_row(images: Sequence[Image], key: bytes) -> int:
    """Return the first of the sorted images whose path does not come before `key`."""
    return bisect.bisect_left(images, key, key=lambda image: path_key(image.path))


def folder_keys(folder: str) -> tuple[bytes, bytes] | None:
    """Return the keys between which the paths below a folder lie; None for the folder of all images.

    Example:
        >>> folder_keys("cats/")  # "0" is the byte after "/"
        (b'cats/', b'cats0')
    """
    key = path_key(folder.strip("/"))
    return (key + b"/", key + b"0") if key else None
