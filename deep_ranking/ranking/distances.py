"""Distances between embeddings: each once, as a network learns with it and as it is measured.

Loss, mining, watched metrics and validation share the object. A new distance is one call of
`register_distance`; everything else finds it by its name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from deep_ranking.errors import DeepRankingError, expect

_BLOCK = 2**20  # numbers of a side worked on at once: 8 MiB in float64


class Margin(NamedTuple):
    """By how much the positive shall be nearer, and in which distance."""

    gap: float
    distance: str


PAPER = Margin(0.2, "squared_euclidean")
"""The paper's distance; it does not say the gap. (Why 0.2: docs/experiments.md.)"""
BLOG = Margin(1.0, "euclidean")
"""What the blog's code trained with."""


@dataclass(frozen=True)
class Distance:
    """D(a, b), a number of 0 or more for each pair, in two forms that agree.

    Args:
        name: by which it is known.
        tensors: of Keras tensors (..., d) and (..., d), which broadcast, gives (...); differentiable.
        arrays: of float64 arrays (n, d) and (n, d) gives (n,).
    """

    name: str
    tensors: Callable[[Any, Any], Any]
    arrays: Callable[[Any, Any], Any]

    def __call__(self, a: Any, b: Any) -> Any:
        """Return D of Keras tensors, (...)."""
        return self.tensors(a, b)

    def of_pairs(self, embeddings: Any) -> Any:
        """Return D of each pair of a batch of embeddings, (b, d) tensor -> (b, b)."""
        return self.tensors(embeddings[:, None, :], embeddings[None, :, :])

    def of_triplets(self, embeddings: Any) -> tuple[Any, Any]:
        """Return D(q, p) and D(q, n) of each triplet, (k,) and (k,).

        Args:
            embeddings: (3k, d) tensor, in the order q, p, n, q, p, n, ...

        Raises:
            DeepRankingError: the number of rows is known and no multiple of three.
        """
        from keras import ops
        from keras.backend import backend

        rows, size = embeddings.shape
        wanted = "expected rows in threes (query, positive, negative)"
        instead = "give a batch size that is a multiple of three"
        if rows is not None and rows % 3:
            raise DeepRankingError(f"{wanted}, found {rows} rows; {instead}")
        if rows is None and backend() == "tensorflow":  # known once the graph runs
            import tensorflow as tf

            whole = tf.debugging.assert_equal(tf.shape(embeddings)[0] % 3, 0, f"{wanted}; {instead}")
            with tf.control_dependencies([whole]):
                embeddings = tf.identity(embeddings)
        triplets = ops.reshape(embeddings, (-1, 3, size))
        query, positive, negative = triplets[:, 0], triplets[:, 1], triplets[:, 2]
        return self.tensors(query, positive), self.tensors(query, negative)

    def measured(self, vectors: Any, triplets: Any) -> tuple[Any, Any]:
        """Return D(q, p) and D(q, n) of triplets of vectors, float64 arrays (t,) and (t,).

        Args:
            vectors: (n, d) array, one row an image.
            triplets: (t, 3) rows of query, positive and negative.

        Raises:
            DeepRankingError: vectors that are not finite, or triplets that are no rows of them.
        """
        import numpy as np

        from deep_ranking.evaluation.metrics.triplets import checked_triplets
        from deep_ranking.vectors import checked_vectors

        vectors, triplets = checked_vectors(vectors, "vectors"), checked_triplets(triplets, len(vectors))
        found, rows = np.empty((2, len(triplets))), max(1, _BLOCK // vectors.shape[1])
        for start in range(0, len(triplets), rows):
            block = slice(start, start + rows)
            query, *others = (vectors[column].astype(np.float64) for column in triplets[block].T)
            found[:, block] = [self.arrays(query, other) for other in others]
        return found[0], found[1]


DISTANCES: dict[str, Distance] = {}
"""By name; `register_distance` adds to them."""


def register_distance(
    name: str, tensors: Callable[[Any, Any], Any], arrays: Callable[[Any, Any], Any]
) -> Distance:
    """Make a distance known by a name, to losses, settings and the flag --distance; see `Distance`.

    Raises:
        DeepRankingError: the name is another's already.

    Example:
        >>> from keras import ops
        >>> taxi = register_distance(
        ...     "taxi",
        ...     lambda a, b: ops.sum(ops.abs(a - b), axis=-1),
        ...     lambda a, b: abs(a - b).sum(axis=-1),
        ... )
        >>> float(taxi(ops.array([3.0, 0.0]), ops.array([0.0, 4.0])))
        7.0
        >>> del DISTANCES["taxi"]
    """
    expect("distance", name not in DISTANCES, f"a name besides {', '.join(DISTANCES)}", name)
    DISTANCES[name] = Distance(name, tensors, arrays)
    return DISTANCES[name]


def distance_named(name: str) -> Distance:
    """Return a registered distance.

    Raises:
        DeepRankingError: there is none of that name.
    """
    expect("distance", name in DISTANCES, f"one of {', '.join(DISTANCES)}", name)
    return DISTANCES[name]


def _squared(a: Any, b: Any) -> Any:
    from keras import ops

    return ops.sum(ops.square(a - b), axis=-1)


def _squared_arrays(a: Any, b: Any) -> Any:
    import numpy as np

    difference = a - b
    return np.einsum("ij,ij->i", difference, difference)


def _root(a: Any, b: Any) -> Any:
    """Where both are equal the root has no derivative; its gradient there is taken as 0."""
    from keras import ops

    squared = _squared(a, b)
    # Both branches of `where` are differentiated, so the root must not see a 0 in either.
    apart = squared > 0
    return ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)


euclidean = register_distance("euclidean", _root, lambda a, b: _squared_arrays(a, b) ** 0.5)
"""The distance of the blog and the course; at most 2 between unit vectors.

Example:
    >>> from keras import ops
    >>> float(euclidean(ops.array([3.0, 0.0]), ops.array([0.0, 4.0])))
    5.0
"""

squared_euclidean = register_distance("squared_euclidean", _squared, _squared_arrays)
"""The paper's distance (its equation 1), the sum of squared differences; at most 4 between unit vectors."""
