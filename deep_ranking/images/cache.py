"""Decoded images, kept: an image is decoded once, however often it is wanted."""

import hashlib
import logging
import os
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import PIL
from PIL import features

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.images import decode
from deep_ranking.images.pack import Pack, list_packs

logger = logging.getLogger(__name__)

_LARGEST_FILE = 256 * 2**20
_SMALLEST_PACK = 256 * 2**20
_MOST_PACKS = 100  # each is an open file


class ImageCache:
    """Images of one size by the content of their files; what comes out is bit for bit what was decoded.

    The pixels lie in packs (`pack.Pack`), each written by one process; so any number of processes may share
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
                    self._take_in(keys)
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

    def _take_in(self, keys: Path) -> None:
        """Use a pack of an earlier run, or of another process as far as it has come."""
        found = Pack.open(keys, self.size)
        if found is not None:
            pack, contents = found
            self._by_content |= {key: (len(self._packs), place) for place, key in enumerate(contents)}
            self._packs.append(pack)

    def _make_room(self, folder: Path) -> int:
        """Remove packs, longest unused first, until there is room; return the bytes of the others."""
        own = {pack.inode for pack in self._packs}
        packs = sorted(list_packs(folder))
        used = sum(pack.bytes for pack in packs)
        for pack in packs:
            if used + min(self._pack_bytes, self.limit // 8) <= self.limit:
                break
            if pack.inode not in own:
                pack.remove()
                used -= pack.bytes
        return used


def _decoder() -> str:
    """Identify what makes pixels of a file: the libraries, and this project's own code over them."""
    parts = [PIL.__version__, features.version("libjpeg_turbo"), Path(decode.__file__).read_text("utf-8")]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _content(path: str) -> bytes | None:
    """Return a file's bytes; None where they cannot be had, or are too many."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs as much as the rest
            return file.read() if os.fstat(file.fileno()).st_size <= _LARGEST_FILE else None
    except OSError:
        return None
