"""All pairs of rows within a distance, without a look at most of the others.

The rows are cut in halves again and again, each time across the direction in which they are spread most, of
the few in which all are: so each leaf lies in a small box. Two leaves whose boxes are farther apart than the
distance hold no pair, since a projection makes nothing longer. What is left is compared as everywhere, by
bounds that hold whatever the rounding.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from deep_ranking.progress import progress
from deep_ranking.search.bounds import Bounds, rounding

_LEAF = 256  # rows; of fewer a product is slow
_LEAVES = 1 << 13
_CUT = 4  # directions that are cut across: in more, each is cut too rarely for boxes to lie apart
_BOXED = 16  # that the boxes lie in
_SAMPLE = 4096  # rows that the directions are of
_ROWS = 1 << 14  # projected at once
_COLUMNS = 1 << 16  # rows that one leaf is compared with at once


def near_pairs(
    matrix: NDArray[np.float32], within: float, quiet: bool = True
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the pairs of rows that may be within a distance, each once: all that are, and a few more.

    Args:
        matrix: (n, d), in memory or mapped.
        within: Euclidean distance.
        quiet: no progress.

    Yields:
        Two arrays of row numbers.

    Example:
        >>> line = np.array([[0], [1], [4], [9]], np.float32)
        >>> [(one.tolist(), other.tolist()) for one, other in near_pairs(line, 3)]
        [([0, 1], [1, 2])]
    """
    if not len(matrix):
        return
    largest = max(float(matrix.max()), -float(matrix.min()))
    within = min(within, 2.1 * largest * matrix.shape[1] ** 0.5)  # none are farther apart
    if largest > 2.0**50:  # squares must not overflow; a power of two changes no digit
        power = math.frexp(largest)[1]
        matrix, within = np.ldexp(matrix, -power), math.ldexp(within, -power)
    placed, slack = _projected(matrix)
    leaves = _leaves(placed)
    low, high = (np.array([end(placed[rows], axis=0) for rows in leaves]) for end in (np.min, np.max))
    reach = within * (1 + 1e-5) + slack
    for number in progress(range(len(leaves)), "comparing", "blocks", quiet=quiet):
        gaps = np.maximum(0, np.maximum(low[number:] - high[number], low[number] - high[number:]))
        near = number + np.flatnonzero(~(np.einsum("ij,ij->i", gaps, gaps) > reach * reach))
        own, others = leaves[number], np.concatenate([leaves[leaf] for leaf in near])  # itself comes first
        queries = matrix[own]
        for start in range(0, len(others), _COLUMNS):
            rows = others[start : start + _COLUMNS]
            for asked, block in Bounds(matrix[rows]).blocks(queries):
                closeness = (block.squares - within**2) / 2
                for part in block.parts():
                    one, other = block.above(part, closeness)
                    one += asked.start
                    # A pair within the leaf comes twice, and each of its rows with itself.
                    new = (other + start > one) | (other + start >= len(own))
                    if new.any():
                        yield own[one[new]], rows[other[new]]


def _projected(matrix: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return the rows in the directions of largest spread, and how much rounding may add."""
    rows = np.linspace(0, len(matrix) - 1, min(len(matrix), _SAMPLE)).astype(np.intp)
    sample = matrix[rows].astype(np.float64)
    centre = sample.mean(axis=0)
    _, _, axes = np.linalg.svd(sample - centre, full_matrices=False)
    axes, centre = axes[:_BOXED].T.astype(np.float32), centre.astype(np.float32)
    placed, longest = np.empty((len(matrix), axes.shape[1]), np.float32), 0.0
    for start in range(0, len(matrix), _ROWS):
        some = matrix[start : start + _ROWS] - centre
        np.matmul(some, axes, out=placed[start : start + _ROWS])
        longest = max(longest, float(np.einsum("ij,ij->i", some, some).max(initial=0)) ** 0.5)
    return placed, 4 * _BOXED**0.5 * rounding(matrix.shape[1]) * longest


def _leaves(placed: NDArray[np.float32]) -> list[NDArray[np.intp]]:
    """Return the rows of each leaf, ascending."""
    most = max(_LEAF, len(placed) // _LEAVES)
    leaves, uncut = [], [np.arange(len(placed))]
    while uncut:
        rows = uncut.pop()
        if len(rows) <= most:
            leaves.append(np.sort(rows))
            continue
        inside = placed[rows, :_CUT]
        order = np.argpartition(inside[:, inside.std(axis=0).argmax()], len(rows) // 2)
        uncut += [rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]]
    return leaves
