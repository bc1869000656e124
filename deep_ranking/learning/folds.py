"""Which triplets have nothing in common, and folds of them for cross-validation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError


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
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    found = len(sizes)
    if not 2 <= count <= found:
        raise DeepRankingError(
            f"expected 2 folds or more, and as many independent groups of triplets; found {count} folds "
            f"and {found} groups; rate images of more folders, or learn by: deep-ranking learn PLACE"
        )
    # As scikit-learn's GroupKFold, whose import takes seconds: the largest group to the smallest fold.
    fold, filled = np.empty(found, np.intp), np.zeros(count, np.int64)
    for number in np.argsort(sizes, kind="stable")[::-1]:
        fold[number] = filled.argmin()
        filled[fold[number]] += sizes[number]
    of_each = fold[group.reshape(-1)]
    return [(np.flatnonzero(of_each != one), np.flatnonzero(of_each == one)) for one in range(count)]
