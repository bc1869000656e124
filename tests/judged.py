"""Vectors, and triplets as somebody judges them who sees some of their numbers only."""

import numpy as np

from deep_ranking.evaluation.metrics import similarity_precision, triplet_distances


def judged_by_two(images: int, numbers: int, count: int, wrong: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return (images, numbers) vectors of which the first two matter, and (count, 3) triplets by those two.

    A share `wrong` of the triplets is the other way round.
    """
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(images, numbers))
    triplets = np.array([rng.choice(images, 3, replace=False) for _ in range(count)])
    swapped = ~similarity_precision(triplet_distances(vectors[:, :2], triplets))
    swapped ^= rng.random(count) < wrong
    triplets[swapped] = triplets[swapped][:, [0, 2, 1]]
    return vectors, triplets
