"""Principal components: centred, fewer numbers, the strong directions tempered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import expect


@dataclass(frozen=True)
class Components:
    """An affine map to the directions of greatest variance.

    Args:
        mean: (d,).
        axes: (d, k), orthogonal columns by falling variance, each divided by its standard deviation
            to the power given.

    Example:
        >>> vectors = np.array([[3.0, 1.0], [-3.0, 1.0], [0.0, 2.0], [0.0, 0.0]])
        >>> found = Components.fit(vectors, 1, power=1.0)
        >>> np.abs(found(vectors)).astype(float).round(2).ravel().tolist()
        [1.41, 1.41, 0.0, 0.0]
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @classmethod
    def fit(
        cls, vectors: NDArray[Any], count: int, power: float = 0.0, rows: int = 1600, seed: int = 0
    ) -> "Components":
        """Learn the components; at most min(count, d, the rows used less one) of them.

        Args:
            vectors: (n, d), two or more.
            count: k, 1 or more.
            power: 0 leaves the variances as they are, 1 makes all 1 (whitening).
            rows: of more vectors than these a random sample is used: time grows with rows^2 d.
            seed: of the sample.
        """
        expect("components", count >= 1, "1 or more", count)
        expect("vectors", len(vectors) >= 2, "two or more", len(vectors))
        if len(vectors) > rows:
            chosen = np.random.default_rng(seed).permutation(len(vectors))[:rows]
            vectors = vectors[np.sort(chosen)]
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        # The smaller of the two products has the same eigenvalues.
        if centred.shape[0] < centred.shape[1]:
            values, sides = np.linalg.eigh(centred @ centred.T)
            axes = centred.T @ (sides / np.sqrt(np.maximum(values, 1e-12)))
        else:
            values, axes = np.linalg.eigh(centred.T @ centred)
        top = np.argsort(-values)[: min(count, len(vectors) - 1, centred.shape[1])]
        variance = np.maximum(values[top] / len(vectors), 1e-12)
        # The largest entry of each axis is made positive: eigenvectors have no sign of their own.
        axes = axes[:, top]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(len(top))])
        return cls(mean.astype(np.float32), (axes * variance ** (-power / 2)).astype(np.float32))

    def __call__(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Map (n, d) to (n, k) float32."""
        return ((np.asarray(vectors, np.float32) - self.mean) @ self.axes).astype(np.float32)
