"""The ranking loss: the triplet hinge over given triplets, or over those that are mined in a batch."""

from typing import Any

import keras
from keras import ops

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.ranking import MINING
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


def mined(distances: Any, labels: Any, gap: float, mining: str) -> Any:
    """Return which triplets of a batch count: 1 at [q, p, n] for those that do, 0 elsewhere.

    A triplet has a query q, a positive p of its label, not itself, and a negative n of another label.

    - "all": each counts.
    - "semi-hard": those with D(q, p) < D(q, n) < D(q, p) + gap, ranked rightly but within the gap (Schroff,
      Kalenichenko and Philbin, "FaceNet", 2015).
    - "hard": for each query the farthest positive and the nearest negative, the first where several are
      (Hermans, Beyer and Leibe, "In defense of the triplet loss", 2017).

    Args:
        distances: (b, b) float, D of each pair.
        labels: (b,) integers.
        gap: as in the loss.
        mining: one of `MINING`.

    Returns:
        (b, b, b), of the distances' dtype; no gradient goes through it.

    Raises:
        DeepRankingError: an unknown mining.

    Example:
        >>> from keras import ops
        >>> distances = ops.array([[0.0, 1.0, 3.0], [1.0, 0.0, 1.5], [3.0, 1.5, 0.0]])
        >>> int(ops.sum(mined(distances, ops.array([0, 0, 1]), gap=1.0, mining="semi-hard")))
        1
    """
    expect("mining", mining in MINING, f"one of {', '.join(MINING)}", mining)
    distances = ops.stop_gradient(distances)
    places = ops.arange(ops.shape(distances)[0])
    same = labels[:, None] == labels[None, :]
    positive, negative = same & (places[:, None] != places[None, :]), ~same
    if mining == "hard":
        farthest = ops.argmax(ops.where(positive, distances, -1.0), axis=1)
        nearest = ops.argmin(ops.where(negative, distances, float("inf")), axis=1)
        positive = positive & (places[None, :] == ops.cast(farthest, places.dtype)[:, None])
        negative = negative & (places[None, :] == ops.cast(nearest, places.dtype)[:, None])
    counts = positive[:, :, None] & negative[:, None, :]
    if mining == "semi-hard":
        margin = distances[:, None, :] - distances[:, :, None]
        counts = counts & (margin > 0) & (margin < gap)
    return ops.cast(counts, distances.dtype)


@keras.saving.register_keras_serializable("deep_ranking")
class MinedTripletLoss(TripletHingeLoss):
    """The same over the triplets found in a batch of distinct images.

    The mean of max(0, gap + D(f(q), f(p)) - D(f(q), f(n))) over the triplets that count, see `mined`; 0
    where none does. Give it batches of P classes with K images each (`triplets.uniform`). Memory
    grows with the cube of the batch, and with its square times the size of an embedding.

    Args:
        gap: above 0; in the units of the distance.
        distance: a name from `distances.DISTANCES`.
        mining: one of `MINING`, see `mined`.

    Call arguments:
        y_true: (b,) or (b, 1) labels, integers.
        y_pred: (b, d) embeddings.

    Raises:
        DeepRankingError: a gap not above 0, an unknown distance or mining.

    Example:
        >>> from keras import ops
        >>> loss = MinedTripletLoss(gap=1.0, mining="hard")
        >>> float(loss(ops.array([0, 0, 1]), ops.array([[0.0], [1.0], [3.0]])))
        0.0
    """

    def __init__(
        self,
        gap: float = BLOG.gap,
        distance: str = BLOG.distance,
        mining: str = "semi-hard",
        name: str = "mined_triplet_hinge",
        **kwargs: Any,
    ):
        super().__init__(gap, distance, name, **kwargs)
        expect("mining", mining in MINING, f"one of {', '.join(MINING)}", mining)
        self.mining = mining

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the mean hinge, a scalar."""
        distances = self.measure.of_pairs(y_pred)
        # Labels come as floats of the loss's dtype: whole numbers below 2^24 are exact in float32.
        counts = mined(distances, ops.reshape(y_true, (-1,)), self.gap, self.mining)
        hinge = ops.relu(self.gap + distances[:, :, None] - distances[:, None, :])
        return ops.sum(counts * hinge) / ops.maximum(ops.sum(counts), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mining": self.mining}
