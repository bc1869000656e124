"""Files that hold many images, tar (WebDataset's) and Parquet (Hugging Face's): what is in one.

A path may lead into one, as `photos.tar/cats/1.jpg`; who opens images asks `contained` and `status` here.
"""

import os
import stat
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

__all__ = ["CONTAINERS", "Columns", "ContainerError", "Listing", "Member", "free_name", "is_named_as_image"]


def listing(path: str | os.PathLike[str], columns: Columns = USUAL) -> Listing:
    """Return what a container holds; no image is read.

    Raises:
        ContainerError: it is damaged, or holds no images.
        MissingExtraError: a Parquet file, and no pyarrow.
        OSError: it cannot be read.
    """
    path = os.fspath(path)
    found = os.stat(path)  # noqa: PTH116
    return _listing(path, columns, found.st_size, found.st_mtime_ns)


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
    inside = _inside(path)
    return path if inside is None else _read(*inside, USUAL)


def is_contained(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path leads to an image in a container."""
    return _inside(path) is not None


def read_member(path: str, member: Member, columns: Columns = USUAL) -> bytes:
    """Return the bytes of an image of a container; empty where there are none."""
    return _read(path, member, os.stat(path), columns)  # noqa: PTH116


def status(path: str | os.PathLike[str]) -> os.stat_result:
    """Return what the system tells of a file; of an image in a container, what it tells of that.

    Raises:
        OSError: there is none.
    """
    inside = _inside(path)
    return os.stat(path) if inside is None else inside[2]  # noqa: PTH116


def _inside(path: Any) -> tuple[str, Member, os.stat_result] | None:
    """Return the container that a path leads into, the image there and the container's status; None: none.

    Called for each image several times, so what costs is kept, and strings are cut without `pathlib`.
    """
    if not isinstance(path, str | os.PathLike):
        return None
    text = os.fsdecode(path)
    if os.sep != "/":
        text = text.replace(os.sep, "/")
    for ending in CONTAINERS:
        end = text.find(f"{ending}/")
        while end >= 0:
            container = text[: end + len(ending)]
            try:
                found = os.stat(container)  # noqa: PTH116
                if stat.S_ISREG(found.st_mode):
                    held = _listing(container, USUAL, found.st_size, found.st_mtime_ns).members
                    member = held.get(text[end + len(ending) + 1 :])
                    return None if member is None else (container, member, found)
            except (OSError, ValueError):  # also of a file that is no container: DeepRankingError is one
                return None
            end = text.find(f"{ending}/", end + 1)
    return None


def _read(path: str, member: Member, found: os.stat_result, columns: Columns) -> bytes:
    if member.file:
        return _file(member.file, str(Path(path).parent)) or b""
    if path.endswith(".tar"):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            file.seek(member.place[0])
            return file.read(member.place[1])
    return table_of(path, columns, found.st_size, found.st_mtime_ns).read(*member.place)


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
        if folder is None or not Path(folder, name).is_file():  # which waits for no pipe or device
            return None
        return Path(folder, name).read_bytes()
    except (OSError, ValueError):
        return None
