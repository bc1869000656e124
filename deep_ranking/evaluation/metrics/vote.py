"""The class that a query's nearest neighbours vote for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError


def vote(labels: NDArray[Any], k: int) -> NDArray[Any]:
    """Return the class that most of the k nearest images have; of classes with equal votes, the nearer's.

    The nearer class is the one whose best-ranked image comes first. scikit-learn's KNeighborsClassifier takes
    the smaller label instead; the two agree wherever there is no tie.

    Args:
        labels: shape (n, at least k), the classes of the ranked images, nearest first.
        k: how many vote.

    Returns:
        Shape (n,), of the labels' type.

    Raises:
        DeepRankingError: k is not in 1..the images ranked.

    Example:
        >>> vote(np.array([["cat", "dog", "dog"], ["cat", "dog", "cow"]]), k=3).tolist()
        ['dog', 'cat']
    """
    if not 1 <= k <= labels.shape[1]:
        raise DeepRankingError(f"expected 1 to {labels.shape[1]} voters, the images ranked; found k = {k}")
    labels = labels[:, :k]
    votes = np.zeros(labels.shape, np.intp)
    for rank in range(k):
        votes += labels == labels[:, [rank]]
    return labels[np.arange(len(labels)), votes.argmax(axis=1)]
