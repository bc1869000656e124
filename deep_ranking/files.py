"""Files that are either whole or not there."""

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deep_ranking.errors import DeepRankingError

_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(rf"\..*\.{_HOST}-(\d+)-[0-9a-f]{{8}}\.tmp(\..*)?", re.DOTALL)
_LONGEST_STEM = 40  # characters, so that the whole name stays below the 255 bytes that file systems take
_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
_TOO_LITTLE = re.compile(r"\d+ requested and \d+ written")  # how NumPy tells a full disk


class WriteError(DeepRankingError, OSError):
    """A file cannot be written; what stood under its name before still does."""


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
        raise WriteError(
            f"{path}: cannot be written there ({error.strerror}); choose another place"
        ) from error


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
    """Have the disk keep room for all of a file, which may have holes so far.

    A store into a mapped file, for which a full disk then has no room, would end the process.

    Raises:
        OSError: there is too little room.
    """
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


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
    """Tell an error in writing `temporary` as one in writing `path`; others pass."""
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
