"""Files that can be made again from the store: written whole, named by what they hold, checked when read."""

import contextlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import may_not_write, written_whole

T = TypeVar("T")

_MARK = b"deep-ranking"
TRAILER = len(_MARK) + 4
"""Bytes that a seal adds."""

MAPPED_BYTES = 128 << 20
"""A larger matrix is mapped. A smaller one is read: in huge pages a product takes a quarter less time, which
is lost once the matrix is so large that the memory, not the page table, sets the pace."""

_BLOCK = 1 << 16
_PIECE = 1 << 24  # mapped at once, so that who opens a large file does not hold all of it for that
_ALIGNED = 64  # bytes that an array in a file begins at a multiple of
_ATTEMPTS = 5


class Caches:
    """The caches of one state of the store.

    The store's identity and version are in each file's name, so two processes that see different states
    never take each other's files, and two that see the same state write the same content. Where the folder
    cannot be written, what is missing is made in a temporary place, for this process alone.

    Args:
        folder: where the files lie; made when first written.
        identity: the store's, so that a store made anew in the same place finds no caches of the old one.
        version: the store's: a count of changes, by which old files are told, `-` and a random mark.
    """

    def __init__(self, folder: Path, identity: str, version: str):
        self._folder, self._identity, self._version = folder, identity, version

    def of(self, mark: str) -> "Caches":
        """Return the caches of this state as something else has changed it, which the mark stands for."""
        return Caches(self._folder, self._identity, f"{self._version}-{mark}")

    def versions(self, name: str) -> list[tuple[str, Path]]:
        """Return of which versions, this and earlier ones, there may be caches; the newest first."""
        paths = [self._path(name, self._version), *self._stale(name)]
        return [(self._version_of(name, path), path) for path in paths]

    def get(self, name: str, write: Callable[[Path], None], read: Callable[[Path], T | None]) -> T:
        """Read the cache `name` (with its ending), after writing it if it is missing, stale or damaged.

        `read` returns None for a file that is whole and not what is wanted; it is written anew too.

        Raises:
            DeepRankingError: it is not as it was written, time and again.
            WriteError: it cannot be written.
        """
        path = self._path(name, self._version)
        for _ in range(_ATTEMPTS):
            if (found := self.kept(name, read)) is not None:
                return found
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with written_whole(path) as temporary:
                    write(temporary)
                    seal(temporary)
            except OSError as error:
                if not may_not_write(error):
                    raise
                # What is mapped stays readable when its name is gone.
                with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as elsewhere:
                    write(Path(elsewhere, name))
                    seal(Path(elsewhere, name))
                    if (made := read(Path(elsewhere, name))) is not None:
                        return made
            self._remove_stale(name)
        raise DeepRankingError(f"{path}: not as it was just written; is the disk full, or failing?")

    def kept(self, name: str, read: Callable[[Path], T | None]) -> T | None:
        """Read the cache `name`, if it is there and intact."""
        path = self._path(name, self._version)
        with contextlib.suppress(FileNotFoundError):  # another process may have cleaned up just now
            return read(path) if is_sealed(path) else None
        return None

    def earlier(self, name: str) -> Path | None:
        """Return the newest intact cache of an earlier version, for what can be learned from it."""
        return next(filter(is_sealed, self._stale(name)), None)

    def _path(self, name: str, version: str) -> Path:
        stem, ending = os.path.splitext(name)  # noqa: PTH122 - it is a name, not a path
        return self._folder / f"{stem}-{self._identity}-{version}{ending}"

    def _version_of(self, name: str, path: Path) -> str:
        return path.stem.removeprefix(f"{self._path(name, '').stem}")

    def _stale(self, name: str) -> list[Path]:
        """Return the files of earlier states, and of as many changes that are lost; the newest first."""
        own, found = self._path(name, self._version), []
        for path in self._folder.glob(self._path(name, "*").name):
            count = self._version_of(name, path).partition("-")[0]
            if path != own and count.isdigit() and int(count) <= int(self._version.partition("-")[0]):
                found.append((int(count), path))
        return [path for _, path in sorted(found, reverse=True)]

    def _remove_stale(self, name: str) -> None:
        stem, ending = os.path.splitext(name)  # noqa: PTH122
        other_stores = {
            path
            for path in self._folder.glob(f"{stem}-*{ending}")
            if not path.name.startswith(f"{stem}-{self._identity}-")
        }
        for path in {*self._stale(name), *other_stores}:
            with contextlib.suppress(OSError):  # Windows keeps a file that is open; the next one removes it
                path.unlink()


def seal(path: Path) -> None:
    """Append a checksum to a finished file; readers of NumPy's and FAISS's formats pass over it."""
    checksum = _checksum(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_MARK + checksum)


def is_sealed(path: Path) -> bool:
    """Tell whether a file is there and every byte is as it was sealed; reads it at the memory's speed."""
    if not path.is_file() or path.stat().st_size < TRAILER:
        return False
    length = path.stat().st_size - TRAILER
    with path.open("rb") as file:
        file.seek(length)
        trailer = file.read()
    return trailer == _MARK + _checksum(path, length)


def _checksum(path: Path, length: int) -> bytes:
    """CRC-32 of the sums of 64 KiB blocks: all bytes count, at many times the speed of a plain CRC-32."""
    checksum, whole = 0, length - length % _BLOCK
    with path.open("rb") as file:
        for start in range(0, whole, _PIECE):
            shape = min(_PIECE, whole - start) // _BLOCK, _BLOCK // 8
            sums = np.memmap(file, np.uint64, "r", start, shape).sum(axis=1, dtype=np.uint64)
            checksum = zlib.crc32(sums.tobytes(), checksum)
        file.seek(whole)
        return zlib.crc32(file.read(length - whole), checksum).to_bytes(4, "little")


def save_arrays(path: Path, arrays: Iterable[np.ndarray]) -> None:
    """Write arrays behind what is in a file, if it is there; for `load_arrays`."""
    with path.open("ab") as file:
        for array in arrays:
            file.write(bytes(-file.tell() % _ALIGNED))
            np.lib.format.write_array(file, array)


def load_arrays(path: Path) -> Iterator[np.ndarray]:
    """Yield the arrays of a sealed file, mapped: all of one file, though another be put in its place."""
    with path.open("rb") as file:
        end, place = os.fstat(file.fileno()).st_size - TRAILER, 0
        while place < end:
            file.seek(place)
            np.lib.format.read_magic(file)
            shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
            order, begin = "F" if fortran else "C", file.tell()
            size = int(np.prod(shape)) * kind.itemsize
            mapped = np.memmap(file, kind, "r", begin, shape, order) if size else np.empty(shape, kind)  # type: ignore[call-overload]
            yield np.asarray(mapped)
            place = begin + size
            place += -place % _ALIGNED if place < end else 0


def held(mapped: np.ndarray) -> np.ndarray:
    """Return a mapped matrix as it is, if it is large, or read."""
    return np.asarray(mapped if mapped.nbytes > MAPPED_BYTES else np.array(mapped))
