"""Distances between pairs of vectors, taken from their differences."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2**22  # numbers worked on at once: 32 MiB in float64


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
