"""What every container has: images with names, labels and places; the endings that are told apart by name."""

import math
import posixpath
from collections.abc import Callable
from typing import Any, NamedTuple

from deep_ranking.errors import DeepRankingError

CONTAINERS = (".tar", ".parquet")
"""Endings of files that hold many images: WebDataset's, and tables with a column of encoded images."""

IMAGE_ENDINGS = (
    ".apng", ".avif", ".bmp", ".dib", ".dng", ".gif", ".heic", ".heif", ".hif", ".ico", ".jfif", ".jp2",
    ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".psd", ".svg", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
"""Of images, some of which are not read and told; a system's own table may be missing."""

HIDDEN = "hidden"
NO_IMAGE_BESIDE = "label or data without an image beside it"
NO_IMAGE_IN_ROW = "row without an image"


class ContainerError(DeepRankingError):
    """A tar or Parquet file that cannot be read as one with images."""


class Columns(NamedTuple):
    """What of a container is taken: columns of a table; of a tar file, the endings of a sample's members.

    Attributes:
        image, label, group: None: what the file itself says, or the usual names.
        ask: where the file leaves open which is the label, this is an error, and not no label.
    """

    image: str | None = None
    label: str | None = None
    group: str | None = None
    ask: bool = False


USUAL = Columns()


class Member(NamedTuple):
    """One image of a container.

    Attributes:
        name: within the container, no two alike, with `/` between folders.
        label: "" for none.
        place: offset and bytes in a tar file; row group and row therein.
        given: its name as the file has it, "" for none.
        group: of the column of groups, "" for none.
        file: where the image is a file of its own, which the container names.
    """

    name: str
    label: str
    place: tuple[int, int]
    given: str = ""
    group: str = ""
    file: str = ""


class Listing(NamedTuple):
    """What a container holds: images by their names, in its own order, and why other members are none."""

    members: dict[str, Member]
    left_out: dict[str, str]


def is_named_as_image(path: str) -> bool:
    """Tell whether a file's ending is one of images, where its content is not at hand or is none.

    Example:
        >>> is_named_as_image("a/b.JPG"), is_named_as_image("a/b.txt")
        (True, False)
    """
    return path.lower().endswith(IMAGE_ENDINGS)


def free_name(name: str, taken: dict[str, int], key: Callable[[str], str] = str) -> str:
    """Return a name that is not taken yet, and take it; two are one if `key` says so.

    Example:
        >>> taken = {}
        >>> [free_name(name, taken) for name in ("a/1.jpg", "a/1.jpg", "a/1.jpg", "b.jpg")]
        ['a/1.jpg', 'a/1~2.jpg', 'a/1~3.jpg', 'b.jpg']
    """
    own, (stem, ending) = key(name), posixpath.splitext(name)
    while key(name) in taken:
        taken[own] += 1
        name = f"{stem}~{taken[own]}{ending}"
    taken[key(name)] = 1
    return name


def clean(name: str) -> str:
    """Return a name as a path below its container, whatever stands in it."""
    parts = name.replace("\0", "_").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def as_label(value: Any, names: list[str] | None = None) -> str:
    """Return a label or a name of a table, "" where there is none: null, NaN, or -1.

    Raises:
        ContainerError: true, false, a list or an object; a number that none of the names has.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is None or value in ("", "-1", -1):
        return ""
    if isinstance(value, bool | list | dict):
        raise ContainerError(
            f"expected one label or name, a text or a number, found {type(value).__name__}: {value!r:.40}"
        )
    if not names or not isinstance(value, int):
        return str(value)
    if not 0 <= value < len(names):
        raise ContainerError(f"expected the number of one of {len(names):,} classes, found {value}")
    return names[value]
