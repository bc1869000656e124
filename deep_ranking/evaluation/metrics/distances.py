"""Distances between pairs of vectors, taken from their differences."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError

_BLOCK = 2**22  # numbers worked on at once: 32 MiB in float64
_LARGEST = 1e100  # squares of anything smaller can be summed in float64


def squared_distances(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return the squared Euclidean distance of each pair of rows: `sum((first[i] - second[i]) ** 2)`.

    The differences are taken in float64 before they are squared, so small distances keep all their digits;
    `|a|^2 + |b|^2 - 2ab` loses them to cancellation.

    Args:
        first: shape (n, d), any real number type.
        second: shape (n, d), or (d,) for one vector that is compared with all.

    Returns:
        Shape (n,), float64, at least 0.

    Example:
        >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([0.0, 0.0]))
        array([ 0., 25.])
    """
    result = np.empty(len(first))
    rows = max(1, _BLOCK // max(1, first.shape[1]))
    for start in range(0, len(first), rows):
        block = slice(start, start + rows)
        difference = np.subtract(
            first[block], second[block] if second.ndim == 2 else second, dtype=np.float64
        )
        np.einsum("ij,ij->i", difference, difference, out=result[block])
    return result


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
