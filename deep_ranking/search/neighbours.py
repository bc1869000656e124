"""The nearest (or farthest) gallery images of each of many queries, exactly and in order."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.bounds import Block, CentredBounds, in_threads
from deep_ranking.search.codes import Codes, pays
from deep_ranking.search.copies import first_of_equal
from deep_ranking.search.exact import Differences, squared_distances
from deep_ranking.vectors import checked_vectors

_REPAID = 2048
"""Queries that save as much time as it takes to make codes of the gallery."""


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
        self.gallery = checked_vectors(gallery, "gallery")
        self.queries = self.gallery if queries is gallery else checked_vectors(queries, "queries")
        found, width = self.queries.shape[1], self.gallery.shape[1]
        if found != width:
            raise DeepRankingError(
                f"queries have {found} numbers an image and the gallery has {width}; "
                "both must come from the same model"
            )
        self.leave_out = self._checked(leave_out)

    @cached_property
    def bounds(self) -> CentredBounds:
        """Bounds of the closeness of each gallery image to any query, by float32."""
        return CentredBounds(self.gallery, self.queries)

    @cached_property
    def _codes(self) -> Codes | None:
        """The gallery in eight bits, where both are float32 and to make that is soon repaid."""
        plain = self.gallery.dtype == self.queries.dtype == np.float32
        return Codes.of(self.gallery) if plain and len(self.queries) >= _REPAID else None

    @property
    def most(self) -> int:
        """The largest k: the gallery's size, less the query itself where one is left out."""
        return len(self.gallery) - int((self.leave_out >= 0).any())

    def blocks(self, k: int, farthest: bool = False) -> Iterator[tuple[NDArray[np.intp], Neighbours]]:
        """Yield `(rows of the queries, their k neighbours)`, some queries at a time, in order.

        Raises:
            DeepRankingError: k is not in 1..most.
        """
        if not (isinstance(k, Integral) and 1 <= k <= self.most):
            raise DeepRankingError(f"expected 1 to {self.most} neighbours from this gallery, found k = {k}")
        for queries, block in self._blocks(k, farthest):
            rows = np.arange(len(self.queries))[queries]
            shape = len(rows), k
            found = Neighbours(np.empty(shape, np.intp), np.empty(shape, np.float64))
            in_threads(partial(self._rank, block, rows, found, farthest), block.parts())
            yield rows, found

    def _blocks(self, k: int, farthest: bool) -> Iterator[tuple[slice, Block]]:
        """Yield bounds by eight bits as long as these leave few rows, and by float32 of the queries after."""
        asked, last = 0, len(self.queries)
        if not farthest and pays(len(self.gallery), self.gallery.shape[1], k) and self._codes is not None:
            for some, block in self._codes.blocks(
                self.gallery, self.queries, k, leave_out=self.leave_out, held=16 * k
            ):
                yield some, block
                asked = min(some.stop, last)
        if asked < last:
            left = self.queries[asked:], k, farthest, None, self.leave_out[asked:], 16 * k
            for some, block in self.bounds.blocks(*left):
                yield slice(asked + some.start, asked + some.stop), block

    def _rank(
        self, block: Block, rows: NDArray[np.intp], found: Neighbours, farthest: bool, part: slice
    ) -> None:
        """Fill in the neighbours of a part of a block."""
        k, differences = found.indices.shape[1], Differences(self.gallery)
        for i, candidates in enumerate(block.nearest(part), part.start):
            squared = self._squared_distances(rows[i], candidates, differences)
            order = np.argsort(-squared if farthest else squared, kind="stable")[:k]
            found.indices[i], found.squared_distances[i] = candidates[order], squared[order]

    def ranks(self, rows: NDArray[np.intp], targets: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rank, from 1, of one gallery image in the whole ranking of each of some queries.

        Args:
            rows: shape (r,), the queries.
            targets: shape (r,), for each a gallery row, not the one left out.
        """
        result = np.empty(len(rows), np.intp)
        exact = squared_distances(self.queries[rows], self.gallery[targets])
        differences = Differences(self.gallery)
        for some, block in self.bounds.blocks(self.queries[rows], leave_out=self.leave_out[rows]):
            closeness = (block.squares - self.bounds.scale**2 * exact[some]) / 2
            for i in range(len(closeness)):
                at = some.start + i
                lower, upper = block.closeness(i)
                maybe = np.flatnonzero((upper >= closeness[i]) & (lower <= closeness[i]))
                squared = self._squared_distances(rows[at], maybe, differences)
                before = (squared < exact[at]) | ((squared == exact[at]) & (maybe < targets[at]))
                result[at] = 1 + np.count_nonzero(lower > closeness[i]) + before.sum()
        return result

    def ranks_of_all(self, rows: NDArray[np.intp], targets: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
        """Return the ranks, from 1, of several gallery images in the whole ranking of each of some queries.

        Args:
            rows: shape (r,), the queries.
            targets: for each its gallery rows, not the one left out.

        Returns:
            The ranks of the first query's targets, ascending, then those of the second, and so on.
        """
        ranks, differences = [np.zeros(0, np.intp)], Differences(self.gallery)
        for some, block in self.bounds.blocks(self.queries[rows], leave_out=self.leave_out[rows]):
            for i in range(len(block.slacks)):
                row, wanted = rows[some.start + i], np.sort(targets[some.start + i])
                squared = self._squared_distances(row, wanted, differences)
                # The closeness of the farthest target first, ascending, as a sorted search wants it.
                closeness = (block.squares[i] - self.bounds.scale**2 * np.sort(squared)[::-1]) / 2
                lower, upper = block.closeness(i)
                before = np.searchsorted(closeness, lower)  # how many targets each row surely comes before
                maybe = np.flatnonzero(np.searchsorted(closeness, upper, "right") > before)
                exact = self._squared_distances(row, maybe, differences)
                before[maybe] = _after(exact, maybe, squared, wanted)
                counts = np.bincount(before, minlength=len(wanted) + 1)[:-1]
                ranks.append((1 + len(before) - counts.cumsum())[::-1])
        return np.concatenate(ranks)

    def _squared_distances(
        self, row: np.intp, gallery_rows: NDArray[np.intp], differences: Differences
    ) -> NDArray[np.float64]:
        if len(gallery_rows) < 2**12:
            return differences.squared(gallery_rows, self.queries[row])
        # So many only where vectors repeat (a collapsed network) or k is large: each vector once.
        distinct, inverse = np.unique(self._first_copy[gallery_rows], return_inverse=True)
        return differences.squared(distinct, self.queries[row])[inverse]

    @cached_property
    def _first_copy(self) -> NDArray[np.intp]:
        return first_of_equal(self.gallery)

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


def _after(
    exact: NDArray[np.float64],
    rows: NDArray[np.intp],
    others: NDArray[np.float64],
    other_rows: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Return how many of the others come after each row, by distance and then by row."""
    is_other = np.arange(len(rows) + len(others)) < len(others)
    order = np.lexsort((~is_other, np.concatenate([other_rows, rows]), np.concatenate([others, exact])))
    up_to = np.empty(len(order), np.intp)
    up_to[order] = is_other[order].cumsum()
    return len(others) - up_to[len(others) :]


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
