"""What may be searched by, told apart and checked."""

import hashlib
import io
import numbers
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from deep_ranking.containers import is_contained
from deep_ranking.errors import DeepRankingError, expect, reason
from deep_ranking.files import as_on_disk, file_hash, read_open

Query = Any
"""A path, a PIL image, an image's encoded bytes or an open file of them, a vector, or several of these."""

_PNG_MODES = {"1", "I;16", "L", "LA", "P", "RGB", "RGBA"}


class QueryImage(NamedTuple):
    """An image that is searched by.

    Attributes:
        name: for people to read; of a file, its path.
        image: what the embedder takes.
        content: the content hash; None for a path where there is no file, which may be in the index.
    """

    name: str
    image: str | bytes
    content: bytes | None


def several(query: Query) -> list[Any]:
    """Return one query, or several, as a list.

    Raises:
        DeepRankingError: there is none.
    """
    one = isinstance(query, (str, bytes, bytearray, memoryview, os.PathLike, np.ndarray))
    one = one or hasattr(query, "save") or hasattr(query, "read")
    if one or not isinstance(query, Iterable) or _is_vector(query):
        return [query]
    many = list(query)
    if not many:
        raise DeepRankingError("expected at least one query image, found none")
    return many


def read_query(query: Any, dimension: int) -> np.ndarray | QueryImage:
    """Tell a vector, (dimension,) float32, from an image, and read what is known of the image.

    Raises:
        DeepRankingError: it is neither; the vector has other coordinates.
    """
    if isinstance(query, np.ndarray):
        if query.ndim == 1 or query.shape == (1, dimension):  # what `encode` gives of one image
            return checked_vectors(np.atleast_2d(query), dimension)[0]
        instead = {2: "; search_batch takes many", 3: "; of pixels, PIL.Image.fromarray(array)"}
        told = instead.get(query.ndim, "")
        raise DeepRankingError(f"expected a vector of one axis, found the shape {query.shape}{told}")
    if _is_vector(query):
        return checked_vectors([query], dimension)[0]
    if isinstance(query, (str, os.PathLike)):
        name = as_on_disk(os.fsdecode(query))
        return QueryImage(name, name, file_hash(name) if Path(name).is_file() or is_contained(name) else None)
    content = _as_png(query) if hasattr(query, "save") else query
    if hasattr(query, "read"):
        content = read_open(query, "query: ")
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise DeepRankingError(
            "query: expected a path, a PIL image, an image's encoded bytes, a vector of "
            f"{dimension} coordinates, or a list of these, found {type(query).__name__}"
        )
    return QueryImage("the image", bytes(content), hashlib.sha256(content).digest())


def checked_vectors(vectors: Any, dimension: int) -> np.ndarray:
    """Return vectors as (n, dimension) float32, in one piece.

    Raises:
        DeepRankingError: they are no numbers, of another dimension, or not finite.
    """
    try:
        given = np.asarray(vectors)
    except ValueError:  # they differ in length
        given = np.asarray(None)
    if given.dtype.kind not in "fiub":
        raise DeepRankingError(
            f"expected vectors of {dimension} coordinates, all numbers, found {repr(vectors)[:60]}"
        )
    with np.errstate(over="ignore"):  # it gives infinity, which is told below
        matrix = np.ascontiguousarray(np.atleast_2d(given.astype(np.float32)))
    if given.shape[:1] == (0,):
        return np.zeros((0, dimension), np.float32)
    if matrix.ndim != 2 or matrix.shape[1] != dimension:
        raise DeepRankingError(f"expected vectors of {dimension} coordinates, found the shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        finite = np.isfinite(matrix).all(axis=1)
        number = int(np.argmin(finite))
        raise DeepRankingError(f"expected finite coordinates, found NaN or infinity in vector {number}")
    return matrix


def mean_query(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean as (1, dimension) float32, scaled back to length 1 if all have length 1."""
    if len(vectors) == 1:
        return vectors[0][None]
    mean = np.mean(vectors, axis=0, keepdims=True)
    length = np.linalg.norm(mean)
    if length and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        mean /= length
    return mean.astype(np.float32)


def texts(name: str, values: Any) -> list[str]:
    """Return a list of texts as one.

    Raises:
        DeepRankingError: it is none; a single text, whose letters would be taken for texts, is none either.
    """
    several = isinstance(values, Iterable) and not isinstance(values, str | bytes)
    expect(name, several, "a list of texts", values)
    found = list(values)
    for value in found:
        expect(name, isinstance(value, str), "a list of texts", value)
    return found


def check_metadata(metadata: Any) -> None:
    """Raise DeepRankingError unless all that is to be kept with an index is text, by names that are."""
    expect("metadata", isinstance(metadata, Mapping | None), "texts by name", metadata)
    for name, value in (metadata or {}).items():
        expect(f"metadata {name}", isinstance(name, str) and isinstance(value, str), "a text", value)


def _is_vector(query: Any) -> bool:
    sequence = isinstance(query, (list, tuple)) and len(query) > 0
    return sequence and all(isinstance(number, numbers.Real) for number in query)


def _as_png(picture: Any) -> bytes:
    """Return a PIL image as it would lie in a file, without loss, and turned as its camera says."""
    file = io.BytesIO()
    try:
        plain = picture if picture.mode in _PNG_MODES else picture.convert("RGB")
        plain.save(file, "PNG", compress_level=1, exif=picture.getexif())
    except (AttributeError, OSError, TypeError, ValueError) as error:
        raise DeepRankingError(
            f"query: expected a PIL image, found {type(picture).__name__} ({reason(error)})"
        ) from error
    return file.getvalue()


class Embedder(Protocol):
    """What turns images into vectors: a network, or anything else."""

    @property
    def dimension(self) -> int:
        """The number of coordinates of a vector."""

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the vectors would."""

    def embed(
        self, images: Sequence[Any], /, *, quiet: bool = True
    ) -> tuple[np.ndarray, Sequence[tuple[Any, Exception]]]:
        """Return (n, dimension) float32 of the readable images, and `(image, error)` of the others.

        An image is a path or its encoded bytes.
        """


EmbedderOrMaker = Embedder | Callable[[], Embedder]


def check_embedder(value: Any) -> None:
    """Raise DeepRankingError unless this is an embedder, or a function or a class that makes one."""
    if not (callable(value) or hasattr(value, "embed")):
        raise DeepRankingError(
            f"expected a loaded model, or a function that loads one, found {type(value).__name__}"
        )


def made(embedder: EmbedderOrMaker) -> Embedder:
    """Return the embedder, made now if it is a function or a class that makes one.

    Raises:
        DeepRankingError: it is neither, or makes none.
    """
    found: Any = embedder
    if callable(found) and (isinstance(found, type) or not hasattr(found, "embed")):
        found = found()
    check_embedder(found)
    return found  # type: ignore[no-any-return]
