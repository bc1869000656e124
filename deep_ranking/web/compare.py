"""How near two images are, beside all pairs of the index."""

import numpy as np

from deep_ranking.search.exact import pair_distances

PAIRS = 100_000
BINS = 50


class PairDistances:
    """Distances of pairs of rows: all pairs where they are no more than `PAIRS`, else a sample.

    Args:
        matrix: (n, dimension) float32.
        seed: of the sample.

    Example:
        >>> pairs = PairDistances(np.array([[0], [1], [3]], np.float32))
        >>> pairs.distances, pairs.closer_than(2.5)
        (array([1., 2., 3.]), 0.3333333333333333)
    """

    def __init__(self, matrix: np.ndarray, seed: int = 0):
        count = len(matrix)
        if count * (count - 1) // 2 <= PAIRS:
            one, other = np.triu_indices(count, 1)
        else:
            rng = np.random.default_rng(seed)
            one = rng.integers(count, size=PAIRS)
            other = (one + rng.integers(1, count, size=PAIRS)) % count  # any but itself
        self.distances = np.sort(pair_distances(matrix, one, other))

    def closer_than(self, distance: float) -> float:
        """Return the share of pairs that are farther apart than this, 0..1; 0 if there are no pairs."""
        if not len(self.distances):
            return 0.0
        farther = len(self.distances) - np.searchsorted(self.distances, distance, "right")
        return float(farther / len(self.distances))

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the edges (n + 1,) from 0 to the largest distance, and the counts (n,)."""
        largest = float(self.distances[-1]) if len(self.distances) else 0.0
        counts, edges = np.histogram(self.distances, BINS, (0, largest or 1.0))
        return edges, counts
