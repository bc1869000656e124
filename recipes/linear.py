"""A linear embedding learned from triplets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking import DeepRankingError, checked_triplets, expect


@dataclass(frozen=True)
class LinearEmbedding:
    """A matrix A with |A^T q - A^T p|^2 + gap < |A^T q - A^T n|^2 for as many triplets as possible.

    The mean triplet hinge loss is lowered by Adam over mini-batches. A starts as the identity, so vectors
    that were good before are no worse at the start; `decay` pulls it back there.

    Args:
        gap: of the hinge, in squared distance.
        learning_rate: Adam's.
        decay: weight of |A - I|^2 in the loss.
        epochs: how often each triplet is seen.
        batch_size: triplets a step.
        seed: of their order.

    Source: the loss is Wang et al. 2014, eq. 3, with a linear map for the network.
    """

    gap: float = 0.2
    learning_rate: float = 1e-3
    decay: float = 1e-3
    epochs: int = 10
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.gap > 0 and self.learning_rate > 0 and self.decay >= 0):
            raise DeepRankingError(
                f"linear embedding: expected a gap and a learning rate above 0, found {self}"
            )
        if self.epochs < 1 or self.batch_size < 1:
            raise DeepRankingError(f"linear embedding: expected 1 epoch and triplet or more, found {self}")
        expect("seed", self.seed >= 0, "0 or more", self.seed)

    def fit(self, vectors: NDArray[Any], triplets: NDArray[np.integer]) -> NDArray[np.float64]:
        """Learn A.

        Args:
            vectors: (images, d).
            triplets: (t, 3) rows of query, positive and negative.

        Returns:
            (d, d) float64; `vectors @ A` are the embeddings.
        """
        vectors = np.asarray(vectors, np.float64)
        triplets = checked_triplets(triplets, len(vectors))
        rng = np.random.default_rng(self.seed)
        start = np.eye(vectors.shape[1])
        matrix, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
        step = 0
        for _ in range(self.epochs):
            order = rng.permutation(len(triplets))
            for batch in np.split(order, range(self.batch_size, len(order), self.batch_size)):
                step += 1
                gradient = self._gradient(vectors, triplets[batch], matrix) + 2 * self.decay * (
                    matrix - start
                )
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient**2 - square)
                rate = self.learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                matrix -= rate * mean / (np.sqrt(square) + 1e-8)
        return matrix

    def _gradient(self, vectors: np.ndarray, triplets: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        query, positive, negative = (vectors[rows] for rows in triplets.T)
        near, far = query - positive, query - negative
        mapped_near, mapped_far = near @ matrix, far @ matrix
        loss = self.gap + (mapped_near**2).sum(1) - (mapped_far**2).sum(1)
        active = (loss > 0)[:, None] / len(loss)
        return 2 * (near.T @ (active * mapped_near) - far.T @ (active * mapped_far))
