"""Several descriptions of an image made one vector: components, golden weights, a learned metric."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import expect
from deep_ranking.evaluation.metrics.triplets import checked_triplets
from deep_ranking.features.components import Components
from deep_ranking.features.golden import GoldenFeature
from deep_ranking.features.mahalanobis import MahalanobisMetric


@dataclass(frozen=True)
class BlendSettings:
    """How descriptions are blended.

    Args:
        components: principal components kept of each description, 1 or more.
        powers: of each description's `Components`, by name; 0 for one that is not named.
        metric: learned on the weighted whole; None leaves that step out.
        seed: of the sample that the components are learned from.
    """

    components: int = 256
    powers: Mapping[str, float] | None = None
    metric: MahalanobisMetric | None = field(default_factory=MahalanobisMetric)
    seed: int = 0

    def __post_init__(self) -> None:
        expect("components", self.components >= 1, "1 or more", self.components)
        expect("seed", self.seed >= 0, "0 or more", self.seed)


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
        powers = settings.powers or {}
        components, reduced = {}, {}
        for name, vectors in descriptions.items():
            own = vectors[seen]
            components[name] = Components.fit(
                own, settings.components, powers.get(name, 0.0), seed=settings.seed
            )
            reduced[name] = _unit(components[name](own))
        golden = GoldenFeature.fit(reduced, rows)
        weights = {name: weight for name, weight in golden.weights.items() if weight}
        joined = golden.vectors(reduced)
        mean = joined.mean(axis=0)
        matrix = np.eye(joined.shape[1])
        if settings.metric:
            matrix = settings.metric.fit(joined, rows)
        return cls({name: components[name] for name in weights}, weights, mean, matrix.astype(np.float32))

    def vectors(self, descriptions: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the (images, e) vectors of unit length of descriptions as `fit` had them."""
        parts = [
            _unit(self.components[name](descriptions[name])) * np.float32(weight**0.5)
            for name, weight in self.weights.items()
        ]
        return _unit((np.concatenate(parts, axis=1) - self.mean) @ self.matrix)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
