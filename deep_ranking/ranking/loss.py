"""The ranking loss."""

from typing import Any

import keras
from keras import ops

from deep_ranking.errors import DeepRankingError, expect


@keras.saving.register_keras_serializable("deep_ranking")
class TripletHingeLoss(keras.losses.Loss):
    """The positive shall be nearer to the query than the negative is, by the gap.

    l(q, p, n) = max(0, gap + D(f(q), f(p)) - D(f(q), f(n))), one value a triplet, then averaged over the
    batch. (The hinge of the batch's mean, as the blog has it, lets easy triplets hide violated ones.)

    Args:
        gap: above 0; in the units of the distance.
        distance: "euclidean" (the blog) or "squared_euclidean" (the paper).

    Call arguments:
        y_true: ignored; Keras wants one, (3k,) of anything.
        y_pred: (3k, d) embeddings: query, positive, negative of the first triplet, then of the next.

    Raises:
        DeepRankingError: a gap not above 0, an unknown distance, or rows that are no multiple of three.

    Source: Wang et al. 2014, equation 3.

    Example:
        >>> from keras import ops
        >>> embeddings = ops.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> loss = TripletHingeLoss(gap=2.0, distance="squared_euclidean")
        >>> float(loss(ops.zeros(3), embeddings))
        0.0
    """

    def __init__(
        self, gap: float = 1.0, distance: str = "euclidean", name: str = "triplet_hinge", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        expect("gap", gap > 0, "a number above 0", gap)
        expect("distance", distance in DISTANCES, f"one of {', '.join(DISTANCES)}", distance)
        self.gap, self.distance = gap, distance

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the hinge of each triplet, (k,)."""
        positive, negative = triplet_distances(y_pred, self.distance)
        return ops.relu(self.gap + positive - negative)

    def get_config(self) -> dict[str, Any]:
        """Return gap and distance."""
        return {**super().get_config(), "gap": self.gap, "distance": self.distance}


def triplet_distances(embeddings: Any, distance: str) -> tuple[Any, Any]:
    """Return D(q, p) and D(q, n) of each triplet, (k,) and (k,).

    Args:
        embeddings: (3k, d), in the order q, p, n, q, p, n, ...
        distance: a name from `DISTANCES`.

    Raises:
        DeepRankingError: the number of rows is known and no multiple of three.
    """
    rows, size = embeddings.shape
    if rows is not None and rows % 3:
        raise DeepRankingError(
            f"expected rows in threes (query, positive, negative), found {rows} rows; "
            "give a batch size that is a multiple of three"
        )
    triplets = ops.reshape(embeddings, (-1, 3, size))
    query, positive, negative = triplets[:, 0], triplets[:, 1], triplets[:, 2]
    measure = DISTANCES[distance]
    return measure(query, positive), measure(query, negative)


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
