"""Reading NumPy's files: no Python objects, and no more memory than the file accounts for."""

import math
import os
import sys
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from deep_ranking.errors import DeepRankingError, reason

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MOST_BYTES, _MOST_TIMES = 2**30, 100  # an archive may unpack to the first, or to so many times its own size


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file by their names.

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
    with Path(path).open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                total, size = sum(member.file_size for member in members), os.fstat(file.fileno()).st_size
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
                f"{os.fspath(path)}: expected an .npz file of arrays, without Python objects, as np.savez "
                f"writes it; found {reason(error)}"
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
