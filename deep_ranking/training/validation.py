"""Validation on images of its own: no augmentation, the network in inference mode."""

from dataclasses import dataclass

import numpy as np

from deep_ranking.embedding import Embedder
from deep_ranking.evaluation.embeddings_file import Embeddings
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.metrics import similarity_precision, triplet_distances
from deep_ranking.triplets.table import TripletTable


@dataclass(frozen=True)
class Validation:
    """Embeds each distinct image of a triplet table once and measures the ranking.

    Args:
        embedder: holds the network in training.
        table: the validation triplets.
        gap: of the loss.
        distance: of the loss.
        evaluation: what else is measured; it names images by their paths.
    """

    embedder: Embedder
    table: TripletTable
    gap: float
    distance: str
    evaluation: Evaluation | None = None

    def measure(self) -> dict[str, float]:
        """Return `val_similarity_precision` (share ranked right, a tie is wrong) and `val_loss`,
        and `val_` before the name of each metric of the evaluation.

        Raises:
            DeepRankingError: an image cannot be read.
        """
        others = self.evaluation.images if self.evaluation else []
        images = list(dict.fromkeys([*self.table.images, *others]))
        vectors = self.embedder.embed_all(images)
        found = self.ranking(vectors)  # the table's images come first
        if self.evaluation:
            measured = self.evaluation.measure(Embeddings(np.array(images), vectors))
            found |= {f"val_{name}": estimate.value for name, estimate in measured.metrics.items()}
        return found

    def ranking(self, vectors: np.ndarray) -> dict[str, float]:
        """Measure given embeddings, (images, d)."""
        distances = triplet_distances(vectors, self.table.rows)
        near, far = distances if self.distance == "squared_euclidean" else map(np.sqrt, distances)
        return {
            "val_similarity_precision": float(similarity_precision(distances).mean()),
            "val_loss": float(np.maximum(0, self.gap + near - far).mean()),
        }
