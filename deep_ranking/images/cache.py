"""Decoded images, kept: an image is decoded once, however often it is wanted."""

import contextlib
import hashlib
import logging
import mmap
import os
import shutil
import struct
import tempfile
import threading
import uuid
import weakref
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import features

from deep_ranking.containers import contained
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.images import decode

logger = logging.getLogger(__name__)

_LARGEST_FILE = _SMALLEST_PACK = 256 * 2**20
_MOST_PACKS = 100  # each is an open file
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
        self, file: int, keys: int | None, count: int, size: tuple[int, int], checks: list[int] | None = None
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


class ImageCache:
    """Images of one size by the content of their files; what comes out is bit for bit what was decoded.

    The pixels lie in packs (`Pack`), each written by one process; so any number of processes may share
    the folder, and one that is killed leaves nothing torn. An image of an earlier run is checked against its
    checksum when it is first used. Packs of other sizes, or of another decoder, have other names. At the
    limit, the packs longest not opened are removed, but none of this process's; then no more images are
    added. Once read, an image is kept as it was until the process ends, even if its file changes meanwhile.

    Args:
        size: (height, width) in pixels.
        folder: where the packs lie, to be used again; made if missing. None keeps them for this process only,
            in nameless files in the system's folder for temporary ones.
        gigabytes: the limit, 0 or more; whatever it is, a twentieth of the disk stays free.

    Raises:
        DeepRankingError: the folder cannot be used, or a limit below 0.

    Example:
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (40, 20), "red").save(f"{folder}/a.png")
        ...     cache = ImageCache((8, 6), folder)
        ...     first, again = cache.read(f"{folder}/a.png"), cache.read(f"{folder}/a.png")
        >>> first.shape, np.array_equal(first, again)
        ((8, 6, 3), True)
    """

    def __init__(
        self, size: tuple[int, int], folder: str | os.PathLike[str] | None = None, gigabytes: float = 4.0
    ):
        expect("image_cache_size", gigabytes >= 0, "0 or more gigabytes", gigabytes)
        self.size, self.limit = size, int(gigabytes * 1e9)
        self._image_bytes = 3 * size[0] * size[1]
        self._pack_bytes = max(_SMALLEST_PACK, self.limit // _MOST_PACKS, self._image_bytes)
        self.folder = None if folder is None else Path(folder)
        self._name = f"{size[0]}x{size[1]}-{_decoder()}"
        self._packs: list[Pack] = []
        self._by_content: dict[bytes, tuple[int, int]] = {}  # -> number of the pack, place in it
        self._by_path: dict[str, tuple[int, int] | None] = {}  # None: not kept, for want of room
        self._writing: Pack | None = None
        self._full = False
        self._lock = threading.Lock()
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                for keys in sorted(self.folder.glob(f"{self._name}-*.keys")):
                    if found := Pack.open(
                        keys, size
                    ):  # of an earlier run, or another process as far as it is
                        self._by_content |= {key: (len(self._packs), i) for i, key in enumerate(found[1])}
                        self._packs.append(found[0])
            except OSError as error:
                raise DeepRankingError(
                    f"{folder}: cannot be used as the image cache ({error.strerror}); choose another folder"
                ) from error

    def read(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Return what `read_image(path, size)` does; the array may be a read-only view of a mapped file.

        Raises:
            ImageError: the image has to be decoded and cannot be.
        """
        path = os.fspath(path)
        if path in self._by_path:
            place = self._by_path[path]
            return decode.read_image(path, self.size) if place is None else self._at(place)
        data = _content(path)
        if data is None:
            return decode.read_image(path, self.size)  # which says what is wrong
        key = hashlib.sha256(data).digest()[:16]
        place = self._by_content.get(key)
        if place is not None and self._packs[place[0]].is_sound(place[1]):
            self._by_path[path] = place
            return self._at(place)
        pixels = decode.read_image(data, self.size, name=path)
        with self._lock:
            self._by_path[path] = self._add(key, pixels)
        return pixels

    def _at(self, place: tuple[int, int]) -> np.ndarray:
        return self._packs[place[0]].pixels[place[1]]

    def _add(self, key: bytes, pixels: np.ndarray) -> tuple[int, int] | None:
        """Keep an image and return its place; None where there is no room."""
        try:
            if self._writing is None or self._writing.used == len(self._writing.pixels):
                self._writing = None if self._full else self._new_pack()
                self._full = self._writing is None
            if self._writing is None:
                return None
            place = len(self._packs) - 1, self._writing.add(key, pixels)
        except OSError as error:
            logger.warning("the image cache takes no more images: %s", error)
            self._writing, self._full = None, True
            return None
        self._by_content[key] = place
        return place

    def _new_pack(self) -> Pack | None:
        if self.folder is None:
            used, where = sum(pack.pixels.nbytes for pack in self._packs), tempfile.gettempdir()
        else:
            used, where = self._make_room(self.folder), str(self.folder)
        disk = shutil.disk_usage(where)
        room = min(self.limit - used, disk.free - disk.total // 20)
        count = min(room, self._pack_bytes) // self._image_bytes
        if count < 1:
            return None
        self._packs.append(Pack.create(self.folder, self._name, count, self.size))
        return self._packs[-1]

    def _make_room(self, folder: Path) -> int:
        """Remove packs, longest unused first, until there is room; return the bytes of the others."""
        own = {pack.inode for pack in self._packs}
        packs = []
        for path in folder.glob("*.pixels"):
            with contextlib.suppress(FileNotFoundError):
                status, keys = path.stat(), path.with_suffix(".keys")
                opened = keys.stat().st_mtime if keys.exists() else 0.0
                packs.append((opened, status.st_blocks * 512, status.st_ino, path))
        used = sum(on_disk for _, on_disk, _, _ in packs)
        for _, on_disk, inode, path in sorted(packs):
            if used + min(self._pack_bytes, self.limit // 8) <= self.limit:
                break
            if inode not in own:  # who has opened it keeps it
                path.with_suffix(".keys").unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                used -= on_disk
        return used


def _decoder() -> str:
    """Identify what makes pixels of a file: the libraries, and this project's own code over them."""
    parts = [PIL.__version__, features.version("libjpeg_turbo"), decode.VERSION]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _content(path: str) -> bytes | None:
    """Return a file's bytes; None where they cannot be had, or are too many."""
    try:
        if isinstance(content := contained(path), bytes):
            return content if len(content) <= _LARGEST_FILE else None
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs as much as the rest
            return file.read() if os.fstat(file.fileno()).st_size <= _LARGEST_FILE else None
    except OSError:
        return None
