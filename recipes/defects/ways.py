"""The right way, and each defect: a way that differs from it in one thing."""

from dataclasses import dataclass
from typing import Any

from keras import ops

from deep_ranking import TripletHingeLoss


class Clipped(TripletHingeLoss):
    """The blog clips embeddings to [epsilon, 1 - epsilon] first, as Keras's cross entropies do shares."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the hinge of each triplet of clipped embeddings."""
        return super().call(y_true, ops.clip(y_pred, 1e-7, 1 - 1e-7))


class OfMeans(TripletHingeLoss):
    """The blog takes the hinge once, of the batch's mean."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one hinge, (1,)."""
        positive, negative = self.measure.of_triplets(y_pred)
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
        low_resolution: see `NetworkSettings`.
        strided: every 4th and 8th pixel is taken instead of their mean.
        dropout: share of units dropped behind frozen features.
        learned: else frozen features are measured as they are.
    """

    name: str
    loss: type[TripletHingeLoss] = TripletHingeLoss
    gap: float = 0.2
    distance: str = "squared_euclidean"
    shuffled: bool = True
    preprocessing: str = "backbone"
    low_resolution: str = "paper"
    strided: bool = False
    dropout: float = 0.4
    learned: bool = True


RIGHT = Way("the right way")
LEARNED = [
    RIGHT,
    Way("embeddings clipped to 0..1", Clipped),
    Way("hinge of the batch's mean", OfMeans),
    Way("euclidean distance, gap 1", gap=1.0, distance="euclidean"),
    Way("euclidean distance, gap 0.2", distance="euclidean"),
    Way("squared distance, gap 1", gap=1.0),
    Way("triplets in the file's order", shuffled=False),
    Way("pixels scaled to 0..1", preprocessing="unit"),
    Way("every 4th, 8th pixel, not their mean", strided=True),
    Way("the blog's low-resolution paths", low_resolution="blog"),
    Way("all that the blog did", ClippedOfMeans, 1.0, "euclidean", False, "unit", "blog", dropout=0.6),
]
OF_FEATURES = [
    Way("dropout 0.6", dropout=0.6),
    Way("nothing learned", learned=False),
    Way("nothing learned, pixels scaled to 0..1", preprocessing="unit", learned=False),
]
"""What there is beyond these where features are frozen."""
