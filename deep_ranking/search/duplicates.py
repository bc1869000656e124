"""Near-duplicates: images that are copies of one picture, in groups, and which one to keep.

Nothing is ever deleted.
"""

import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.containers import contained, is_contained, status
from deep_ranking.errors import expect
from deep_ranking.search.copies import first_of_equal
from deep_ranking.search.exact import distances, pair_distances
from deep_ranking.search.groups import About, Fit, Group
from deep_ranking.search.image import Image
from deep_ranking.search.neighbours import NeighbourSearch
from deep_ranking.search.options import Hit
from deep_ranking.search.pairs import near_pairs
from deep_ranking.search.snapshot import Snapshot

if TYPE_CHECKING:
    from deep_ranking.search.cache import Caches

logger = logging.getLogger(__name__)

_NEAREST, _NEAR_HASHES = (3, 10), (6, 24)
"""Of an image, how many others are looked at, by vectors, and by hashes; and how many to verify."""
_SAME = 1e-5
"""Of the median length of the vectors: those this near are one but for the rounding."""


def find_duplicates(
    snapshot: Snapshot,
    within: float | None = None,
    quiet: bool = False,
    folder: str | os.PathLike[str] = "",
    verify: bool = False,
) -> list[Group]:
    """Return the groups of near-duplicates, the largest first, then by path.

    By default the pixels decide: images are copies if their bytes are the same, or one is the other re-saved,
    resized, re-encoded, with other colours, mirrored, turned, cropped, with a border or in a screenshot. The
    vectors only say, beside hashes, which pairs to look at, so it is the same for any model. Of an image
    whose file is gone or has changed, equal vectors alone count.

    With `within`, the vectors decide: two images are near if their distance is at most that.

    A group is no chain: each of its images is near the image that stands in its middle, or a whole copy of
    one that is a part of it. In the middle is, with `within`, the image to keep; else the one with most
    whole copies. To keep is the image with the most pixels, then bytes, then the oldest; never a part of
    another, but for what stands on a plain ground: the photo and not its screenshot, unless that is sharper.

    Args:
        snapshot: `Index.snapshot`.
        within: Euclidean distance, 0 or more; None: by the pixels.
        quiet: no progress.
        folder: of the images; "" where there are none.
        verify: look at three times as many pairs, for what is left. What makes a copy is the same.

    Raises:
        DeepRankingError: `within` is below 0, or there is nothing to verify, as the vectors decide.
    """
    expect("snapshot", isinstance(snapshot, Snapshot), "the `snapshot` of an index", snapshot)
    distance = within is None or (isinstance(within, Real) and math.isfinite(within) and within >= 0)
    expect("within", distance, "a distance of 0 or more", within)
    expect("verify", isinstance(verify, bool | np.bool_), "True or False", verify)
    expect("verify", not verify or within is None, "no `within`, where the vectors decide", within)
    found = _Duplicates(snapshot, os.fspath(folder), quiet, verify)
    groups = found.by_vectors(within) if within is not None else found.by_pixels()
    return sorted(groups, key=lambda group: (-len(group.images), group.images[0].path))


def is_as_indexed(folder: str, image: Image) -> bool:
    """Tell whether an image's file is there, of the size and time that the index has; "" has no files."""
    if not folder:
        return False
    try:
        found = status(Path(folder, image.path))
    except (OSError, ValueError):
        return False
    return (found.st_size, found.st_mtime_ns) == (image.size, image.mtime)


class _Duplicates:
    """One look through an index. Images with one content are one, the first of them: a row of `matrix`."""

    def __init__(self, snapshot: Snapshot, folder: str, quiet: bool, verify: bool):
        self.images, self.folder, self.quiet, self.verify = snapshot.images, folder, quiet, verify
        self.caches = snapshot.store.caches(snapshot.version)
        self._bytes = cache(self._length)
        places: dict[bytes, list[int]] = {}
        for place, image in enumerate(self.images):
            places.setdefault(image.hash, []).append(place)
        self.contents, self.places = list(places), list(places.values())
        whole = len(places) == len(self.images)
        self.matrix = snapshot.matrix if whole else snapshot.matrix[[first for first, *_ in self.places]]

    def by_vectors(self, within: float) -> Iterator[Group]:
        """Yield groups of which all images are within a distance of the one to keep."""
        parts = self._parts(_joined_within(self.matrix, within, self.quiet))
        self._read(np.concatenate([np.arange(0), *parts]), None)
        for rows in parts:
            yield from self._around_kept(rows, within)

    def by_pixels(self) -> Iterator[Group]:
        """Yield groups of which all images are copies of the one in the middle."""
        everything = np.arange(len(self.places))
        self._read(everything, self.caches)
        there = self.likeness.there
        self.known: dict[tuple[int, int], Fit | None] = {}
        joined = everything
        nearest = self._near_by_vectors(np.flatnonzero(there))
        for pairs in (self.likeness.near(_NEAR_HASHES[self.verify]), nearest):
            # Of what is joined already no pair needs a look: most are found by hashes, which is quick.
            new = sorted({(a, b) for a, b in pairs if a != b and joined[a] != joined[b]})
            self.known |= zip(new, self.likeness.fits(new, self.quiet), strict=True)
            if near := [pair for pair in new if self.known[pair]]:
                joined = _joined(joined, *np.array(near).T)
        for rows in self._parts(joined):
            if there[rows[0]]:
                yield from self._stars(rows.tolist())
        # Of images whose files are gone there are the vectors: equal ones, but for the rounding, are copies.
        gone = np.flatnonzero(~there)
        if len(gone):
            logger.warning(
                "%d of %d images are gone, or have changed since they were indexed: of them, equal vectors"
                " alone are found",
                len(gone),
                len(there),
            )
        limit = _SAME * float(np.median(np.linalg.norm(self.matrix[gone], axis=1))) if len(gone) else 0.0
        for rows in self._parts(_joined_within(self.matrix[gone], limit, self.quiet), gone):
            yield from self._around_kept(rows, limit)

    def _parts(self, group: np.ndarray, rows: np.ndarray | None = None) -> list[np.ndarray]:
        """Return the rows of each group, ascending, but for those of one image."""
        order = np.argsort(group, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
        parts = parts if rows is None else [rows[part] for part in parts]
        return [part for part in parts if len(part) > 1 or len(self.places[part[0]]) > 1]

    def _around_kept(self, rows: np.ndarray, within: float) -> Iterator[Group]:
        """Cut what is joined into groups within a distance of the best image of each."""
        left = np.array(sorted(rows.tolist(), key=self._worth), np.intp)
        while len(left):
            near = distances(self.matrix, left, self.matrix[left[0]]) <= within
            middle, *others = left[near].tolist()
            left = left[~near]
            if others or len(self.places[middle]) > 1:
                fits = self.likeness.fits([(middle, other) for other in others], True)
                yield self._group(middle, dict(zip(others, fits, strict=True)))

    def _stars(self, rows: list[int]) -> Iterator[Group]:
        """Cut what is joined into groups, each of the copies of one image."""
        copies = dict(zip(rows, self.likeness.whole_copies(rows), strict=True))
        left = sorted(rows, key=lambda row: (-copies[row], *self._worth(row)))
        while left:
            middle, *others = left
            pairs = [(min(middle, other), max(middle, other)) for other in others]
            new = [pair for pair in pairs if pair not in self.known]
            self.known |= zip(new, self.likeness.fits(new, True), strict=True)
            fits = {
                other: self.known[pair] for other, pair in zip(others, pairs, strict=True) if self.known[pair]
            }
            # Of a crop of it, the mirrored and turned ones too: they lie in no other group with either.
            parts = [row for row, fit in fits.items() if fit and fit.part]
            for row in (row for row in others if row not in fits):
                known = (self.known.get((min(row, part), max(row, part))) for part in parts)
                if any(fit and not fit.part for fit in known):
                    fits[row] = Fit(0, True)
            left = [row for row in others if row not in fits]
            if fits or len(self.places[middle]) > 1:
                yield self._group(middle, fits)

    def _near_by_vectors(self, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield the pairs of each row and the nearest others; of equal vectors, of each and the first."""
        first, same = np.unique(first_of_equal(self.matrix[rows]), return_inverse=True)
        yield from zip(rows[first[same]].tolist(), rows.tolist(), strict=True)
        if len(first) < 2:
            return
        rows = rows[first]
        matrix = self.matrix if len(rows) == len(self.matrix) else self.matrix[rows]
        search = NeighbourSearch(matrix, matrix, np.arange(len(rows)))
        for some, found in search.blocks(min(_NEAREST[self.verify], search.most)):
            for row, others in zip(rows[some].tolist(), rows[found.indices].tolist(), strict=True):
                yield from ((min(row, other), max(row, other)) for other in others)

    def _read(self, rows: np.ndarray, caches: "Caches | None") -> None:
        """Read the pixels of some rows; the others are as if their files were gone."""
        import deep_ranking  # what reads images lies above; it is asked for by its public name

        paths = [""] * len(self.places)
        for row in rows.tolist():
            there = (
                image
                for image in (self.images[place] for place in self.places[row])
                if is_as_indexed(self.folder, image)
            )
            paths[row] = next((str(Path(self.folder, image.path)) for image in there), "")
        self.likeness: Any = deep_ranking.Likeness(paths, self.contents, caches, self.quiet, rows.tolist())

    def _worth(self, row: int) -> tuple[int, ...]:
        """Return what sorts rows: the one to keep first."""
        width, height, _ = self.likeness.about(row)
        images = [self.images[place] for place in self.places[row]]
        return -width * height, -self._bytes(images[0]), min(image.mtime for image in images), row

    def _group(self, middle: int, fits: Mapping[int, Fit | None]) -> Group:
        rows = [middle, *fits]
        links = self._links(place for row in rows for place in self.places[row])
        own = {row: [place for place in self.places[row] if place not in links] for row in rows}
        best = sorted((row for row in rows if not ((fit := fits.get(row)) and fit.part)), key=self._worth)
        framed = [row for row in rows if row != best[0] and self.likeness.frames(best[0], row)]
        best = sorted(framed, key=self._worth) or best
        keep = min(own[best[0]], key=lambda place: (self.images[place].mtime, place))
        apart = distances(self.matrix, np.array(rows), self.matrix[best[0]]).tolist()
        found: dict[int, tuple[Hit, About]] = {}
        for row, distance in zip(rows, apart, strict=True):
            width, height, kind = self.likeness.about(row)
            for place in self.places[row]:
                image = self.images[place]
                why = "" if place == keep else "link" if place in links else "same bytes"
                if row != best[0] and place not in links:
                    why = self._why(row, best[0], middle, fits)
                about = About(why, width, height, self._bytes(image), kind, image.mtime / 1e9)
                found[place] = Hit(image.path, distance, image.label), about
        images, abouts = zip(*(found[place] for place in sorted(found)), strict=True)
        copies = (place for places in own.values() if len(places) > 1 for place in places)
        return Group(
            images=images,
            copies=frozenset(self.images[place].path for place in copies),
            about=abouts,
            links=frozenset(self.images[place].path for place in links),
            keep=self.images[keep].path,
            reason="without the frame" if framed else self._reason(best, len(own[best[0]])),
            won=sum(map(self._won, (place for places in own.values() for place in places if place != keep))),
        )

    def _length(self, image: Image) -> int:
        """Return the length of an image: of its file, or of what a container holds of it."""
        inside = contained(Path(self.folder, image.path)) if self.folder else None
        return len(inside) if isinstance(inside, bytes) else image.size

    def _won(self, place: int) -> int:
        """Return what deleting a file would give; nothing in a container can be deleted."""
        image = self.images[place]
        return 0 if self.folder and is_contained(Path(self.folder, image.path)) else image.size

    def _why(self, row: int, keep: int, middle: int, fits: Mapping[int, Fit | None]) -> str:
        fit = fits[row] if keep == middle else fits[keep] if row == middle else None
        if keep != middle and row != middle:
            fit = self.likeness.fit(row, keep) or fits[row]
        return "alike" if fit is None else fit.why

    def _reason(self, best: list[int], files: int) -> str:
        """Return why the first is the one to keep."""
        if len(best) > 1:
            one, other = self._worth(best[0]), self._worth(best[1])
            names = ("most pixels", "most bytes", "oldest")
            return next(
                (name for name, a, b in zip(names, one, other, strict=False) if a != b), "first by path"
            )
        times = {self.images[place].mtime for place in self.places[best[0]]}
        return "the whole" if files == 1 else "oldest" if len(times) > 1 else "first by path"

    def _links(self, places: Iterable[int]) -> set[int]:
        """Return the places that are no file of their own: symbolic links, and second names of one file."""
        links, seen = set(), set()
        several = [place for place in places if self.folder]
        paths = {place: Path(self.folder, self.images[place].path) for place in several}
        for place in sorted(several, key=lambda place: (paths[place].is_symlink(), place)):
            try:
                status = paths[place].stat()
            except (OSError, ValueError):
                continue
            # Of one content: of a file that was changed since, the index may know two.
            if (file := (self.images[place].hash, status.st_dev, status.st_ino)) in seen:
                links.add(place)
            seen.add(file)
        return links


def _joined_within(matrix: np.ndarray, within: float, quiet: bool) -> np.ndarray:
    """Return for each row the number of its group: rows that a chain of pairs within a distance joins.

    Equal rows are one first: a thousand blank pages are a row, and not half a million pairs.
    """
    first, same = np.unique(first_of_equal(matrix), return_inverse=True)
    matrix = matrix if len(first) == len(matrix) else matrix[first]
    joined = np.arange(len(matrix))
    for one, other in near_pairs(matrix, within, quiet):
        apart = joined[one] != joined[other]  # of those joined already, no distance is needed
        one, other = one[apart], other[apart]
        near = pair_distances(matrix, one, other) <= within
        joined = _joined(joined, one[near], other[near])
    return joined[same]


def _joined(group: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Merge the groups, (n,) numbers below n, that the pairs connect."""
    if not len(one):
        return group
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(one), bool), (group[one], group[other])), shape=(len(group), len(group)))
    return connected_components(edges, directed=False)[1][group]
