"""What is computed of a whole index, once a version: a plane, clusters, usual distances."""

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.plane import clusters, neighbour_layout, principal_plane
from deep_ranking.files import read_arrays, written_whole
from deep_ranking.search.image import Image
from deep_ranking.search.neighbours import NeighbourSearch
from deep_ranking.web import schema
from deep_ranking.web.behind import Made
from deep_ranking.web.gallery import Gallery, shown

MOST = 100_000
"""Points; of a larger index, a sample."""

NEIGHBOURS_UP_TO = 50_000
"""Images that are laid out by their neighbours, in minutes; more are placed by PCA."""

AT_ONCE = 1_500
"""Images that are laid out in a moment; of more, places by PCA are shown first."""

_FILE, _KEPT = "map.npz", ("rows", "places", "cluster", "middles")
_NAMED = 0.6  # share of a cluster with one label, or in one folder, that it is called after
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_LOOKED_AT = 500  # images whose nearest tells which distances are usual


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
        """Return what each cluster is called, or None: after most of its images, if not after most of all.

        Looked at are labels, then folders, then the letters that file names begin with.
        """
        images = [gallery.snapshot.images[row] for row in self.rows.tolist()]
        found: list[str | None] = [None] * len(self.middles)
        for called in _CALLED:
            names = np.array([called(image) for image in images], object)
            all_over = {name for name, many in Counter(names).items() if many >= _NAMED * len(images)}
            for number, taken in enumerate(found):
                inside = Counter(names[self.cluster == number])
                name, many = inside.most_common(1)[0]
                if not taken and name and name not in all_over and many >= _NAMED * inside.total():
                    found[number] = shown(name)
        return found


def _begins(image: Image) -> str:
    """Return the words at the beginning of a file's name: three letters or more, up to a digit or a sign."""
    name = image.path.rpartition("/")[2].partition(".")[0]
    found = re.match(r"[^\W\d_]{3,}(?:[ _-]+[^\W\d_]+)*", name)
    return found[0] if found else ""


_CALLED: tuple[Callable[[Image], str], ...] = (
    lambda image: image.label,
    lambda image: image.path.rpartition("/")[0],
    _begins,
)


def lay_out(gallery: Gallery, folder: Path, seed: int, made: Made[bytes]) -> None:
    """Make the map of a gallery, as JSON: the best there is at once, then better ones; the last is kept."""
    file, key = folder / _FILE, hashlib.sha256(repr((gallery.key, seed)).encode()).hexdigest()
    kept = _read(file, key)
    found = kept or make_map(gallery, seed)
    made.value = as_json(gallery, found)
    if kept or found.done:
        return
    for places, done in neighbour_layout(_vectors(gallery, found.rows), seed):
        if made.dropped:
            return  # the index has changed
        found = replace(found, method="neighbours", places=_fitted(places), done=done)
        made.value = as_json(gallery, found)
    with contextlib.suppress(OSError):  # where nothing may be written, it is computed anew
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as temporary, temporary.open("wb") as opened:
            np.savez(opened, key=np.array(key), **{name: getattr(found, name) for name in _KEPT})


def as_json(gallery: Gallery, found: Map) -> bytes:
    """Return the answer of the API: of 100,000 images it takes a second, so it is made once."""
    numbers = np.bincount(found.cluster, minlength=len(found.middles)).tolist()
    middles = found.rows[found.middles].tolist() if len(found.middles) else []
    named = zip(found.names(gallery), middles, numbers, strict=True)
    labels: dict[str | None, int] = {}
    rows, images = found.rows.tolist(), gallery.snapshot.images
    of_each = [labels.setdefault(images[row].label or None, len(labels)) for row in rows]
    x, y = found.places.round(5).T.tolist() if rows else ([], [])
    answer = schema.Map(
        method=found.method,
        done=found.done,
        clusters=[
            schema.Cluster(name=name, image=int(gallery.ids[row]), count=number)
            for name, row, number in named
        ],
        cluster=found.cluster.tolist(),
        labels=[label and shown(label) for label in labels],
        ids=gallery.ids[np.asarray(rows, np.intp)].tolist(),
        x=x,
        y=y,
        label=of_each,
    )
    return answer.model_dump_json().encode()


def _read(file: Path, key: str) -> Map | None:
    with contextlib.suppress(OSError, DeepRankingError, KeyError):
        kept = read_arrays(file)
        if str(kept["key"]) == key:
            rows, places, cluster, middles = (kept[name] for name in _KEPT)
            return Map("neighbours", rows, places, cluster, middles)
    return None


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
