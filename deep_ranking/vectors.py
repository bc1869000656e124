"""Vectors: what is accepted as such, and the files that they lie in."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import composed, read_arrays, written_whole


def checked_vectors(vectors: NDArray[Any], what: str) -> NDArray[Any]:
    """Return `vectors` as an array of shape (n, d), at least 1 x 1, of finite real numbers.

    Raises:
        DeepRankingError: it is anything else; `what` is its name in the message.

    Example:
        >>> checked_vectors([[1.0, float("nan")]], "queries")
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: queries: row 0 holds NaN, infinity or a number beyond ...
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise DeepRankingError(
            f"{what}: expected vectors of shape (images, numbers per image), at least one of each; "
            f"found shape {vectors.shape}"
        )
    if vectors.dtype.kind not in "fiu":
        raise DeepRankingError(f"{what}: expected real numbers, found the type {vectors.dtype}")
    if vectors.dtype.kind != "f":
        return vectors
    largest = min(_LARGEST, float(np.finfo(vectors.dtype).max))
    rows = max(1, _BLOCK // vectors.shape[1])
    for start in range(0, len(vectors), rows):
        usable = np.abs(vectors[start : start + rows]) <= largest  # False for NaN
        if not usable.all():
            row = start + np.flatnonzero(~usable.all(axis=1))[0]
            raise DeepRankingError(
                f"{what}: row {row} holds NaN, infinity or a number beyond {_LARGEST}; expected finite "
                "numbers (has the training diverged?)"
            )
    return vectors


def unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the rows of (n, d) `vectors` at unit length; a row of zeros stays one."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


_BLOCK = 2**22  # numbers looked at at once
_LARGEST = 1e100  # squares of anything smaller can be summed in float64


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Images and their vectors.

    Args:
        paths: shape (n,), unicode; relative to the data set's root with `/` between folders, each once.
        vectors: shape (n, d), float32, finite.

    Raises:
        DeepRankingError: they are anything else.

    Example:
        >>> found = Embeddings(np.array(["a.jpg", "b.jpg"]), np.eye(2, dtype=np.float32))
        >>> found.rows(["b.jpg", "a.jpg"])
        array([1, 0])
    """

    paths: NDArray[np.str_]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("paths", "vectors"):
            kind = type(found := getattr(self, name)).__name__
            expect(name, isinstance(found, np.ndarray), "an array, as np.array(...) makes it", kind)
        if self.paths.dtype.kind != "U" or self.paths.ndim != 1:
            raise DeepRankingError(
                f"paths: expected text of shape (images,), found {self.paths.dtype} of shape "
                f"{self.paths.shape}; make them with np.array(list_of_paths, dtype=str)"
            )
        checked_vectors(self.vectors, "vectors")
        if self.vectors.dtype != np.float32:
            raise DeepRankingError(f"vectors: expected float32, found {self.vectors.dtype}")
        if len(self.paths) != len(self.vectors):
            counts = f"{len(self.paths)} and {len(self.vectors)}"
            raise DeepRankingError(f"expected as many paths as vectors, found {counts}")
        if "" in self._row_of:
            raise DeepRankingError(f"paths: row {self._row_of['']} is empty; every image needs a name")
        if len(self._row_of) != len(self.paths):
            twice = next(str(path) for row, path in enumerate(self.paths) if self._row_of[path] != row)
            raise DeepRankingError(f"paths: {twice!r} stands more than once; expected each image once")

    def rows(self, paths: Iterable[str]) -> NDArray[np.intp]:
        """Return the row of each path, which may be written in another form of Unicode.

        Raises:
            DeepRankingError: an image is not among them.
        """
        paths = list(paths)
        rows = [self._row_of.get(path, -1) for path in paths]
        if -1 in rows:
            alike = {composed(path): row for path, row in self._row_of.items()}
            rows = [
                alike.get(composed(path), -1) if row < 0 else row
                for path, row in zip(paths, rows, strict=True)
            ]
        if -1 in rows:
            raise DeepRankingError(
                f"no embedding of {paths[rows.index(-1)]!r} among {len(self.paths)} images such as "
                f"{str(self.paths[0])!r}; expected the paths as the data set and the triplets write them"
            )
        return np.array(rows, np.intp)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {str(path): row for row, path in enumerate(self.paths)}


def write_embeddings(path: str | os.PathLike[str], embeddings: Embeddings) -> None:
    """Write an embeddings file, whole or not at all; the same embeddings give the same bytes.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "embeddings.npz"
        ...     write_embeddings(path, Embeddings(np.array(["a.jpg"]), np.ones((1, 2), np.float32)))
        ...     read_embeddings(path).vectors
        array([[1., 1.]], dtype=float32)
    """
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, paths=embeddings.paths, vectors=embeddings.vectors)


def read_embeddings(path: str | os.PathLike[str]) -> Embeddings:
    """Read an embeddings file; vectors of another real type become float32.

    Raises:
        DeepRankingError: the file is no `.npz`, or holds something else; the message names the file.
        OSError: the file cannot be read.
    """
    arrays = read_arrays(path)
    try:
        missing = {"paths", "vectors"}.difference(arrays)
        if missing:
            raise DeepRankingError(
                f"expected arrays named paths and vectors, missing {' and '.join(sorted(missing))}; "
                f"found {', '.join(sorted(arrays)) or 'none'}"
            )
        vectors = checked_vectors(arrays["vectors"], "vectors")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            return Embeddings(arrays["paths"], vectors.astype(np.float32, copy=False))
    except DeepRankingError as error:
        raise DeepRankingError(f"{os.fspath(path)}: {error}") from error


def read_features(path: str | os.PathLike[str], images: Sequence[str]) -> dict[str, NDArray]:
    """Return the features of images from an `.npz` file, a matrix of len(images) rows for each name.

    The file has `paths`, text of shape (n,), and any number of matrices of n rows; a file of embeddings
    (`paths` and `vectors`) is one. Images are found by their path; more than asked for do no harm.

    Raises:
        DeepRankingError: the file is no such one, or lacks an image.
        OSError: the file cannot be read.
    """
    name = os.fspath(path)
    arrays = read_arrays(path)
    if "paths" not in arrays:
        raise DeepRankingError(f"{name}: expected an array `paths`, found {', '.join(arrays) or 'none'}")
    paths = arrays.pop("paths")
    if paths.dtype.kind != "U" or paths.ndim != 1:
        raise DeepRankingError(
            f"{name}: paths: expected text of shape (images,), found {paths.dtype} of shape {paths.shape}"
        )
    row = {str(image): number for number, image in enumerate(paths)}
    matrices = {key: values for key, values in arrays.items() if values.ndim == 2}
    if not matrices:
        raise DeepRankingError(f"{name}: expected a matrix of features beside `paths`, found none")
    missing = [image for image in images if image not in row]
    if missing:
        raise DeepRankingError(
            f"{name}: lacks {len(missing)} of {len(images)} images, the first: {missing[0]}; compute it again"
        )
    for key, values in matrices.items():
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise DeepRankingError(
                f"{name}: {key!r}: expected finite numbers, found others; compute it again"
            )
        if len(values) != len(row):
            raise DeepRankingError(
                f"{name}: {key!r} has {len(values)} rows for {len(row)} paths; compute it again"
            )
    rows = np.array([row[image] for image in images], np.int64)
    return {key: values[rows] for key, values in matrices.items()}
