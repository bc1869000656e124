"""The embeddings file: `.npz` with `paths` and `vectors`, ours or from elsewhere. Nothing is unpickled."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from deep_ranking.arrays import read_arrays
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.distances import checked_vectors
from deep_ranking.files import written_whole


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
        if self.paths.dtype.kind != "U" or self.paths.ndim != 1:
            raise DeepRankingError(
                f"paths: expected text of shape (images,), found {self.paths.dtype} of shape "
                f"{self.paths.shape}; make them with np.array(list_of_paths, dtype=str)"
            )
        checked_vectors(self.vectors, "vectors")
        if self.vectors.dtype != np.float32:
            raise DeepRankingError(f"vectors: expected float32, found {self.vectors.dtype}")
        if len(self.paths) != len(self.vectors):
            raise DeepRankingError(
                f"expected as many paths as vectors, found {len(self.paths)} and {len(self.vectors)}"
            )
        if "" in self._row_of:
            raise DeepRankingError(f"paths: row {self._row_of['']} is empty; every image needs a name")
        if len(self._row_of) != len(self.paths):
            row = next(row for row, path in enumerate(self.paths) if self._row_of[path] != row)
            raise DeepRankingError(
                f"paths: {str(self.paths[row])!r} stands more than once; expected each image once"
            )

    def rows(self, paths: Iterable[str]) -> NDArray[np.intp]:
        """Return the row of each path.

        Raises:
            DeepRankingError: an image is not among them.
        """
        try:
            return np.array([self._row_of[path] for path in paths], np.intp)
        except KeyError as error:
            raise DeepRankingError(
                f"no embedding of {error.args[0]!r} among {len(self.paths)} images such as "
                f"{str(self.paths[0])!r}; expected the paths as the data set and the triplets write them"
            ) from None

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
