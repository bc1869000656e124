"""What is computed of a whole index, once a version: its images on a plane."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from deep_ranking.evaluation.plane import neighbour_plane, principal_plane
from deep_ranking.web.gallery import Gallery

MOST = 100_000
"""Points; of a larger index, a sample."""

NEIGHBOURS_UP_TO = 1_500
"""Images that t-SNE places, in seconds; more are placed by PCA."""

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
