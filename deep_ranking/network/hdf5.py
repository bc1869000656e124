"""HDF5 files from anywhere: refused where they tell of more than they hold."""

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

_COLLECTION = b"GCOL\1\0\0\0"  # begins each heap of texts, as the HDF5 File Format Specification has it
_HEADER = struct.Struct("<HHxxxxQ")
"""Of an object there: its number, references and size; so in files of 8-byte sizes."""


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Open an HDF5 file to read, unless to read it would give what is not the file's, or never end.

    Raises:
        ValueError: it links into other files, keeps data in other files, tells of arrays larger than itself,
            or has a heap that the library would walk for ever. Of a damaged file h5py raises nearly anything,
            SystemError for one.
    """
    size = Path(path).stat().st_size
    if size and _endless(path):
        raise ValueError("a damaged heap")
    with h5py.File(path, "r") as file:
        if problem := _problem(file, size):
            raise ValueError(problem)
        yield file


def _endless(path: str | os.PathLike[str]) -> bool:
    """Tell whether HDF5 would walk a heap of the file for ever, as it does at free space of size 0."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_COLLECTION)
        while 0 <= start <= len(data) - 16:
            place, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
            while place + _HEADER.size <= min(end, len(data)):
                number, _, size = _HEADER.unpack_from(data, place)
                length = _HEADER.size + -(-size // 8) * 8 if number else size
                if not 0 < length <= end - place:
                    return True
                place += length
            start = data.find(_COLLECTION, start + 1)
    return False


def _problem(file: h5py.File, size: int) -> str | None:
    def of_link(name: str, link: Any) -> str | None:
        return f"{name} is a link into another file" if isinstance(link, h5py.ExternalLink) else None

    def of_item(name: str, item: Any) -> str | None:
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            return f"{name} is kept in another file"
        if isinstance(item, h5py.Dataset) and item.nbytes > size:
            return f"{name} is of shape {item.shape}, more than the {size:,} bytes of the file"
        return None

    # The walk ends with the first text; HDF5 takes no error from within it.
    return file.visititems_links(of_link) or file.visititems(of_item)
