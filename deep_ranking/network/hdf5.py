"""HDF5 files from anywhere: opened with readable errors, refused where they tell of more than they hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from deep_ranking.errors import DeepRankingError, reason


@contextmanager
def opened(
    path: str | os.PathLike[str], expected: str, kind: type[DeepRankingError] = DeepRankingError
) -> Iterator[h5py.File]:
    """Open an HDF5 file to read.

    Links into other files, data kept in other files, and arrays larger than the file are refused: to read
    them would give what is not the file's, or take memory without end.

    Args:
        path: the file.
        expected: what it should be, for the error.
        kind: the error.

    Raises:
        DeepRankingError: of that kind, for whatever HDF5 raises in the block too; the message names the file.
    """
    try:
        size = Path(path).stat().st_size
        with h5py.File(path, "r") as file:
            if problems := _problems(file, size):
                raise ValueError(problems[0])
            yield file
    except DeepRankingError:
        raise
    # Of a damaged file h5py raises nearly anything, SystemError for one.
    except Exception as error:
        raise kind(
            f"{os.fspath(path)}: expected {expected}, found something else or a damaged one "
            f"({reason(error):.200})"
        ) from error


def _problems(file: h5py.File, size: int) -> list[str]:
    found: list[str] = []

    def see_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.append(f"{name} is a link into another file")

    def see(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.is_virtual or item.external:
            found.append(f"{name} is kept in another file")
        elif item.nbytes > size:
            found.append(f"{name} is of shape {item.shape}, more than the {size:,} bytes of the file")

    file.visititems_links(see_link)  # HDF5 takes no error from within its own walk
    if not found:
        file.visititems(see)
    return found
