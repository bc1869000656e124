"""What is computed of a whole index, once a version: its images on a plane, the distances of its pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from deep_ranking.evaluation.plane import neighbour_plane, principal_plane
from deep_ranking.search.exact import pair_distances
from deep_ranking.web.gallery import Gallery

MOST = 100_000
"""Points; of a larger index, a sample."""

NEIGHBOURS_UP_TO = 1_500
"""Images that t-SNE places, in seconds; more are placed by PCA."""

PAIRS = 100_000
BINS = 50

T = TypeVar("T")


@dataclass(frozen=True)
class Map:
    """Where each image lies.

    Attributes:
        method: "t-SNE" or "PCA".
        rows: (n,) rows of the snapshot.
        places: (n, 2) in 0..1, both axes in one scale, the middle at 0.5.
    """

    method: str
    rows: np.ndarray
    places: np.ndarray


def make_map(gallery: Gallery, seed: int = 0) -> Map:
    """Place the images of a gallery."""
    count = len(gallery)
    rows = np.sort(np.random.default_rng(seed).permutation(count)[:MOST])
    vectors = gallery.snapshot.matrix if count <= MOST else gallery.snapshot.matrix[rows]
    near = 5 <= count <= NEIGHBOURS_UP_TO
    places = neighbour_plane(vectors, seed) if near else principal_plane(vectors, seed)
    if count:
        low, high = places.min(axis=0), places.max(axis=0)
        places = (places - (low + high) / 2) / (max(high - low) or 1.0) + 0.5
    return Map("t-SNE" if near else "PCA", rows, places.astype(np.float64))


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
        count = len(self.distances)
        return float((count - np.searchsorted(self.distances, distance, "right")) / count) if count else 0.0

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the edges (n + 1,) from 0 to the largest distance, and the counts (n,)."""
        largest = float(self.distances[-1]) if len(self.distances) else 0.0
        counts, edges = np.histogram(self.distances, BINS, (0, largest or 1.0))
        return edges, counts


class OncePerVersion(Generic[T]):
    """Remembers the result for the newest gallery; who asks meanwhile waits for it.

    Args:
        make: computes it.
    """

    def __init__(self, make: Callable[[Gallery], T]):
        self._make, self._lock = make, Lock()
        self._of: Gallery | None = None
        self._value: T

    def __call__(self, gallery: Gallery) -> T:
        """Return the result for a gallery."""
        with self._lock:
            if self._of is not gallery:
                self._value, self._of = self._make(gallery), gallery
            return self._value
