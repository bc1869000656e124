"""What is watched while training: is the ranking right, and has the network collapsed?"""

from typing import Any

import keras
from keras import ops

from deep_ranking.ranking.loss import triplet_distances


def ranking_metrics(gap: float, distance: str) -> list[keras.metrics.Metric]:
    """Return the Keras metrics of a batch of triplets; each sees (3k, d) embeddings as the loss does.

    - similarity_precision: share of triplets whose positive is nearer than the negative; a tie is wrong.
    - active: share of triplets with a loss above 0. At 0 nothing is learned any more.
    - positive_distance, negative_distance: means over the triplets.
    - spread: root of the summed variances of the embedding's coordinates over the batch, 0..1 for unit
      vectors. At 0 all images have one embedding: the network has collapsed.
    """

    def similarity_precision(_: Any, embeddings: Any) -> Any:
        positive, negative = triplet_distances(embeddings, distance)
        return ops.cast(positive < negative, "float32")

    def active(_: Any, embeddings: Any) -> Any:
        positive, negative = triplet_distances(embeddings, distance)
        return ops.cast(gap + positive - negative > 0, "float32")

    def positive_distance(_: Any, embeddings: Any) -> Any:
        return triplet_distances(embeddings, distance)[0]

    def negative_distance(_: Any, embeddings: Any) -> Any:
        return triplet_distances(embeddings, distance)[1]

    def spread(_: Any, embeddings: Any) -> Any:
        return ops.reshape(ops.sqrt(ops.sum(ops.var(embeddings, axis=0))), (1,))

    return [
        keras.metrics.MeanMetricWrapper(watched, name=watched.__name__)
        for watched in (similarity_precision, active, positive_distance, negative_distance, spread)
    ]
