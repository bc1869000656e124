"""Near-duplicates: groups of images whose vectors lie close together. Nothing is ever deleted."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.progress import progress
from deep_ranking.search.exact import Exact, distances, pair_distances
from deep_ranking.search.options import Hit
from deep_ranking.search.store import Snapshot

_BLOCK = 512


@dataclass(frozen=True)
class Group:
    """Images that belong together.

    `images` are in order of the path, each with its distance to the first; `copies` are the paths that are
    byte for byte another image of the group.
    """

    images: tuple[Hit, ...]
    copies: frozenset[str]


def find_duplicates(snapshot: Snapshot, within: float, quiet: bool = False) -> list[Group]:
    """Return the groups of near-duplicates, the largest first, then by path.

    Two images are near if the distance of their vectors is at most `within`, or their bytes are the
    same. A group holds all that are joined by a chain of near ones, so its ends may be farther apart. All
    pairs are compared exactly, in blocks: the time grows with the square of the images, the memory does not
    (some 150 MB beside the vectors).

    Args:
        snapshot: `Index.snapshot`.
        within: Euclidean distance, 0 or more.
        quiet: no progress.

    Raises:
        DeepRankingError: `within` is below 0.
    """
    if not (math.isfinite(within) and within >= 0):
        raise DeepRankingError(f"within: expected a distance of 0 or more, found {within}")
    matrix, images = snapshot.matrix, snapshot.images
    # Images with one content have one vector, so the bytes ask for no comparison of their own.
    group = np.arange(len(images))
    exact = Exact(matrix)
    for start in progress(range(0, len(images), _BLOCK), "comparing", "blocks", quiet=quiet):
        for one, other in exact.pairs(within, slice(start, start + _BLOCK)):
            apart = group[one] != group[other]  # of those joined already, no distance is needed
            one, other = one[apart], other[apart]
            near = pair_distances(matrix, one, other) <= within
            group = _joined(group, one[near], other[near])
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
    found = [_group(snapshot, rows) for rows in groups if len(rows) > 1]
    return sorted(found, key=lambda group: (-len(group.images), group.images[0].path))


def _joined(group: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Merge the groups, (n,) numbers below n, that the pairs connect."""
    if not len(one):
        return group
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(one), bool), (group[one], group[other])), shape=(len(group), len(group)))
    return connected_components(edges, directed=False)[1][group]


def _group(snapshot: Snapshot, rows: np.ndarray) -> Group:
    images = [snapshot.images[row] for row in rows]
    length = distances(snapshot.matrix, rows, snapshot.matrix[rows[0]]).tolist()
    times = Counter(image.hash for image in images)
    return Group(
        images=tuple(Hit(image.path, d, image.label) for image, d in zip(images, length, strict=True)),
        copies=frozenset(image.path for image in images if times[image.hash] > 1),
    )
