"""Linear discriminants: the directions in which classes lie apart, measured by how far they scatter."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import expect


@dataclass(frozen=True)
class Discriminants:
    """An affine map in which each class scatters alike in all directions, to those that tell classes apart.

    With W the mean over images of (x - m)(x - m)^T, m their class's mean, shrunk to S = W + s tr(W) / d I,
    and B the same of the classes' means about their own mean, the axes are the leading solutions of
    B a = l S a with a^T S a = 1. All weigh the same, however large l is: a nearest neighbour needs those
    that tell a few classes apart too.

    Args:
        mean: (d,), of the classes' means.
        axes: (d, k), by falling l.

    Source: Fisher 1936 for two classes, Rao 1948 for more; the shrinkage is Friedman's, 1989.

    Example:
        >>> vectors = np.array([[0.0, 5.0], [0.2, -5.0], [1.0, -5.0], [1.2, 5.0]])
        >>> found = Discriminants.fit(vectors, np.array([0, 0, 1, 1]), 1, shrinkage=1e-4)
        >>> found(vectors).round().ravel().tolist()
        [-6.0, -4.0, 4.0, 6.0]
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @classmethod
    def fit(
        cls, vectors: NDArray[Any], labels: NDArray[np.integer], count: int, shrinkage: float = 0.3
    ) -> "Discriminants":
        """Learn them; at most min(count, d, classes less one).

        Args:
            vectors: (n, d).
            labels: (n,) of two classes or more, one of them with images that differ.
            count: k, 1 or more.
            shrinkage: s, above 0.

        Raises:
            DeepRankingError: a count or shrinkage out of range, one class, or none that scatters.
        """
        expect("discriminants", count >= 1, "1 or more", count)
        expect("shrinkage", shrinkage > 0, "a number above 0", shrinkage)
        classes, of = np.unique(labels, return_inverse=True)
        expect("classes", len(classes) >= 2, "two or more to tell apart", len(classes))
        means = np.stack([vectors[of == c].mean(axis=0, dtype=np.float64) for c in range(len(classes))])
        scattered = np.asarray(vectors, np.float32) - means[of].astype(np.float32)
        variances, directions = np.linalg.eigh((scattered.T @ scattered).astype(np.float64) / len(vectors))
        spread = variances.mean()
        expect("vectors", spread > 0, "some that differ from others of their class", "none")
        whiten = directions / np.sqrt(np.maximum(variances, 0) + shrinkage * spread)
        mean = means.mean(axis=0)
        turn = np.linalg.svd((means - mean) @ whiten, full_matrices=False)[2]
        axes = whiten @ turn[: min(count, len(classes) - 1)].T
        # The largest entry of each axis is made positive: singular vectors have no sign of their own.
        axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
        return cls(mean.astype(np.float32), axes.astype(np.float32))

    def __call__(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Map (n, d) to (n, k) float32."""
        return ((np.asarray(vectors, np.float32) - self.mean) @ self.axes).astype(np.float32)
