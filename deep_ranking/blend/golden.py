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


def independent_groups(triplets: NDArray[np.integer], *labels: NDArray[Any]) -> NDArray[np.intp]:
    """Return the group of each triplet: two triplets of different groups have nothing in common.

    Images are joined that stand in one triplet or share a label: the text query that found them, or their
    content (one photograph is found by several text queries).

    Args:
        triplets: (t, 3) rows of images.
        labels: each (images,), of any type that sorts.

    Returns:
        (t,) integers, for scikit-learn's `GroupKFold`.

    Example:
        >>> text_query = np.array(["cat", "cat", "cat", "dog", "dog", "dog", "cow", "cow", "cow"])
        >>> content = np.array([0, 1, 2, 3, 4, 5, 2, 7, 8])  # one of the cows is a cat
        >>> independent_groups(np.arange(9).reshape(3, 3), text_query, content)
        array([0, 1, 0])
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    images = 1 + int(triplets.max()) if not labels else len(labels[0])
    edges = [triplets[:, [0, 1]], triplets[:, [0, 2]]]
    nodes = images
    for label in labels:
        _, node = np.unique(label, return_inverse=True)
        edges.append(np.column_stack([np.arange(images), nodes + node]))
        nodes += int(node.max()) + 1
    row, column = np.concatenate(edges).T
    graph = coo_array((np.ones(len(row)), (row, column)), shape=(nodes, nodes))
    _, part = connected_components(graph, directed=False)
    _, group = np.unique(part[triplets[:, 0]], return_inverse=True)
    return group


def folds(groups: NDArray[np.integer], count: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Part triplets into `(training, held out)` positions, `count` times; each is held out once.

    Raises:
        DeepRankingError: fewer than two folds, or fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold

    found = len(np.unique(groups))
    if not 2 <= count <= found:
        raise DeepRankingError(
            f"expected 2 folds or more, and as many independent groups of triplets; found {count} folds "
            f"and {found} groups"
        )
    return list(GroupKFold(count).split(groups, groups=groups))
