"""A Mahalanobis metric learned from triplets by kernel logistic regression: convex, so without chance."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics.triplets import checked_triplets

_NEWTON_STEPS = 20


@dataclass(frozen=True)
class MahalanobisMetric:
    """The distance D(x, y) = (x - y)^T M (x - y) under which rated triplets are most likely.

    A triplet is ranked right with the probability 1 / (1 + exp(-m)), m = D(q, n) - D(q, p). M lowers the mean
    of -log of it plus `decay / 2` times |M - confidence I|^2, divided by the mean square of a triplet's pull
    (see below), so that `decay` means the same on vectors of any length. M starts as a multiple of the
    identity, so few triplets change it little; its negative eigenvalues, if any, are cut off.

    M has d (d + 1) / 2 numbers, but by the representer theorem no more unknowns than there are triplets:
    M = confidence I + sum_t a_t P_t with the pull P_t = (q - n)(q - n)^T - (q - p)(q - p)^T, and
    <P_s, P_t> needs inner products of vectors only. Newton's method finds the a_t.

    Args:
        decay: pulls M back to its start; above 0.
        confidence: of the distances as they are, above 0, where their mean is 1: the larger, the surer they
            are taken to be, and the less is learned.

    Source: kernel logistic regression (Zhu and Hastie 2005) on the linear form that a Mahalanobis distance is
    in M (as in Weinberger and Saul 2009, whose hinge is a logistic loss here).

    Example:
        >>> vectors = np.array([[0.0, 0.0], [0.0, 1.1], [1.0, 0.0]])
        >>> matrix = MahalanobisMetric(decay=1e-2).fit(vectors, np.array([[0, 1, 2]]))
        >>> float(np.linalg.norm(vectors[1] @ matrix)) < float(np.linalg.norm(vectors[2] @ matrix))
        True
    """

    decay: float = 1e-4
    confidence: float = 6.0

    def __post_init__(self) -> None:
        expect("decay", self.decay > 0, "a number above 0", self.decay)
        expect("confidence", self.confidence > 0, "a number above 0", self.confidence)

    def fit(
        self, vectors: NDArray[Any], triplets: NDArray[np.integer], size: int | None = None
    ) -> NDArray[np.float64]:
        """Learn A with A A^T = M, columns by falling eigenvalue.

        Args:
            vectors: (images, d).
            triplets: (t, 3) rows of query, positive and negative. Time grows with the cube of t.
            size: columns to keep; None keeps all d.

        Returns:
            (d, size) float64; `vectors @ A` are the embeddings.

        Raises:
            DeepRankingError: no such rows, a size beyond d, or vectors that are all the same.
        """
        vectors = np.asarray(vectors, np.float64)
        triplets = checked_triplets(triplets, len(vectors))
        width = vectors.shape[1]
        size = width if size is None else size
        expect("size", 1 <= size <= width, f"1 to {width}, the length of the vectors", size)
        query, positive, negative = (vectors[rows] for rows in triplets.T)
        away, near = query - negative, query - positive
        distances = np.square(away).sum(1), np.square(near).sum(1)
        scale = float(np.mean(distances))
        if not scale > 0:
            raise DeepRankingError("metric: the vectors of the triplets are all the same")
        weights = self._weights(away / scale**0.5, near / scale**0.5)
        matrix = (away.T * weights) @ away - (near.T * weights) @ near
        values, axes = np.linalg.eigh(matrix / scale + self.confidence * np.eye(width))
        chosen = np.argsort(-values)[:size]
        return axes[:, chosen] * np.sqrt(np.maximum(values[chosen], 0) / scale)

    def _weights(self, away: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a_t, for differences whose mean square length is 1."""
        kernel = np.square(away @ away.T) - np.square(away @ near.T)
        kernel += np.square(near @ near.T) - np.square(near @ away.T)
        strength = float(np.trace(kernel)) / len(kernel)
        kernel /= strength
        start = self.confidence * (np.square(away).sum(1) - np.square(near).sum(1))
        found, count = np.zeros(len(kernel)), len(kernel)

        def loss(found: NDArray[np.float64], moved: NDArray[np.float64]) -> float:
            return float(np.logaddexp(0, -start - moved).mean() + self.decay / 2 * found @ moved)

        moved, best = np.zeros(count), loss(found, np.zeros(count))
        for _ in range(_NEWTON_STEPS):
            wrong = 0.5 - 0.5 * np.tanh((start + moved) / 2)
            root = np.sqrt(np.maximum(wrong * (1 - wrong) / count, 1e-12))
            system = root[:, None] * kernel * root + self.decay * np.eye(count)
            step = root * np.linalg.solve(system, root * moved + wrong / (count * root)) - found
            shift, length = kernel @ step, 1.0
            # Far from the minimum a whole step can lead uphill.
            while loss(found + length * step, moved + length * shift) > best and length > 1e-6:
                length /= 2
            found, moved = found + length * step, moved + length * shift
            before, best = best, loss(found, moved)
            if before - best <= 1e-9 * before:
                break
        return found / strength
