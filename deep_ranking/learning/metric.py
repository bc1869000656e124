"""A Mahalanobis metric learned from rated triplets, in time linear in them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics.triplets import checked_triplets
from deep_ranking.settings import POSITIVE, Settings, setting

_BLOCK = 2**14  # pairs looked at at once
_DENSE, _MOST_DENSE = 8, 6000  # from one pair of so many on, of no more images, all pairs are the faster


class Comparisons:
    """Triplets as a metric sees them: distances of pairs of images, each pair once.

    A triplet's pull is P_t = (q - n)(q - n)^T - (q - p)(q - p)^T; its margin under a symmetric W is <W, P_t>,
    the difference of two distances, and the gradient of a sum over triplets is X^T L X with the Laplacian L
    of a weighted graph over the images. So time is linear in triplets and in images, and of a triplet memory
    holds the numbers of its two pairs.

    Args:
        vectors: (images, d).
        triplets: (t, 3) rows of query, positive and negative.
        directions: W lives in the span of so many principal directions of the images that are named.

    Attributes:
        axes: (d, k), orthonormal columns that W is written in.
        scale: mean squared distance of a triplet's pairs; the vectors are divided by its root.
        start: (t,) margins under the identity.
        strength: mean of |P_t|^2.

    Raises:
        DeepRankingError: no such rows, or vectors that are all the same.
    """

    def __init__(self, vectors: NDArray[Any], triplets: NDArray[np.integer], directions: int | None = None):
        triplets = checked_triplets(triplets, len(vectors))
        seen, rows = np.unique(triplets, return_inverse=True)
        query, positive, negative = rows.reshape(triplets.shape).astype(np.int64).T
        given = np.asarray(vectors[seen], np.float64)
        near, far = (np.minimum(query, x) * len(seen) + np.maximum(query, x) for x in (positive, negative))
        pairs, places = np.unique(np.concatenate([near, far]), return_inverse=True)
        self._near, self._far = np.split(places.reshape(-1), 2)
        self._one, self._other = np.divmod(pairs, len(seen))
        apart = _squared(given, self._one, self._other)
        self.scale = float(apart[places].mean())
        if not self.scale > 0:
            raise DeepRankingError("metric: the vectors of the triplets are all the same")
        self.axes = _principal(given, given.shape[1] if directions is None else directions)
        self._x = np.asarray(given @ self.axes / self.scale**0.5, np.float32)
        self._dense = len(seen) <= _MOST_DENSE and _DENSE * len(pairs) > len(seen) ** 2
        self.start = (apart[self._far] - apart[self._near]) / self.scale
        inner = _squared(self._x, self._one, self._other)
        across = np.concatenate(
            [
                _squared(self._x, positive[block], negative[block])
                for block in (slice(s, s + _BLOCK) for s in range(0, len(triplets), _BLOCK))
            ]
        )
        far_in, near_in = inner[self._far], inner[self._near]
        pulls = far_in**2 + near_in**2 - (far_in + near_in - across) ** 2 / 2
        self.strength = max(float(pulls.mean()), 1e-12)

    def margins(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
        """Return <W, P_t> of each triplet, (t,), for a symmetric W, (k, k)."""
        turned = self._x @ np.asarray(matrix, np.float32)
        own = np.einsum("nk,nk->n", self._x, turned, dtype=np.float64)
        distances = own[self._one] + own[self._other]
        if self._dense:
            distances -= 2 * (self._x @ turned.T)[self._one, self._other]
            return distances[self._far] - distances[self._near]
        for start in range(0, len(distances), _BLOCK):
            block = slice(start, start + _BLOCK)
            some = np.einsum("pk,pk->p", self._x[self._one[block]], turned[self._other[block]])
            distances[block] -= 2 * some
        return distances[self._far] - distances[self._near]

    def pull(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum of the pulls with these weights, (k, k)."""
        from scipy.sparse import csr_array

        count, pairs = len(self._x), len(self._one)
        of_pairs = np.bincount(self._far, weights, pairs) - np.bincount(self._near, weights, pairs)
        degree = np.bincount(self._one, of_pairs, count) + np.bincount(self._other, of_pairs, count)
        used = np.flatnonzero(of_pairs)
        where, found = (self._one[used], self._other[used]), of_pairs[used].astype(np.float32)
        graph: Any = np.zeros((count, count), np.float32) if self._dense else None
        if self._dense:
            graph[where] = found
        else:
            graph = csr_array((found, where), shape=(count, count))
        turned = degree.astype(np.float32)[:, None] * self._x - graph @ self._x - graph.T @ self._x
        whole = self._x.T @ turned
        return np.asarray(whole, np.float64)


@dataclass(frozen=True)
class MahalanobisMetric(Settings):
    """The distance D(x, y) = (x - y)^T M (x - y) under which rated triplets are most likely.

    A triplet is ranked right with the probability 1 / (1 + exp(-m)), m = D(q, n) - D(q, p). M lowers the mean
    of -log of it plus `decay / 2` times |M - confidence I|^2, times the mean square of a triplet's pull (see
    `Comparisons`), so that `decay` means the same on vectors of any length. M starts as a multiple of the
    identity, so few triplets change it little; its negative eigenvalues, if any, are cut off. The problem is
    convex; L-BFGS ends after some ten steps, each in time linear in the triplets.

    Args:
        decay: pulls M back to its start; above 0.
        confidence: of the distances as they are, above 0, where their mean is 1: the larger, the surer they
            are taken to be, and the less is learned.

    Source: logistic regression on the linear form that a Mahalanobis distance is in M (as in Weinberger and
    Saul 2009, whose hinge is a logistic loss here).

    Example:
        >>> vectors = np.array([[0.0, 0.0], [0.0, 1.1], [1.0, 0.0]])
        >>> matrix = MahalanobisMetric(decay=1e-2).fit(vectors, np.array([[0, 1, 2]]))
        >>> float(np.linalg.norm(vectors[1] @ matrix)) < float(np.linalg.norm(vectors[2] @ matrix))
        True
    """

    decay: float = setting(1e-4, check=POSITIVE)
    confidence: float = setting(6.0, check=POSITIVE)

    def fit(
        self, vectors: NDArray[Any], triplets: NDArray[np.integer], size: int | None = None
    ) -> NDArray[np.float64]:
        """Learn A with A A^T = M, columns by falling eigenvalue.

        Args:
            vectors: (images, d).
            triplets: (t, 3) rows of query, positive and negative.
            size: columns to keep; None keeps all d.

        Returns:
            (d, size) float64; `vectors @ A` are the embeddings.

        Raises:
            DeepRankingError: no such rows, a size beyond d, or vectors that are all the same.
        """
        width = np.shape(vectors)[1]
        size = width if size is None else size
        expect("size", 1 <= size <= width, f"1 to {width}, the length of the vectors", size)
        compared = Comparisons(vectors, triplets)
        values, turned = np.linalg.eigh(self.change(compared))
        chosen = np.argsort(-values)[:size]
        factors = np.sqrt(np.maximum(values[chosen] + self.confidence, 0) / compared.scale)
        return compared.axes @ turned[:, chosen] * factors

    def change(
        self,
        compared: Comparisons,
        weights: NDArray[Any] | None = None,
        start: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Learn W = M - confidence I, (k, k), on `compared.axes`.

        Args:
            compared: the triplets.
            weights: (t,) of each triplet, none negative; each the same where not given.
            start: a W to begin from, such as that of another decay.
        """
        from scipy.optimize import minimize

        base, width = self.confidence * compared.start, compared.axes.shape[1]
        share = np.ones(len(base)) if weights is None else np.asarray(weights, np.float64)
        share, back = share / share.sum(), self.decay * compared.strength

        def loss(found: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            matrix = found.reshape(width, width)
            margins = base + compared.margins(matrix)
            value = share @ np.logaddexp(0, -margins) + back / 2 * found @ found
            wrong = share * (0.5 - 0.5 * np.tanh(margins / 2))
            return float(value), (back * matrix - compared.pull(wrong)).ravel()

        first = np.zeros(width * width) if start is None else start.ravel()
        found = minimize(
            loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 100, "ftol": 1e-8, "gtol": 1e-7}
        )
        return np.asarray((found.x.reshape(width, width) + found.x.reshape(width, width).T) / 2)


def _squared(vectors: NDArray[Any], one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Return the squared distances of pairs of rows, from their differences."""
    found = np.empty(len(one))
    for start in range(0, len(one), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart = vectors[one[block]] - vectors[other[block]]
        found[block] = np.einsum("pd,pd->p", apart, apart)
    return found


def _principal(vectors: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the `count` directions of greatest variance, (d, count); the identity where it is all."""
    if count >= vectors.shape[1]:
        return np.eye(vectors.shape[1])
    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(axes[:, np.argsort(-values)[:count]])
