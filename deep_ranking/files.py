"""Files: written whole or not at all, and NumPy's arrays read from them without trust.

Names are sorted by their bytes, `path_key`, in every index alike.
"""

import contextlib
import errno
import hashlib
import io
import math
import os
import platform
import re
import secrets
import shutil
import sys
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from deep_ranking.containers import contained, status
from deep_ranking.errors import DeepRankingError, reason

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(rf"\..*\.{_HOST}-(\d+)-[0-9a-f]{{8}}\.tmp(\..*)?", re.DOTALL)
_LONGEST_STEM = 40  # characters, so that the whole name stays below the 255 bytes that file systems take
_FORBIDDEN = errno.EACCES, errno.EPERM, errno.EROFS
_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
_TOO_LITTLE = re.compile(r"\d+ requested and \d+ written")  # how NumPy reports a full disk

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MOST_BYTES, _MOST_TIMES = 2**30, 100  # an archive may unpack to the first, or to so many times its own size


class WriteError(DeepRankingError, OSError):
    """A file cannot be written; what stood under its name before still does."""


def may_not_write(error: BaseException | None) -> bool:
    """Tell whether an error, or what it comes from, says that nothing may be written there, by anybody."""
    if isinstance(error, OSError) and error.errno in _FORBIDDEN:
        return True
    return error is not None and may_not_write(error.__cause__)


def composed(name: str) -> str:
    """Return a name in the one form (NFC) in which two that look alike are equal.

    Example:
        >>> composed("Cafe\\u0301") == "Caf\\u00e9"
        True
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def as_on_disk(path: str) -> str:
    """Return a path as it is spelled on the disk, where that is another Unicode form than was typed."""
    if path.isascii() or os.path.lexists(path):
        return path
    parent, name = os.path.split(path.rstrip(os.sep))
    parent = as_on_disk(parent) if parent else parent
    try:
        names = sorted(entry for entry in os.listdir(parent or ".") if composed(entry) == composed(name))  # noqa: PTH208
    except OSError:
        return path
    return os.path.join(parent, names[0]) if names else path  # noqa: PTH118


def check_writable(path: str | os.PathLike[str]) -> None:
    """Make the folder of a file to come and try to write there, before hours of work are spent on it.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    try:
        if Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder of this name is there")
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        why = f"cannot be written there ({error.strerror}); choose another place"
        raise WriteError(f"{path}: {why}") from error


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` once the block ends without an error.

    A crash, a full disk or Ctrl-C leaves the earlier file, or none, under the final name. The temporary
    name keeps the ending (`model.h5` -> `.model.<host>-<process>-<random>.tmp.h5`), since some writers choose
    the format by it. What a killed process left goes when another of the same machine writes into the folder.

    Raises:
        WriteError: the folder does not exist or cannot be written, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written_whole(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     print([p.name for p in Path(folder).iterdir()])
        ['a.txt']
    """
    temporary = temporary_beside(path)
    with _told_errors(path, temporary):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):  # from a folder that cannot be written nothing can be removed
                temporary.unlink()


@contextmanager
def temporary_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder beside `path` (which need not exist), on the same disk; it is removed after the block.

    Raises:
        WriteError: it cannot be made, or the disk is full.
    """
    temporary = temporary_beside(path)
    with _told_errors(path, temporary):
        temporary.mkdir(parents=True)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def temporary_beside(path: str | os.PathLike[str]) -> Path:
    """Return a free name beside `path`; remove what dead processes of this machine left there."""
    path = Path(path)
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found and not _is_alive(int(found[1])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)
    unique = f"{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.stem[:_LONGEST_STEM]}.{unique}.tmp{path.suffix}")


def take_room(path: Path) -> None:
    """Reserve disk space for the whole of a file, which may have holes so far.

    Otherwise a write through a memory map that finds the disk full would kill the process.

    Raises:
        OSError: there is too little room.
    """
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def read_arrays(path: str | os.PathLike[str] | io.BytesIO) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file, or of its bytes, by their names.

    Raises:
        DeepRankingError: it is no such file, is damaged, holds Python objects (which are never unpickled), or
            tells of more than it can hold; the message names it.
        OSError: it cannot be opened.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(Path(folder) / "a.npz", x=np.ones(2))
        ...     read_arrays(Path(folder) / "a.npz")
        {'x': array([1., 1.])}
    """
    with contextlib.nullcontext(path) if isinstance(path, io.BytesIO) else Path(path).open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                total, size = sum(member.file_size for member in members), file.seek(0, os.SEEK_END)
                if total > max(_MOST_BYTES, _MOST_TIMES * size):
                    raise ValueError(f"{size:,} bytes that unpack to {total:,}")
                arrays = {}
                for member in members:
                    with archive.open(member) as data:
                        arrays[member.filename.removesuffix(".npy")] = _read(data, member.file_size)
                return arrays
        # A damaged header is parsed as Python's literals, with whatever that raises.
        except Exception as error:
            raise DeepRankingError(
                f"{getattr(file, 'name', 'in memory')}: expected an .npz file of arrays, without Python "
                f"objects, as np.savez writes it; found {reason(error)}"
            ) from error


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the array of an `.npy` file.

    Raises:
        DeepRankingError: as for `read_arrays`.
        OSError: it cannot be opened.
    """
    with Path(path).open("rb") as file:
        try:
            return _read(file, os.fstat(file.fileno()).st_size)
        except Exception as error:
            raise DeepRankingError(f"{os.fspath(path)}: expected an array; found {reason(error)}") from error


def path_key(path: str) -> bytes:
    """Return the bytes that images are sorted by; a name that is not UTF-8 comes back as it went in."""
    return path.encode("utf-8", "surrogateescape")


def as_text(key: bytes) -> str:
    """Undo `path_key`."""
    return key.decode("utf-8", "surrogateescape")


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where to ask is to kill
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


@contextmanager
def _told_errors(path: str | os.PathLike[str], temporary: Path) -> Iterator[None]:
    """Report an error in writing `temporary` as one in writing `path`; let others pass."""
    try:
        yield
    except Exception as error:
        if why := _why_not_written(error, temporary):
            raise WriteError(
                f"{os.fspath(path)}: cannot be written ({why}); make room, or choose another place"
            ) from error
        raise


def _why_not_written(error: Exception, temporary: Path) -> str | None:
    if isinstance(error, OSError) and error.errno and str(error.filename).startswith(str(temporary)):
        return os.strerror(error.errno)
    if _TOO_LITTLE.fullmatch(str(error)):
        return os.strerror(errno.ENOSPC)
    # HDF5 and FAISS raise errors of their own, with the system's words within.
    return next((os.strerror(number) for number in _FULL if os.strerror(number) in str(error)), None)


def _read(file: IO[bytes], size: int) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array of NumPy's format {version}, which is not read")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("Python objects")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size - file.tell():
        raise ValueError(f"an array of shape {shape} and type {dtype} in {size:,} bytes")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if dtype.kind == "U" and array.nbytes:  # NumPy takes any number for a character, and fails on its use
        characters = np.dtype(np.uint32).newbyteorder(dtype.byteorder)
        if np.ascontiguousarray(array).reshape(-1).view(characters).max() > sys.maxunicode:
            raise ValueError("text of numbers that are no characters")
    return array


def file_hash(path: str | os.PathLike[str]) -> bytes:
    """Return the SHA-256 of a file's bytes, which tells whether two images are the same file."""
    if isinstance(content := contained(path), bytes):
        return hashlib.sha256(content).digest()
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def read_open(file: Any, where: str = "") -> bytes:
    """Return what is left to read of a file that its owner has opened.

    Raises:
        DeepRankingError: it was closed or is of text; the message begins with `where`.

    Example:
        >>> read_open(io.BytesIO(b"bytes")), read_open(io.StringIO("text"))
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: expected a file open for reading bytes, 'rb'; found one of text
    """
    expected = f"{where}expected a file open for reading bytes, 'rb'"
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # of text, UnicodeDecodeError
        raise DeepRankingError(f"{expected} ({reason(error)})") from error
    if not isinstance(content, bytes):
        raise DeepRankingError(f"{expected}; found one of text")
    return content


def first_of_same_file(paths: Sequence[str | os.PathLike[str]]) -> list[int]:
    """Return for each path the position of the first that leads to the same file: a link's, or its own."""
    firsts: dict[Any, int] = {}
    keys = (found and found[0] for found in map(_file_and_size, paths))
    return [place if key is None else firsts.setdefault(key, place) for place, key in enumerate(keys)]


def first_of_same_content(paths: Sequence[str | os.PathLike[str]]) -> list[int]:
    """Return for each file the position of the first that holds the same bytes: its own, if none before does.

    Files of one size alone are read. One that cannot be read is like no other.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [Path(folder) / name for name in "abc"]
        ...     for path, text in zip(paths, ("same", "else", "same")):
        ...         _ = path.write_text(text)
        ...     first_of_same_content(paths)
        [0, 1, 0]
    """
    first = list(range(len(paths)))
    sizes: dict[int, dict[Any, list[int]]] = {}
    for place, found in enumerate(map(_file_and_size, paths)):
        if found is not None:
            file, size = found
            sizes.setdefault(size, {}).setdefault(file, []).append(place)
    for alike in sizes.values():
        contents: dict[bytes | None, int] = {}
        for own in alike.values():
            content = None if len(alike) == 1 else _content(paths[own[0]])
            earliest = own[0] if content is None else contents.setdefault(content, own[0])
            for place in own:
                first[place] = earliest
    return first


def held_by(others: Sequence[str | os.PathLike[str]], paths: Sequence[str | os.PathLike[str]]) -> list[bool]:
    """Return for each file whether one of the others holds the same bytes; as of `first_of_same_content`."""
    return [first < len(others) for first in first_of_same_content([*others, *paths])[len(others) :]]


def is_sqlite(path: str | os.PathLike[str]) -> bool:
    """Tell by its first bytes whether a file is an SQLite database; False of what cannot be read."""
    try:
        if not Path(path).is_file():  # a pipe would wait
            return False
        with Path(path).open("rb") as file:
            return file.read(16).startswith(b"SQLite format 3")
    except OSError:
        return False


def _file_and_size(path: str | os.PathLike[str]) -> tuple[Any, int] | None:
    try:
        found = status(path)
        if isinstance(content := contained(path), bytes):
            return os.fspath(path), len(content)
    except OSError:
        return None
    # Some file systems number no file: each path is then one of its own.
    return ((found.st_dev, found.st_ino) if found.st_ino else os.fspath(path)), found.st_size


def _content(path: str | os.PathLike[str]) -> bytes | None:
    try:
        return file_hash(path)
    except OSError:
        return None
