"""HDF5 files from anywhere: refused where they tell of more than they hold.

The check costs time in proportion to the file: each heap and each link is looked at once, within limits that
are far above what a network has.
"""

import mmap
import os
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

MOST_LINKS, DEEPEST = 20_000, 100
"""Links between the groups and arrays of a file, and groups within one another."""

_MOST_BYTES, _MOST_TIMES = 2**28, 10  # an archive may unpack to the first, or to so many times its own size
_COLLECTION = b"GCOL\1\0\0\0"  # begins each heap of texts, as the HDF5 File Format Specification has it
_HEADER = struct.Struct("<HHxxxxQ")
"""Of an object there: its number, references and size; so in files of 8-byte sizes."""


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file to read, unless that would give what is not the file's, or might not end.

    Raises:
        ValueError: it links into other files, keeps data in other files, tells of arrays larger than itself,
            has a heap that is not as the format has it, or more links or groups within groups than is looked
            at. Of a damaged file h5py raises nearly anything, SystemError for one.
    """
    size = Path(path).stat().st_size
    _check_heaps(path)
    with h5py.File(path, "r") as opened:
        if problem := _problem(opened, size):
            raise ValueError(problem)
        yield opened


@contextmanager
def opened_archive(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Open a zip file that has HDF5 files in it, and read these heaps too.

    Raises:
        ValueError: a damaged heap, or it unpacks to far more than it is.
        zipfile.BadZipFile: it is none.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size, total = Path(path).stat().st_size, sum(member.file_size for member in members)
        if total > max(_MOST_BYTES, _MOST_TIMES * size):
            raise ValueError(f"{size:,} bytes that unpack to {total:,}")
        _check_heaps(path)  # of what is stored as it is, as Keras does
        for member in members:
            packed = member.compress_type != zipfile.ZIP_STORED and member.filename.endswith(".h5")
            if packed and damaged_heap(archive.read(member)):
                raise ValueError("a damaged heap")
        yield archive


def _check_heaps(path: str | os.PathLike[str]) -> None:
    if Path(path).stat().st_size:  # what is empty cannot be mapped
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if damaged_heap(data):
                raise ValueError("a damaged heap")


def damaged_heap(data: bytes | mmap.mmap) -> bool:
    """Tell whether a heap's objects do not follow one another to its end, or heaps lie within one another."""
    left = len(data) // _HEADER.size  # objects that the bytes have room for, in all heaps together
    start = data.find(_COLLECTION)
    while 0 <= start <= len(data) - 16:
        place, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
        while place + _HEADER.size <= min(end, len(data)):
            number, _, size = _HEADER.unpack_from(data, place)
            length = _HEADER.size + -(-size // 8) * 8 if number else size
            left -= 1
            if left < 0 or not 0 < length <= end - place:
                return True
            place += length
        start = data.find(_COLLECTION, start + 1)
    return False


def _names(group: h5py.Group, most: int) -> list[bytes]:
    """Return the names in a group, of more than `most` one more: the library stops when it is told to."""
    names: list[bytes] = []

    def note(name: bytes) -> bool | None:
        names.append(name)
        return len(names) > most or None

    group.id.links.iterate(note)
    return names


def _problem(file: h5py.File, size: int) -> str | None:
    """Say what is wrong with the first group or array that is; each is looked at once, from its parent."""
    groups, links = [(file["/"], "", 0)], 0
    seen = {h5py.h5o.get_info(file.id).addr}
    while groups:
        group, path, depth = groups.pop()
        names = _names(group, MOST_LINKS - links)
        links += len(names)
        if links > MOST_LINKS or depth > DEEPEST:
            return f"over {MOST_LINKS:,} links, or groups within one another over {DEEPEST} deep"
        for raw in names:
            name = path + raw.decode("utf-8", "replace")
            kind = group.id.links.get_info(raw).type
            if kind == h5py.h5l.TYPE_EXTERNAL:
                return f"{name} is a link into another file"
            if kind != h5py.h5l.TYPE_HARD:  # it leads to what is seen elsewhere, or nowhere
                continue
            item: Any = group[raw]
            where = h5py.h5o.get_info(item.id).addr
            if where in seen:
                continue
            seen.add(where)
            if isinstance(item, h5py.Group):
                groups.append((item, f"{name}/", depth + 1))
            elif isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    return f"{name} is kept in another file"
                if item.nbytes > size:
                    return f"{name} is of shape {item.shape}, more than the {size:,} bytes of the file"
    return None
