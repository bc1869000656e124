"""Files that hold many images, tar (WebDataset's) and Parquet (Hugging Face's): what is in one.

A path may lead into one, as `photos.tar/cats/1.jpg`; who opens images asks `contained` and `status` here.
"""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from deep_ranking.containers.member import (
    CONTAINERS,
    USUAL,
    Columns,
    ContainerError,
    Listing,
    Member,
    free_name,
    is_named_as_image,
)
from deep_ranking.containers.table import read_table, table_of
from deep_ranking.containers.tar import read_tar
from deep_ranking.errors import DeepRankingError

__all__ = ["CONTAINERS", "Columns", "ContainerError", "Listing", "Member", "free_name", "is_named_as_image"]


def listing(path: str | os.PathLike[str], columns: Columns = USUAL) -> Listing:
    """Return what a container holds; no image is read.

    Raises:
        ContainerError: it is damaged, or holds no images.
        MissingExtraError: a Parquet file, and no pyarrow.
        OSError: it cannot be read.
    """
    path = os.fspath(path)
    status = os.stat(path)  # noqa: PTH116
    return _listing(path, columns, status.st_size, status.st_mtime_ns)


def stream(
    file: IO[bytes], path: str, folder: str | None = None, columns: Columns = USUAL
) -> Iterator[tuple[Member, bytes]]:
    """Yield the images of a container one after the other, with their bytes; those of none are empty.

    Args:
        file: open, and able to seek to its end.
        path: what errors call it; its ending says what it is.
        folder: where it lies; None: files that it names are not read.
        columns: as of `listing`.

    Raises:
        ContainerError, MissingExtraError: as of `listing`.
    """
    for member, content in _reader(path)(file, path, columns, True, {}):
        yield member, (_file(member.file, folder) or b"" if member.file else content)


def contained(path: Any) -> Any:
    """Return the bytes of the image in a container that a path leads to; whatever else is given, as it is.

    Raises:
        OSError: its container cannot be read.
    """
    inside = _split(path)
    member = None if inside is None else _member(*inside)
    return path if member is None else read_member(inside[0], member)  # type: ignore[index]


def is_contained(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path leads to an image in a container."""
    inside = _split(path)
    return inside is not None and _member(*inside) is not None


def read_member(path: str, member: Member, columns: Columns = USUAL) -> bytes:
    """Return the bytes of an image of a container; empty where there are none."""
    if member.file:
        return _file(member.file, str(Path(path).parent)) or b""
    if path.endswith(".tar"):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - called for each image
            file.seek(member.place[0])
            return file.read(member.place[1])
    status = os.stat(path)  # noqa: PTH116
    return table_of(path, columns, status.st_size, status.st_mtime_ns).read(*member.place)


def status(path: str | os.PathLike[str]) -> os.stat_result:
    """Return what the system tells of a file; of an image in a container, what it tells of that.

    Raises:
        OSError: there is none.
    """
    try:
        return os.stat(path)  # noqa: PTH116
    except NotADirectoryError:
        inside = _split(path)
        if inside is None or _member(*inside) is None:
            raise
        return os.stat(inside[0])  # noqa: PTH116


def _split(path: Any) -> tuple[str, str] | None:
    """Return the container that a path leads into and the rest of it; None: it leads into none."""
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.fsdecode(path)
    if os.sep != "/":
        text = text.replace(os.sep, "/")
    for ending in CONTAINERS:
        end = text.find(f"{ending}/")
        while end >= 0:
            container = text[: end + len(ending)]
            if Path(container).is_file():
                return container, text[len(container) + 1 :]
            end = text.find(f"{ending}/", end + 1)
    return None


def _member(path: str, name: str) -> Member | None:
    try:
        return listing(path).members.get(name)
    except DeepRankingError:
        return None


@lru_cache(64)
def _listing(path: str, columns: Columns, size: int, changed: int) -> Listing:
    found = Listing({}, {})
    with open(path, "rb") as file:  # noqa: PTH123
        for member, _ in _reader(path)(file, path, columns, False, found.left_out):
            found.members[member.name] = member
    return found


def _reader(path: str) -> Callable[..., Iterator[tuple[Member, bytes]]]:
    return read_tar if path.endswith(".tar") else read_table


def _file(name: str, folder: str | None) -> bytes | None:
    try:
        return None if folder is None else (Path(folder) / name).read_bytes()
    except (OSError, ValueError):
        return None
