"""OASIS: a bilinear similarity learned online from triplets."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking import DeepRankingError, checked_triplets, expect

_BLOCK = 256
"""Triplets whose products are taken together; any number gives the same result."""


@dataclass(frozen=True)
class Oasis:
    """Passive-aggressive learning of S(q, p) = q^T W p.

    For each triplet in turn, W moves by tau q (p - n)^T, the least change that makes S(q, p) exceed S(q, n)
    by 1, with tau at most the aggressiveness. W starts as the identity.

    Args:
        aggressiveness: the paper's C.
        epochs: how often each triplet is seen.
        seed: of their order.

    Source: Chechik, Sharma, Shalit and Bengio 2010, "Large Scale Online Learning of Image Similarity
    Through Ranking", algorithm 1.
    """

    aggressiveness: float = 0.1
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.aggressiveness > 0 or self.epochs < 1:
            raise DeepRankingError(
                f"OASIS: expected an aggressiveness above 0 and 1 epoch or more, found {self}"
            )
        expect("seed", self.seed >= 0, "0 or more", self.seed)

    def fit(self, vectors: NDArray[Any], triplets: NDArray[np.integer]) -> NDArray[np.float64]:
        """Learn W.

        Within a block the updates are known by their tau alone: the score of a triplet is its score before
        the block plus the sum over earlier ones of tau times a product of two inner products. So W is
        touched once a block, by matrix products, and the result is still that of one triplet at a time.

        Args:
            vectors: (images, d).
            triplets: (t, 3) rows of query, positive and negative.

        Returns:
            (d, d) float64.
        """
        vectors = np.asarray(vectors, np.float64)
        triplets = checked_triplets(triplets, len(vectors))
        rng = np.random.default_rng(self.seed)
        weights = np.eye(vectors.shape[1])
        for _ in range(self.epochs):
            order = rng.permutation(len(triplets))
            for start in range(0, len(order), _BLOCK):
                query, positive, negative = (
                    vectors[rows] for rows in triplets[order[start : start + _BLOCK]].T
                )
                difference = positive - negative
                products = (query @ query.T) * (difference @ difference.T)
                margins = similarity(weights, query, difference)
                tau = np.zeros(len(query))
                for t in range(len(query)):
                    loss = 1 - margins[t] - products[t, :t] @ tau[:t]
                    if loss > 0 and products[t, t] > 0:
                        tau[t] = min(self.aggressiveness, loss / products[t, t])
                weights += query.T @ (tau[:, None] * difference)
        return weights


def similarity(
    weights: NDArray[np.float64], first: NDArray[Any], second: NDArray[Any]
) -> NDArray[np.float64]:
    """Return S of each pair of rows, (n,): larger is more similar; S(q, p) is not S(p, q).

    Example:
        >>> similarity(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]]))
        array([6.])
    """
    return np.einsum("ij,ij->i", first @ weights, second)
