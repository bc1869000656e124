"""What is watched while training: is the ranking right, and has the network collapsed?"""

from typing import Any

import keras
from keras import ops

from deep_ranking.errors import expect
from deep_ranking.ranking.distances import distance_named
from deep_ranking.ranking.mining import mined

_OF_TRIPLETS = {
    "similarity_precision": lambda gap, positive, negative: ops.cast(positive < negative, "float32"),
    "active": lambda gap, positive, negative: ops.cast(gap + positive - negative > 0, "float32"),
    "positive_distance": lambda gap, positive, negative: positive,
    "negative_distance": lambda gap, positive, negative: negative,
}
"""Gap, D(q, p) and D(q, n) of triplets in, a value of each out."""

_NAMES = (*_OF_TRIPLETS, "spread")


@keras.saving.register_keras_serializable("deep_ranking")
class RankingMetric(keras.metrics.MeanMetricWrapper):
    """One of the numbers that `ranking_metrics` and `mining_metrics` give, over the batches of an epoch.

    Args:
        name: which; see `ranking_metrics`.
        gap, distance: as in the loss.
        labelled: batches are of labelled images, not of triplets; see `mining_metrics`.

    Raises:
        DeepRankingError: another name.
    """

    def __init__(self, name: str, gap: float, distance: str, labelled: bool = False, dtype: Any = None):
        super().__init__(self.values, name=name, dtype=dtype)
        expect("name", name in _NAMES, f"one of {', '.join(_NAMES)}", name)
        self.gap, self.distance, self.labelled = gap, distance, labelled
        self.measure = distance_named(distance)

    def values(self, labels: Any, embeddings: Any) -> Any:
        """Return the values of a batch, whose mean counts."""
        if self.name == "spread":
            return ops.reshape(ops.sqrt(ops.sum(ops.var(embeddings, axis=0))), (1,))
        watched = _OF_TRIPLETS[self.name]
        if not self.labelled:
            return watched(self.gap, *self.measure.of_triplets(embeddings))
        distances = self.measure.of_pairs(embeddings)
        counts = mined(distances, ops.reshape(labels, (-1,)), self.gap, "all")
        found = watched(self.gap, distances[:, :, None], distances[:, None, :])
        total = ops.sum(counts * ops.cast(found, counts.dtype))
        return ops.reshape(total / ops.maximum(ops.sum(counts), 1.0), (1,))

    def get_config(self) -> dict[str, Any]:
        own = {"gap": self.gap, "distance": self.distance, "labelled": self.labelled}
        return {"name": self.name, "dtype": self.dtype, **own}


def ranking_metrics(gap: float, distance: str) -> list[keras.metrics.Metric]:
    """Return the Keras metrics of a batch of triplets; each sees (3k, d) embeddings as the loss does.

    - similarity_precision: share of triplets whose positive is nearer than the negative; a tie is wrong.
    - active: share of triplets with a loss above 0. At 0 nothing is learned any more.
    - positive_distance, negative_distance: means over the triplets.
    - spread: root of the summed variances of the embedding's coordinates over the batch, 0..1 for unit
      vectors. At 0 all images have one embedding: the network has collapsed.
    """
    return [RankingMetric(name, gap, distance) for name in _NAMES]


def mining_metrics(gap: float, distance: str) -> list[keras.metrics.Metric]:
    """Return the same metrics for a batch of labelled images, (b, d) embeddings and (b, 1) labels.

    They are taken over all triplets that the labels make, whichever of them the loss counts.
    """
    return [RankingMetric(name, gap, distance, labelled=True) for name in _NAMES]
