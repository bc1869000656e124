"""The ranking loss: the triplet hinge over given triplets."""

from typing import Any

import keras
from keras import ops

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.ranking.distances import BLOG, distance_named


@keras.saving.register_keras_serializable("deep_ranking")
class TripletHingeLoss(keras.losses.Loss):
    """The positive shall be nearer to the query than the negative is, by the gap.

    l(q, p, n) = max(0, gap + D(f(q), f(p)) - D(f(q), f(n))), one value a triplet, then averaged over the
    batch. (The hinge of the batch's mean, as the blog has it, lets easy triplets hide violated ones.)

    Args:
        gap: above 0; in the units of the distance.
        distance: a name from `distances.DISTANCES`: "euclidean" (the blog), "squared_euclidean" (the paper).

    Call arguments:
        y_true: ignored; Keras wants one, (3k,) of anything.
        y_pred: (3k, d) embeddings: query, positive, negative of the first triplet, then of the next.

    Raises:
        DeepRankingError: a gap not above 0, an unknown distance, rows that are no multiple of three, weights.

    `fit` on arrays shuffles their rows, which takes triplets apart: give it `shuffle=False`, or batches.

    Source: Wang et al. 2014, equation 3.

    Example:
        >>> from keras import ops
        >>> embeddings = ops.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> loss = TripletHingeLoss(gap=2.0, distance="squared_euclidean")
        >>> float(loss(ops.zeros(3), embeddings))
        0.0
    """

    def __init__(
        self, gap: float = BLOG.gap, distance: str = BLOG.distance, name: str = "triplet_hinge", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        expect("gap", gap > 0, "a number above 0", gap)
        self.gap, self.distance, self.measure = gap, distance, distance_named(distance)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the loss; weights are of images, and what is added up here are triplets.

        Raises:
            DeepRankingError: there are weights.
        """
        if sample_weight is not None:
            raise DeepRankingError(
                "sample_weight, class_weight: expected none, since the loss is of triplets, not of images; "
                "name a triplet that shall count more in several lines of the triplet file"
            )
        return super().__call__(y_true, y_pred)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the hinge of each triplet, (k,)."""
        positive, negative = self.measure.of_triplets(y_pred)
        return ops.relu(self.gap + positive - negative)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gap": self.gap, "distance": self.distance}
