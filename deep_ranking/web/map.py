"""What is computed of a whole index, once a version: a plane, clusters, usual distances."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, Literal, TypeVar

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.plane import clusters, neighbour_layout, principal_plane
from deep_ranking.files import read_arrays, written_whole
from deep_ranking.search.neighbours import NeighbourSearch
from deep_ranking.web.gallery import Gallery, shown

MOST = 100_000
"""Points; of a larger index, a sample."""

NEIGHBOURS_UP_TO = 50_000
"""Images that are laid out by their neighbours, in minutes; more are placed by PCA."""

AT_ONCE = 1_500
"""Images that are laid out while one waits; of more, places by PCA are shown first."""

_FILE, _KEPT = "map.npz", ("rows", "places", "cluster", "middles")
_NAMED = 0.6  # share of a cluster with one label, or in one folder, that it is called after
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_LOOKED_AT = 500  # images whose nearest tells which distances are usual

T = TypeVar("T")


@dataclass(frozen=True)
class Map:
    """Where each image lies.

    Attributes:
        method: "neighbours" or "PCA".
        rows: (n,) rows of the snapshot.
        places: (n, 2) in 0..1, both axes in one scale, the middle at 0.5.
        cluster: (n,) numbers of the clusters, 0 the largest.
        middles: of each cluster, the point whose vector is nearest to its mean.
        done: False while better places are computed.
    """

    method: Literal["neighbours", "PCA"]
    rows: np.ndarray
    places: np.ndarray
    cluster: np.ndarray
    middles: np.ndarray
    done: bool = True

    def names(self, gallery: Gallery) -> list[str | None]:
        """Return what each cluster is called: the label, else the folder, of most of its images, or None."""
        images, found = gallery.snapshot.images, list[str | None]()
        for number in range(len(self.middles)):
            inside = [images[row] for row in self.rows[self.cluster == number].tolist()]
            names = Counter(image.label or image.path.rpartition("/")[0] for image in inside)
            name, many = names.most_common(1)[0]
            found.append(shown(name) if name and many >= _NAMED * len(inside) else None)
        return found


class CurrentMap:
    """The map of the newest gallery: the best there is at once, and better ones as they are computed behind.

    Args:
        folder: of caches; the whole map is kept there.
        seed: of all that is drawn.
        begin: runs a function behind.
    """

    def __init__(self, folder: Path, seed: int, begin: Callable[[Callable[[], None]], None]):
        self._file, self._seed, self._begin, self._lock = folder / _FILE, seed, begin, Lock()
        self._of: Gallery | None = None
        self._map: Map

    def __call__(self, gallery: Gallery) -> Map:
        """Return the map of a gallery as it is now; who asks first waits for PCA and the clusters."""
        with self._lock:
            if self._of is not gallery:
                self._map, self._of = self._read(gallery) or make_map(gallery, self._seed), gallery
                if not self._map.done:
                    self._begin(lambda: self._grow(gallery))
            return self._map

    def _grow(self, gallery: Gallery) -> None:
        first = self._map
        for places, done in neighbour_layout(_vectors(gallery, first.rows), self._seed):
            if self._of is not gallery:
                return  # the index has changed
            made = (_fitted(places), first.cluster, first.middles, done)
            self._map = Map("neighbours", first.rows, *made)
        self._write(gallery)

    def _key(self, gallery: Gallery) -> str:
        return hashlib.sha256(repr((gallery.key, self._seed)).encode()).hexdigest()

    def _read(self, gallery: Gallery) -> Map | None:
        with contextlib.suppress(OSError, DeepRankingError, KeyError):
            kept = read_arrays(self._file)
            if str(kept["key"]) == self._key(gallery):
                return Map("neighbours", kept["rows"], kept["places"], kept["cluster"], kept["middles"])
        return None

    def _write(self, gallery: Gallery) -> None:
        arrays = {name: getattr(self._map, name) for name in _KEPT}
        with contextlib.suppress(OSError):  # where nothing may be written, it is computed anew
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self._file) as temporary, temporary.open("wb") as file:
                np.savez(file, key=np.array(self._key(gallery)), **arrays)


def make_map(gallery: Gallery, seed: int = 0) -> Map:
    """Place the images of a gallery: few by their neighbours, more by PCA, which is quick."""
    count = len(gallery)
    rows = np.sort(np.random.default_rng(seed).permutation(count)[:MOST])
    vectors = _vectors(gallery, rows)
    near = 5 <= count <= AT_ONCE
    places = principal_plane(vectors)
    if near:
        *_, (places, _) = neighbour_layout(vectors, seed)
    of_each, middles = clusters(vectors, seed)
    method: Literal["neighbours", "PCA"] = "neighbours" if near else "PCA"
    done = not AT_ONCE < count <= NEIGHBOURS_UP_TO
    return Map(method, rows, _fitted(places), of_each, middles, done)


def _vectors(gallery: Gallery, rows: np.ndarray) -> np.ndarray:
    matrix = gallery.snapshot.matrix
    return matrix if len(rows) == len(matrix) else matrix[rows]


def _fitted(places: np.ndarray) -> np.ndarray:
    if not len(places):
        return places.astype(np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    return ((places - (low + high) / 2) / (max(high - low) or 1.0) + 0.5).astype(np.float64)


def usual_distances(gallery: Gallery, seed: int = 0) -> list[tuple[float, float]]:
    """Return distances, and the share of a sample of the images that have another one so near."""
    matrix = gallery.snapshot.matrix
    if len(matrix) < 2:
        return []
    rows = np.sort(np.random.default_rng(seed).permutation(len(matrix))[:_LOOKED_AT])
    blocks = NeighbourSearch(matrix[rows], matrix, rows).blocks(1)
    nearest = np.concatenate([np.sqrt(found.squared_distances[:, 0]) for _, found in blocks])
    steps = {float(f"{np.quantile(nearest, share):.3g}"): share for share in _SHARES}
    return [(within, share) for within, share in sorted(steps.items()) if within]


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
