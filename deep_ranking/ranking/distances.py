"""Distances between embeddings, as Keras ops with a finite gradient everywhere."""

from typing import Any

from keras import ops


def squared_euclidean(a: Any, b: Any) -> Any:
    """Return the sum of squared differences over the last axis, the paper's distance (its equation 1).

    Args:
        a: (..., d) float.
        b: (..., d) float.

    Returns:
        (...), 0 or more; at most 4 between unit vectors.

    Example:
        >>> from keras import ops
        >>> float(squared_euclidean(ops.array([3.0, 0.0]), ops.array([0.0, 4.0])))
        25.0
    """
    return ops.sum(ops.square(a - b), axis=-1)


def euclidean(a: Any, b: Any) -> Any:
    """Return the square root of `squared_euclidean`, the distance of the blog and the course.

    Where both are equal the root has no derivative; its gradient there is taken as 0.

    Returns:
        (...), 0 or more; at most 2 between unit vectors.

    Example:
        >>> from keras import ops
        >>> float(euclidean(ops.array([3.0, 0.0]), ops.array([0.0, 4.0])))
        5.0
    """
    squared = squared_euclidean(a, b)
    # Both branches of `where` are differentiated, so the root must not see a 0 in either.
    apart = squared > 0
    return ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)


DISTANCES = {"euclidean": euclidean, "squared_euclidean": squared_euclidean}
