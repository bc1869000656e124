"""The nearest (or farthest) gallery images of each query, exactly, in blocks."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics.bounds import BoundsBlock, DistanceBounds
from deep_ranking.evaluation.metrics.distances import squared_distances


class Neighbours(NamedTuple):
    """The neighbours of n queries, k each, in order."""

    indices: NDArray[np.intp]
    """Shape (n, k): rows of the gallery."""
    squared_distances: NDArray[np.float64]
    """Shape (n, k): squared Euclidean distances."""

    @property
    def distances(self) -> NDArray[np.float64]:
        """Euclidean distances, shape (n, k)."""
        return np.sqrt(self.squared_distances)


class NeighbourSearch:
    """Exact neighbours of queries in a gallery, ordered by distance, equal distances by gallery index.

    No n x m matrix is held: the time is little more than that of one float32 matrix product, the memory one
    copy of the gallery and about 250 MB.

    Args:
        queries: shape (n, d), real numbers.
        gallery: shape (m, d). Where it is the same array as `queries`, it is taken once.
        leave_out: shape (n,), for each query the gallery row that is the query itself and never its own
            neighbour, or -1 where the gallery does not hold it; `np.arange(n)` where both are the same.

    Raises:
        DeepRankingError: an array has another shape, or holds NaN or infinity.
    """

    def __init__(
        self, queries: NDArray[Any], gallery: NDArray[Any], leave_out: NDArray[np.integer] | None = None
    ):
        self._bounds = DistanceBounds(queries, gallery)
        self.queries, self.gallery = self._bounds.queries, self._bounds.gallery
        self.leave_out = self._checked(leave_out)

    @property
    def most(self) -> int:
        """The largest k: the gallery's size, less the query itself where one is left out."""
        return len(self.gallery) - int((self.leave_out >= 0).any())

    def blocks(self, k: int, farthest: bool = False) -> Iterator[tuple[NDArray[np.intp], Neighbours]]:
        """Yield `(rows of the queries, their k neighbours)`, some queries at a time, in order.

        Raises:
            DeepRankingError: k is not in 1..most.
        """
        if not 1 <= k <= self.most:
            raise DeepRankingError(f"expected 1 to {self.most} neighbours from this gallery, found k = {k}")
        for block in self._bounds.blocks(held=16 * k):
            if farthest:  # the nearest by negated distances, with the bounds' roles exchanged
                upper = np.add(block.lower, self._bounds.gallery_slack, out=block.lower)
                upper += block.query_slack[:, None]
                np.negative(upper, out=upper)
            self._leave_out_from(block)
            found = Neighbours(
                np.empty((len(block.rows), k), np.intp), np.empty((len(block.rows), k), np.float64)
            )
            self._rank(block, found, -1 if farthest else 1)
            yield block.rows, found

    def ranks(self, rows: NDArray[np.intp], targets: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rank, from 1, of one gallery image in the whole ranking of each of some queries.

        Args:
            rows: shape (r,), the queries.
            targets: shape (r,), for each a gallery row, not the one left out.
        """
        result = np.empty(len(rows), np.intp)
        done = 0
        for block in self._bounds.blocks(rows):
            self._leave_out_from(block)
            for i, row in enumerate(block.rows):
                target = targets[done]
                exact = squared_distances(self.gallery[target : target + 1], self.queries[row])[0]
                scaled = exact / self._bounds.scale
                maybe = np.flatnonzero(block.lower[i] <= scaled * (1 + 1e-9) + 1e-30)
                slack = self._bounds.gallery_slack[maybe] + block.query_slack[i]
                surely = block.lower[i][maybe] + slack < scaled * (1 - 1e-9)
                near = maybe[~surely]
                squared = self._squared_distances(row, near)
                before = (squared < exact) | ((squared == exact) & (near < target))
                result[done] = 1 + surely.sum() + before.sum()
                done += 1
        return result

    def _rank(self, block: BoundsBlock, found: Neighbours, sign: int) -> None:
        """Fill `found` with the gallery rows of least sign * distance, for each query of the block."""
        k = found.indices.shape[1]
        size = max(1, len(self.gallery) // (16 * k))
        groups = len(self.gallery) // size

        def rank_some(queries: NDArray[np.intp]) -> None:
            upper = np.empty(len(self.gallery), np.float32)
            maybe = np.empty(len(self.gallery), bool)
            for i in queries:
                # The k-th smallest of the least upper bounds of many groups of columns bounds the k-th
                # distance, and costs far less than the k-th smallest of all columns.
                np.add(block.lower[i], self._bounds.gallery_slack, out=upper)
                least = upper[: groups * size].reshape(size, groups).min(axis=0)
                least.partition(k - 1)
                np.less_equal(block.lower[i], least[k - 1] + block.query_slack[i], out=maybe)
                candidates = np.flatnonzero(maybe)
                squared = self._squared_distances(block.rows[i], candidates)
                order = np.argsort(sign * squared, kind="stable")[:k]
                found.indices[i], found.squared_distances[i] = candidates[order], squared[order]

        threads = os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:  # NumPy lets go of the interpreter's lock
            list(pool.map(rank_some, np.array_split(np.arange(len(block.rows)), threads)))

    def _squared_distances(self, row: np.intp, gallery_rows: NDArray[np.intp]) -> NDArray[np.float64]:
        if len(gallery_rows) < 2**12:
            return squared_distances(self.gallery[gallery_rows], self.queries[row])
        # So many only where vectors repeat (a collapsed network) or k is large: each vector once.
        distinct, inverse = np.unique(self._first_copy[gallery_rows], return_inverse=True)
        squared = np.empty(len(distinct))
        for start in range(0, len(distinct), 2**12):
            block = slice(start, start + 2**12)
            squared[block] = squared_distances(self.gallery[distinct[block]], self.queries[row])
        return squared[inverse]

    @cached_property
    def _first_copy(self) -> NDArray[np.intp]:
        """For each gallery row the first row with the same bytes."""
        seen: dict[bytes, int] = {}
        return np.array([seen.setdefault(row.tobytes(), i) for i, row in enumerate(self.gallery)], np.intp)

    def _leave_out_from(self, block: BoundsBlock) -> None:
        own = self.leave_out[block.rows]
        known = np.flatnonzero(own >= 0)
        block.lower[known, own[known]] = np.inf

    def _checked(self, leave_out: NDArray[np.integer] | None) -> NDArray[np.intp]:
        if leave_out is None:
            return np.full(len(self.queries), -1, np.intp)
        leave_out = np.asarray(leave_out)
        if leave_out.shape != (len(self.queries),) or leave_out.dtype.kind not in "iu":
            raise DeepRankingError(
                f"leave_out: expected one whole number for each of {len(self.queries)} queries, "
                f"found {leave_out.dtype} of shape {leave_out.shape}"
            )
        if leave_out.min() < -1 or leave_out.max() >= len(self.gallery):
            raise DeepRankingError(
                f"leave_out: expected gallery rows 0 to {len(self.gallery) - 1}, or -1 for none; "
                f"found {leave_out.min()} to {leave_out.max()}"
            )
        return leave_out.astype(np.intp)


def neighbours(
    queries: NDArray[Any],
    gallery: NDArray[Any],
    k: int,
    leave_out: NDArray[np.integer] | None = None,
    farthest: bool = False,
) -> Neighbours:
    """Return the k nearest gallery images of each query, or the k farthest, the most extreme first.

    See `NeighbourSearch` for the arguments, the order and the errors.

    Example:
        >>> gallery = np.array([[0.0], [1.0], [3.0], [1.0]])
        >>> neighbours(np.array([[1.1]]), gallery, k=3).indices
        array([[1, 3, 0]])
        >>> neighbours(gallery, gallery, k=2, leave_out=np.arange(4)).distances.tolist()
        [[1.0, 1.0], [0.0, 1.0], [2.0, 2.0], [0.0, 1.0]]
        >>> neighbours(np.array([[1.1]]), gallery, k=1, farthest=True).indices
        array([[2]])
    """
    found = [block for _, block in NeighbourSearch(queries, gallery, leave_out).blocks(k, farthest)]
    return Neighbours(*map(np.concatenate, zip(*found, strict=True)))  # type: ignore[arg-type]
