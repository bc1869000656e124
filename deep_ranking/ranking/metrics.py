"""What is watched while training: is the ranking right, and has the network collapsed?"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from deep_ranking.ranking.distances import distance_named
from deep_ranking.ranking.mining import mined

Watched = Callable[[Any, Any], Any]
"""D(q, p) and D(q, n) of triplets in, a value of each out."""


def ranking_metrics(gap: float, distance: str) -> list[keras.metrics.Metric]:
    """Return the Keras metrics of a batch of triplets; each sees (3k, d) embeddings as the loss does.

    - similarity_precision: share of triplets whose positive is nearer than the negative; a tie is wrong.
    - active: share of triplets with a loss above 0. At 0 nothing is learned any more.
    - positive_distance, negative_distance: means over the triplets.
    - spread: root of the summed variances of the embedding's coordinates over the batch, 0..1 for unit
      vectors. At 0 all images have one embedding: the network has collapsed.
    """

    measure = distance_named(distance)

    def of_triplets(watched: Watched) -> Callable[[Any, Any], Any]:
        return lambda _, embeddings: watched(*measure.of_triplets(embeddings))

    return _metrics(gap, of_triplets)


def mining_metrics(gap: float, distance: str) -> list[keras.metrics.Metric]:
    """Return the same metrics for a batch of labelled images, (b, d) embeddings and (b, 1) labels.

    They are taken over all triplets that the labels make, whichever of them the loss counts.
    """

    measure = distance_named(distance)

    def of_batch(watched: Watched) -> Callable[[Any, Any], Any]:
        def mean(labels: Any, embeddings: Any) -> Any:
            distances = measure.of_pairs(embeddings)
            counts = mined(distances, ops.reshape(labels, (-1,)), gap, "all")
            values = watched(distances[:, :, None], distances[:, None, :])
            total = ops.sum(counts * ops.cast(values, counts.dtype))
            return ops.reshape(total / ops.maximum(ops.sum(counts), 1.0), (1,))

        return mean

    return _metrics(gap, of_batch)


def _metrics(gap: float, over: Callable[[Watched], Callable[[Any, Any], Any]]) -> list[keras.metrics.Metric]:
    def spread(_: Any, embeddings: Any) -> Any:
        return ops.reshape(ops.sqrt(ops.sum(ops.var(embeddings, axis=0))), (1,))

    functions = {
        "similarity_precision": over(lambda positive, negative: ops.cast(positive < negative, "float32")),
        "active": over(lambda positive, negative: ops.cast(gap + positive - negative > 0, "float32")),
        "positive_distance": over(lambda positive, negative: positive),
        "negative_distance": over(lambda positive, negative: negative),
        "spread": spread,
    }
    return [keras.metrics.MeanMetricWrapper(function, name=name) for name, function in functions.items()]
