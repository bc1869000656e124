"""The golden feature: the weighted sum of features' distances that agrees best with human ratings."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.triplets import triplet_distances
from deep_ranking.files import written_whole


@dataclass(frozen=True)
class GoldenFeature:
    """A non-negative weight for each feature.

    Args:
        weights: by the feature's name; finite, none negative, one or more positive.

    Raises:
        DeepRankingError: the weights are anything else.

    Source: Wang et al. 2014, section 5.1: relevance comes from "a weighted linear combination" of features
    with weights "learned through max-margin linear weight learning using human rated data".

    Example:
        >>> golden = GoldenFeature({"color": 0.25, "hog": 1.0})
        >>> golden.vectors({"color": np.array([[4.0]]), "hog": np.array([[3.0]])})
        array([[2., 3.]])
    """

    weights: dict[str, float]

    def __post_init__(self) -> None:
        values = list(self.weights.values())
        if not all(np.isfinite(value) and value >= 0 for value in values) or not any(values):
            raise DeepRankingError(
                f"golden feature: expected weights of 0 or more, one of them positive, found {self.weights}"
            )

    @classmethod
    def fit(
        cls, features: Mapping[str, NDArray[Any]], triplets: NDArray[np.integer], penalty: float = 1.0
    ) -> Self:
        """Learn the weights from triplets that people rated.

        A linear support vector machine, without intercept, on the differences D_f(q, n) - D_f(q, p) of each
        feature f, each divided by the feature's mean distance. A feature with a negative weight would call
        images similar for being far apart: the most negative one is left out, and the rest learned again.
        The weights returned apply to squared distances as they are, and make their weighted mean 1.

        Args:
            features: by name, (images, d_f) vectors; d_f may differ.
            triplets: (t, 3) rows of query, positive and negative.
            penalty: the machine's C, for a triplet on the wrong side of the margin.

        Raises:
            DeepRankingError: triplets that are no rows of the vectors, or no feature ranks them
                better than chance.
        """
        from sklearn.svm import LinearSVC

        pairs = {name: triplet_distances(vectors, triplets) for name, vectors in features.items()}
        scale = {name: np.mean(found) for name, found in pairs.items() if np.mean(found) > 0}
        # The machine wants two classes; without intercept, a triplet turned round is one of the other class.
        sign = np.where(np.arange(2 * len(triplets)) % 2, 1, -1)
        while scale:
            margins = [(pairs[name].negative - pairs[name].positive) / scale[name] for name in scale]
            rows = np.repeat(np.stack(margins, axis=1), 2, axis=0) * sign[:, None]
            svm = LinearSVC(C=penalty, fit_intercept=False, loss="hinge", max_iter=100_000, random_state=0)
            found = svm.fit(rows, sign).coef_[0]
            if found.min() >= 0 and found.max() > 0:
                return cls({f: float(w / found.sum() / scale[f]) for f, w in zip(scale, found, strict=True)})
            del scale[list(scale)[int(np.argmin(found))]]
        raise DeepRankingError(
            f"golden feature: none of the features {', '.join(features)} ranks these triplets better than "
            "chance; are query, positive and negative in this order?"
        )

    def vectors(self, features: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return vectors whose squared distance is the weighted distance: scaled by the weights' roots."""
        return np.concatenate(
            [features[name] * features[name].dtype.type(w**0.5) for name, w in self.weights.items() if w],
            axis=1,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as JSON, whole or not at all."""
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps({"golden_feature": self.weights}, indent=2) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            DeepRankingError: the file holds something else.
            OSError: it cannot be read.
        """
        try:
            weights = json.loads(Path(path).read_text("utf-8"))["golden_feature"]
            return cls({str(name): float(weight) for name, weight in weights.items()})
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise DeepRankingError(
                f'{os.fspath(path)}: expected JSON such as {{"golden_feature": {{"color": 0.5}}}}, '
                f"as GoldenFeature.save writes it; found {error}"
            ) from error
