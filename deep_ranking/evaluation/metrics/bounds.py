"""Lower and upper bounds of all distances from some queries to a gallery, by one fast matrix product.

The product in float32 is many times faster than exact distances, but its last digits are wrong. Bounds that
hold whatever the rounding say which few distances must be computed exactly; the answer is then exact.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.distances import squared_distances
from deep_ranking.vectors import checked_vectors

_BLOCK = 2**25  # bounds held at once: 128 MiB in float32, enough rows for the matrix product's full speed
_ROWS = 2**12  # vectors converted at once
_UNIT = 2.0**-24  # half the distance from 1 to the next float32


class BoundsBlock(NamedTuple):
    """Bounds for a few queries: `lower[i, j] <= exact <= lower[i, j] + query_slack[i] + gallery_slack[j]`."""

    rows: NDArray[np.intp]
    """Which queries."""
    lower: NDArray[np.float32]
    """Shape (queries of the block, gallery); the memory is used again for the next block."""
    query_slack: NDArray[np.float32]


class DistanceBounds:
    """Bounds of the squared Euclidean distances between queries and gallery, divided by `scale`.

    The gallery's mean is subtracted first and the largest norm becomes 1, which changes no ranking: the
    rounding is then small beside the spread of the vectors even where all lie close together, as in a
    collapsed network, and nothing overflows.

    Rounding: with |q|^2 + |g|^2 - 2 q.g as one product of d + 2 terms, summed in any order, the error is at
    most (d + 2) u (|q|^2 + |g|^2 + 2 |q||g|) <= 2 (d + 2) u (|q|^2 + |g|^2), u = 2^-24 (Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.1); 16 in place of 2 covers the rounding of the terms
    themselves and of adding the slack.

    Args:
        queries: shape (n, d), real numbers.
        gallery: shape (m, d).

    Raises:
        DeepRankingError: they are not finite vectors of one length.
    """

    def __init__(self, queries: NDArray[Any], gallery: NDArray[Any]):
        self.gallery = checked_vectors(gallery, "gallery")
        self.queries = self.gallery if queries is gallery else checked_vectors(queries, "queries")
        width = self.gallery.shape[1]
        if self.queries.shape[1] != width:
            raise DeepRankingError(
                f"queries have {self.queries.shape[1]} numbers an image and the gallery has {width}; "
                "both must come from the same model"
            )
        self._error = 2 * (width + 16) * _UNIT
        self._centre = self.gallery.mean(axis=0, dtype=np.float64)
        norms = squared_distances(self.gallery, self._centre)
        own = norms if self.queries is self.gallery else squared_distances(self.queries, self._centre)
        self.scale = float(max(norms.max(), own.max())) or 1.0
        self._gallery_norms, self._query_norms = norms / self.scale, own / self.scale
        self.gallery_slack = self._slack(self._gallery_norms)
        self._matrix = np.empty((len(self.gallery), width + 2), np.float32)
        for start in range(0, len(self.gallery), _ROWS):
            block = slice(start, start + _ROWS)
            self._matrix[block, :width] = self._centred(self.gallery[block])
        self._matrix[:, width] = self._gallery_norms * (1 - self._error)
        self._matrix[:, width + 1] = 1

    def blocks(self, rows: NDArray[np.intp] | None = None, held: int = 0) -> Iterator[BoundsBlock]:
        """Yield the bounds for a few queries at a time: fewer where the caller holds many numbers of each.

        Args:
            rows: for which queries; for all where not given.
            held: how many numbers for each query of a block the caller keeps beside the bounds.
        """
        size, width = self.gallery.shape
        rows = np.arange(len(self.queries)) if rows is None else rows
        most = max(1, min(_BLOCK // (size + held), _ROWS, len(rows)))
        memory = np.empty((most, size), np.float32)
        left = np.ones((most, width + 2), np.float32)
        for start in range(0, len(rows), most):
            block = rows[start : start + most]
            norms = self._query_norms[block]
            left[: len(block), :width] = -2 * self._centred(self.queries[block])
            left[: len(block), width + 1] = norms * (1 - self._error)
            lower = np.matmul(left[: len(block)], self._matrix.T, out=memory[: len(block)])
            yield BoundsBlock(block, lower, self._slack(norms))

    def _centred(self, vectors: NDArray[Any]) -> NDArray[np.float64]:
        return (vectors - self._centre) / np.sqrt(self.scale)

    def _slack(self, norms: NDArray[np.float64]) -> NDArray[np.float32]:
        return (2 * self._error * norms + 1e-30).astype(np.float32)  # 1e-30 for what underflows
