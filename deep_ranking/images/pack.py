"""Decoded images one after the other in a file mapped into memory: one writer, many readers."""

import contextlib
import mmap
import os
import struct
import tempfile
import uuid
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

_ENTRY = struct.Struct("<16sI")  # half the SHA-256 of the image file, and the CRC-32 of the pixels


class Pack:
    """Images of one size.

    `NAME.pixels` holds them. `NAME.keys` gets an entry after the pixels are written, so a writer that is
    killed leaves at most pixels that nobody looks at. Neither changes but at its end.

    Args:
        file: descriptor of the pixels.
        keys: descriptor of the entries; None where none are written.
        count: images that there is room for.
        size: (height, width) of each.
        checks: checksum of each image, of a pack that is there already.

    Attributes:
        pixels: (count, height, width, 3) uint8, read-only.
        used: how many images are in it.
    """

    def __init__(
        self,
        file: int,
        keys: int | None,
        count: int,
        size: tuple[int, int],
        checks: list[int] | None = None,
    ):
        self._file, self._keys, self._checks = file, keys, checks
        self.used = len(checks or ())
        for descriptor in (file, keys):
            if descriptor is not None:
                weakref.finalize(self, os.close, descriptor)
        self.inode = os.fstat(file).st_ino
        mapped = mmap.mmap(file, 3 * count * size[0] * size[1], access=mmap.ACCESS_READ)
        self.pixels = np.frombuffer(mapped, np.uint8).reshape(count, *size, 3)

    @classmethod
    def create(cls, folder: Path | None, name: str, count: int, size: tuple[int, int]) -> "Pack":
        """Begin a pack, `name` and something unique; without a folder, in a file that ends with the process.

        Raises:
            OSError: it cannot be written there.
        """
        if folder is None:
            with tempfile.TemporaryFile() as nameless:
                file, keys = os.dup(nameless.fileno()), None
        else:
            path = folder / f"{name}-{uuid.uuid4().hex}"
            new = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            # The keys first: pixels without keys are what a removal left.
            keys = os.open(path.with_suffix(".keys"), new)
            file = os.open(path.with_suffix(".pixels"), new)
        os.truncate(file, 3 * count * size[0] * size[1])  # takes no room on the disk until it is written
        return cls(file, keys, count, size)

    @classmethod
    def open(cls, keys: Path, size: tuple[int, int]) -> "tuple[Pack, list[bytes]] | None":
        """Return a pack as far as it is written, and its images' keys; None if it is empty or gone."""
        with contextlib.suppress(FileNotFoundError):
            data = keys.read_bytes()
            entries = list(_ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size]))
            file = os.open(keys.with_suffix(".pixels"), os.O_RDONLY | os.O_CLOEXEC)
            entries = entries[: os.fstat(file).st_size // (3 * size[0] * size[1])]
            if entries:
                pack = cls(file, None, len(entries), size, [check for _, check in entries])
                os.utime(keys)
                return pack, [key for key, _ in entries]
            os.close(file)
        return None

    def is_sound(self, place: int) -> bool:
        """Tell whether the pixels are those that were written; of this process's own there is no doubt."""
        return self._checks is None or zlib.crc32(self.pixels[place]) == self._checks[place]

    def add(self, key: bytes, pixels: np.ndarray) -> int:
        """Append an image and return its place.

        Raises:
            OSError: the disk is full. (A store through the map would end the process instead.)
        """
        data = np.ascontiguousarray(pixels).data
        if os.pwrite(self._file, data, self.used * data.nbytes) != data.nbytes:
            raise OSError("the disk is full")
        if self._keys is not None:
            os.write(self._keys, _ENTRY.pack(key, zlib.crc32(data)))
        self.used += 1
        return self.used - 1


class Listed(NamedTuple):
    """A pack in a folder; those least recently opened sort first."""

    opened: float
    bytes: int
    inode: int
    path: Path

    def remove(self) -> None:
        """Remove it; who has opened it keeps it."""
        self.path.with_suffix(".keys").unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def list_packs(folder: Path) -> Iterator[Listed]:
    """Yield the packs of a folder, with the bytes that they take on the disk."""
    for path in folder.glob("*.pixels"):
        with contextlib.suppress(FileNotFoundError):
            status, keys = path.stat(), path.with_suffix(".keys")
            opened = keys.stat().st_mtime if keys.exists() else 0.0
            yield Listed(opened, status.st_blocks * 512, status.st_ino, path)
