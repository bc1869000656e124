"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deep_ranking.errors import DeepRankingError


def check_writable(path: str | os.PathLike[str]) -> None:
    """Make the folder of a file to come and try to write there, before hours of work are spent on it.

    Raises:
        DeepRankingError: the folder cannot be made or written.
    """
    folder = Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DeepRankingError(
            f"{path}: cannot be written there ({error.strerror}); choose another place"
        ) from error


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` once the block ends without an error.

    A crash, a full disk or Ctrl-C leaves the earlier file, or none, under the final name. The temporary
    name keeps the ending (`model.h5` -> `.model.<pid>.tmp.h5`), since some writers choose the format by it.

    Raises:
        OSError: the folder does not exist or cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with written_whole(Path(folder) / "a.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     print([p.name for p in Path(folder).iterdir()])
        ['a.txt']
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
