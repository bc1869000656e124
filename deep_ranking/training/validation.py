"""Validation on triplets of its own: no augmentation, the network in inference mode."""

from dataclasses import dataclass

import numpy as np

from deep_ranking.embedding import Embedder
from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.table import TripletTable


@dataclass(frozen=True)
class Validation:
    """Embeds each distinct image of a triplet table once and measures the ranking.

    Args:
        embedder: holds the network in training.
        table: the validation triplets.
        gap: of the loss.
        distance: of the loss.
    """

    embedder: Embedder
    table: TripletTable
    gap: float
    distance: str

    def measure(self) -> dict[str, float]:
        """Return `val_similarity_precision` (share ranked right, a tie is wrong) and `val_loss`.

        Raises:
            DeepRankingError: an image cannot be read.
        """
        vectors, failures = self.embedder.embed(self.table.images)
        if failures:
            raise DeepRankingError(f"validation: {failures[0][1]}")
        return self.ranking(vectors)

    def ranking(self, vectors: np.ndarray) -> dict[str, float]:
        """Measure given embeddings, (images, d)."""
        right, loss = 0, 0.0
        for first in range(0, len(self.table), 10_000):
            query, positive, negative = (
                vectors[column] for column in self.table.rows[first : first + 10_000].T
            )
            near, far = (np.sum((query - other) ** 2, axis=1) for other in (positive, negative))
            if self.distance == "euclidean":
                near, far = np.sqrt(near), np.sqrt(far)
            right += int(np.sum(near < far))
            loss += float(np.sum(np.maximum(0, self.gap + near - far)))
        return {"val_similarity_precision": right / len(self.table), "val_loss": loss / len(self.table)}
