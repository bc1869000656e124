"""Which triplets of a batch of labelled images count, and the ranking loss over these."""

from typing import Any

import keras
from keras import ops

from deep_ranking.errors import expect
from deep_ranking.ranking import MINING
from deep_ranking.ranking.distances import BLOG
from deep_ranking.ranking.loss import TripletHingeLoss


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
    """The triplet hinge over the triplets found in a batch of distinct images.

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
