"""Several descriptions of an image made one vector: components, golden weights, a learned metric."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.blend.golden import GoldenFeature
from deep_ranking.errors import expect
from deep_ranking.evaluation.metrics.triplets import checked_triplets
from deep_ranking.learning.metric import MahalanobisMetric
from deep_ranking.settings import Settings, at_least, setting
from deep_ranking.vectors import unit


class Components(NamedTuple):
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
        return cls.of_centred(mean, vectors - mean, count, power, len(vectors))

    @classmethod
    def of_centred(
        cls, mean: NDArray[Any], centred: NDArray[Any], count: int, power: float, total: float
    ) -> "Components":
        """Learn from rows about their mean; the sum of their squares over `total` is the variance."""
        # The smaller of the two products has the same eigenvalues.
        if centred.shape[0] < centred.shape[1]:
            values, sides = np.linalg.eigh(centred @ centred.T)
            axes = centred.T @ (sides / np.sqrt(np.maximum(values, 1e-12)))
        else:
            values, axes = np.linalg.eigh(centred.T @ centred)
        top = np.argsort(-values)[: min(count, len(centred) - 1, centred.shape[1])]
        variance = np.maximum(values[top] / total, 1e-12)
        # The largest entry of each axis is made positive: eigenvectors have no sign of their own.
        axes = axes[:, top]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(len(top))])
        return cls(np.asarray(mean, np.float32), (axes * variance ** (-power / 2)).astype(np.float32))

    def __call__(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Map (n, d) to (n, k) float32."""
        return ((np.asarray(vectors, np.float32) - self.mean) @ self.axes).astype(np.float32)


@dataclass(frozen=True)
class BlendSettings(Settings):
    """How descriptions are blended.

    Args:
        components: principal components kept of each description.
        powers: of each description's `Components`, by name; 0 for one that is not named.
        metric: learned on the weighted whole; None leaves that step out.
        seed: of the sample that the components are learned from.
    """

    components: int = setting(256, check=at_least(1))
    powers: Mapping[str, float] | None = None
    metric: MahalanobisMetric | None = field(default_factory=MahalanobisMetric)
    seed: int = setting(0, check=at_least(0))


@dataclass(frozen=True)
class Blend:
    """What was learned; `vectors` applies it.

    Each description is reduced to its components and brought to unit length, then weighed by the golden
    feature; of the whole, the mean is taken off, the metric applied, and the result brought to unit length.

    Args:
        components: by name.
        weights: by name, the golden feature's; descriptions of weight 0 are not there.
        mean: (d,) of the weighted components.
        matrix: (d, e), of the metric; the identity where there is none.
    """

    components: dict[str, Components]
    weights: dict[str, float]
    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        descriptions: Mapping[str, NDArray[np.float32]],
        triplets: NDArray[np.integer],
        settings: BlendSettings | None = None,
    ) -> "Blend":
        """Learn from rated triplets; of images that no triplet names nothing is used.

        Args:
            descriptions: by name, (images, d_name) float32, unit length.
            triplets: (t, 3) rows of query, positive and negative.
            settings: the defaults where none are given.

        Raises:
            DeepRankingError: as `GoldenFeature.fit` does.
        """
        settings = settings or BlendSettings()
        triplets = checked_triplets(triplets, min(map(len, descriptions.values())))
        seen = np.unique(triplets)
        rows = np.searchsorted(seen, triplets)
        powers, count = settings.powers or {}, settings.components
        components = {
            name: Components.fit(vectors[seen], count, powers.get(name, 0.0), seed=settings.seed)
            for name, vectors in descriptions.items()
        }
        reduced = {name: unit(found(descriptions[name][seen])) for name, found in components.items()}
        golden = GoldenFeature.fit(reduced, rows)
        weights = {name: weight for name, weight in golden.weights.items() if weight}
        joined = golden.vectors(reduced)
        matrix = settings.metric.fit(joined, rows) if settings.metric else np.eye(joined.shape[1])
        used = {name: components[name] for name in weights}
        return cls(used, weights, joined.mean(axis=0), matrix.astype(np.float32))

    def vectors(self, descriptions: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the (images, e) vectors of unit length of descriptions as `fit` had them."""
        reduced = {name: unit(found(descriptions[name])) for name, found in self.components.items()}
        return unit((GoldenFeature(self.weights).vectors(reduced) - self.mean) @ self.matrix)
