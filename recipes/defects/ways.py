"""The right way, and each defect: a way that differs from it in one thing."""

from dataclasses import dataclass
from typing import Any

from keras import ops

from deep_ranking import TripletHingeLoss
from deep_ranking.ranking.loss import triplet_distances


class Clipped(TripletHingeLoss):
    """The blog clips embeddings to [epsilon, 1 - epsilon] first, as Keras's cross entropies do shares."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the hinge of each triplet of clipped embeddings."""
        return super().call(y_true, ops.clip(y_pred, 1e-7, 1 - 1e-7))


class OfMeans(TripletHingeLoss):
    """The blog takes the hinge once, of the batch's mean."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one hinge, (1,)."""
        positive, negative = triplet_distances(y_pred, self.distance)
        return ops.relu(self.gap + ops.mean(positive - negative, keepdims=True))


class ClippedOfMeans(Clipped, OfMeans):
    """Both."""


@dataclass(frozen=True)
class Way:
    """How a network learns; as it stands, the right way.

    Attributes:
        loss: called with gap and distance.
        shuffled: triplets come in a new order in each epoch; else in the file's, class after class.
        preprocessing: see `NetworkSettings`.
        low_resolution: see `NetworkSettings`; "strided" takes every 4th and 8th pixel for their mean.
        dropout: share of units dropped behind frozen features.
        learned: else frozen features are measured as they are.
        against: the way that it is compared with.
    """

    name: str
    loss: type[TripletHingeLoss] = TripletHingeLoss
    gap: float = 0.2
    distance: str = "squared_euclidean"
    shuffled: bool = True
    preprocessing: str = "backbone"
    low_resolution: str = "paper"
    dropout: float = 0.4
    learned: bool = True
    against: str = "the right way"


RIGHT = Way("the right way")
_PIXELS = Way("pixels scaled to 0..1", preprocessing="unit")
_ANYWHERE = [
    RIGHT,
    Way("embeddings clipped to 0..1", Clipped),
    Way("hinge of the batch's mean", OfMeans),
    Way("euclidean distance, gap 1", gap=1.0, distance="euclidean"),
    Way("euclidean distance, gap 0.2", distance="euclidean"),
    Way("squared distance, gap 1", gap=1.0),
    Way("triplets in the file's order", shuffled=False),
    _PIXELS,
]
_ALL = Way("all that the blog did", ClippedOfMeans, 1.0, "euclidean", False, "unit", "blog", 0.6)
FROM_RANDOM_WEIGHTS = [
    *_ANYWHERE,
    Way("every 4th, 8th pixel, not their mean", low_resolution="strided"),
    Way("the blog's low-resolution paths", low_resolution="blog"),
    Way("no low-resolution paths", low_resolution="none"),
    _ALL,
]
ON_FROZEN_FEATURES = [
    *_ANYWHERE,
    Way("dropout 0.6", dropout=0.6),
    _ALL,
    Way("nothing learned", learned=False),
    Way(
        "nothing learned, pixels scaled to 0..1",
        preprocessing="unit",
        learned=False,
        against="nothing learned",
    ),
]
