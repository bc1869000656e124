"""Is one picture a copy of another? Told by the pixels alone: no network, no threshold that a model sets.

Where the hashes of the whole are near, in any orientation, it may be a copy; else the middle of one is looked
for in the other, at all sizes, by normalized correlation (Lewis 1995), and the hash of what is found is
compared. In either case the two must then agree block by block at full sharpness: two screens of one program
with different text have the same low frequencies, and two photos of one scene much of them.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deep_ranking.images.agreement import agreement, registered
from deep_ranking.images.decode import ImageError, read_image
from deep_ranking.images.forms import notice
from deep_ranking.images.hashes import (
    FLAT,
    FRAME,
    FRAMED,
    WHOLE,
    differences,
    grey_of,
    hashed,
    kept_looks,
    near_by_hash,
    near_counts,
    turned,
)
from deep_ranking.progress import progress
from deep_ranking.search.cache import Caches
from deep_ranking.search.groups import Fit

SHARP, SHARE = 320, 0.75
"""Pixels a side of the last look; the share of each side that the middle of a picture is."""
PART, FOUND, AGREE, INSIDE = 30, 0.8, 0.7, 0.85
"""Signs of 255 in which what was fitted may differ; the correlation from which its hash is looked at; the
correlation of details that three quarters of the blocks reach, of wholes, and of parts, which were moved to
fit by fractions of a pixel: copies reach 0.97 there, two shots of leaves from one place 0.73."""

FINE, PLAIN, FINELY = 960, 0.95, 0.8
"""Pixels a side of the very last look, at wholes that agree by less than that; and what they reach there: one
form with other numbers 0.70, a photo saved again in quality 20 0.86."""

Box = tuple[float, ...]  # left, top, right, bottom, in shares of the sides
_MIDDLE: Box = (0.5 - SHARE / 2, 0.5 - SHARE / 2, 0.5 + SHARE / 2, 0.5 + SHARE / 2)
_SCALES = np.exp(np.arange(np.log(0.4), np.log(1.5), 0.06))
_UNREAD = "not there as indexed, or not to be read, so that copies are found by their bytes alone"
_HOPELESS = 5  # times `PART`: what differs so much does not fit when moved by a pixel
_STEPS = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]


class Likeness:
    """Pictures, and which of them are copies of one picture; what is read is kept for a while.

    Args:
        paths: n files; "" for one that is not there.
        contents: n hashes of their bytes, each another.
        caches: where what is read of each content is kept for the next time.
        quiet: no progress.
        asked: rows of the files that are looked at; None: all of them.

    Attributes:
        found: (n,) of `hashes.LOOK`.
    """

    def __init__(
        self,
        paths: Sequence[str],
        contents: Sequence[bytes],
        caches: Caches | None = None,
        quiet: bool = False,
        asked: Iterable[int] | None = None,
    ):
        self.paths = paths
        self.found = kept_looks(paths, contents, caches, quiet)
        self._unread = {row for row, path in enumerate(paths) if not path or not self.there[row]}
        if told := self._unread.intersection(range(len(paths)) if asked is None else asked):
            notice(_UNREAD, len(told))
        self._sharp = lru_cache(256)(self._read_sharp)
        self._templates = lru_cache(64)(self._make_templates)
        self._spectrum = lru_cache(512)(self._make_spectrum)

    def near(self, most: int = 6) -> Iterator[tuple[int, int]]:
        """Yield the pairs that are worth a look by their hashes: of each picture the nearest few."""
        return near_by_hash(self.found, most)

    @property
    def there(self) -> NDArray[np.bool_]:
        """Which pictures could be read, (n,)."""
        return np.asarray(self.found["size"].all(axis=1))

    def about(self, row: int) -> tuple[int, int, str]:
        """Return width and height in pixels, and the format."""
        width, height = self.found["size"][row].tolist()
        return width, height, self.found["format"][row].decode()

    def frames(self, page: int, photo: int) -> bool:
        """Tell whether a picture shows another on a plain ground, and no sharper, as a screenshot does."""
        if not (self.found["framed"][page] and self.found["clear"][photo]):
            return False
        area = np.prod(_extent(tuple(self.found["box"][page])) * self.found["size"][page])
        apart = differences(self.found["inner"][page], self.found["bits"][photo])
        return bool(apart <= FRAMED and np.prod(self.found["size"][photo].astype(float)) >= 0.9 * area)

    def whole_copies(self, rows: Sequence[int]) -> list[int]:
        """Return for each of some pictures how many of the others have a hash near its own."""
        return near_counts(self.found[list(rows)]).tolist() if len(rows) > 2 else [0] * len(rows)

    def fits(self, pairs: Sequence[tuple[int, int]], quiet: bool = False) -> Iterator[Fit | None]:
        """Yield how each of the pairs are copies; threads work ahead."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            found = pool.map(lambda pair: self.fit(*pair), pairs)
            yield from progress(found, "looking at", "pairs", total=len(pairs), quiet=quiet)

    def whole(self, one: int, other: int) -> int | None:
        """Return the orientation in which one hash is nearest the other, or None where none is near."""
        if not (self.found["clear"][one] and self.found["clear"][other]):
            return None
        apart = differences(turned(self.found["bits"][one : one + 1])[:, 0], self.found["bits"][other])
        turn = int(apart.argmin())
        return turn if apart[turn] <= WHOLE else None

    def fit(self, one: int, other: int) -> Fit | None:
        """Return how two pictures are copies; None where they are none, or one cannot be read any more."""
        if not (self.found["clear"][one] and self.found["clear"][other]):
            return None
        try:
            turn = self.whole(one, other)
            if turn is not None and self._agrees_whole(one, other, turn):
                return Fit(turn, False)
            for middle, field in ((one, other), (other, one)):
                for box in self._places(middle, field):
                    exact = self._fitted(middle, field, box)
                    if exact and self._agrees_inside(middle, field, exact):
                        return Fit(0, True)
        except ImageError:
            pass
        return None

    def _read_sharp(self, row: int) -> Image.Image:
        try:
            return Image.fromarray(grey_of(read_image(self.paths[row], (SHARP, SHARP))))
        except ImageError:
            if row not in self._unread:
                self._unread.add(row)
                notice(_UNREAD)
            raise

    def _make_templates(self, row: int) -> tuple[NDArray[np.complex64], NDArray[np.intp]]:
        """Return the spectra of the middle of a picture at all sizes, and these (height, width)."""
        from scipy.fft import rfft2

        height, width = self.found["shape"][row]
        image = Image.fromarray(self.found["frame"][row, :height, :width])
        box = tuple(np.multiply(_MIDDLE, (width, height, width, height)))
        sizes, spread = [], []
        for scale in _SCALES:
            size = round(height * SHARE * scale), round(width * SHARE * scale)
            if min(size) >= 6 and max(size) <= FRAME:
                part = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, box), np.float32)
                part = part - part.mean()
                padded = np.zeros((FRAME, FRAME), np.float32)
                padded[: size[0], : size[1]] = part / max(1e-6, np.sqrt((part * part).sum()))
                sizes.append(size)
                spread.append(padded)
        if not sizes:
            return np.zeros((0, 1, 1), np.complex64), np.zeros((0, 2), np.intp)
        return np.conj(rfft2(np.stack(spread))), np.array(sizes)

    def _make_spectrum(self, row: int) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
        """Return a picture's spectrum, and its running sums of values and squares."""
        from scipy.fft import rfft2

        height, width = self.found["shape"][row]
        values = self.found["frame"][row, :height, :width].astype(np.float32)
        values -= values.mean()
        sums = np.zeros((2, height + 1, width + 1))
        sums[:, 1:, 1:] = np.stack([values, values * values]).cumsum(axis=1, dtype=float).cumsum(axis=2)
        padded = np.zeros((FRAME, FRAME), np.float32)
        padded[:height, :width] = values
        return rfft2(padded), sums

    def _places(self, middle: int, field: int) -> Iterator[Box]:
        """Yield where in a picture the middle of another may be: on its plain ground, or anywhere."""
        if self.found["framed"][field]:
            inner, whole = self.found["inner"][field], self.found["bits"][middle]
            if differences(inner, whole) <= FRAMED:
                left, top, right, bottom = self.found["box"][field].tolist()
                x, y = (1 - SHARE) / 2 * (right - left), (1 - SHARE) / 2 * (bottom - top)
                yield left + x, top + y, right - x, bottom - y
        if (box := self._place(middle, field)) is not None:
            yield box

    def _place(self, middle: int, field: int) -> Box | None:
        """Return where in a picture the middle of another is most likely, in shares of its sides; or None."""
        from scipy.fft import irfft2

        templates, sizes = self._templates(middle)
        spectrum, sums = self._spectrum(field)
        height, width = self.found["shape"][field]
        small = np.flatnonzero((sizes[:, 0] <= height) & (sizes[:, 1] <= width))
        if not len(small):
            return None
        found, best = None, FOUND
        products = irfft2(templates[small] * spectrum, s=(FRAME, FRAME))
        for (rows, columns), product in zip(sizes[small], products, strict=True):
            box = sums[:, rows:, columns:] - sums[:, :-rows, columns:] - sums[:, rows:, :-columns]
            box += sums[:, :-rows, :-columns]
            spread = np.maximum(box[1] - box[0] ** 2 / (rows * columns), FLAT**2 * rows * columns)
            here = product[: height - rows + 1, : width - columns + 1] / np.sqrt(spread)
            if here.max() > best:
                best = here.max()
                y, x = np.unravel_index(here.argmax(), here.shape)
                found = x / width, y / height, (x + columns) / width, (y + rows) / height
        return found

    def _fitted(self, middle: int, field: int, box: Box) -> Box | None:
        """Move and scale a box until its hash is nearest the middle's; return it if it is near."""
        wanted = _hash_of(self._sharp(middle), _MIDDLE)
        image = self._sharp(field)
        best = int(differences(wanted, _hash_of(image, box)))
        for step in (1.0, 0.5, 0.25, 0.125):
            if best > _HOPELESS * PART:
                return None
            left, top, right, bottom = box
            for dx, dy, scale in _STEPS:
                wider, higher = 0.02 * step * scale * (right - left), 0.02 * step * scale * (bottom - top)
                x, y = dx * step / FRAME, dy * step / FRAME
                moved = left + x - wider, top + y - higher, right + x + wider, bottom + y + higher
                apart = int(differences(wanted, _hash_of(image, moved)))
                if apart < best:
                    best, box = apart, moved
        return box if best <= PART else None

    def _agrees_whole(self, one: int, other: int, turn: int) -> bool:
        """Tell whether two pictures show the same at full sharpness.

        Pages of one form with other numbers agree well where they are small: what is not plain to see and
        larger is read once more, in nearly all of its pixels.
        """
        from scipy.ndimage import gaussian_filter

        side = self._side(SHARP, (one, None), (other, None))
        found = agreement(_oriented(self._cut(one, None, side), turn), self._cut(other, None, side))
        fine = int(min(FINE, self.found["size"][[one, other]].min())) // 8 * 8
        if not AGREE <= found < PLAIN or fine < 1.5 * SHARP:
            return found >= AGREE
        # A little less sharp than they are, so that what a codec leaves out does not count.
        pictures = [
            gaussian_filter(grey_of(read_image(self.paths[row], (fine, fine))).astype(np.float32), 1.0)
            for row in (one, other)
        ]
        return agreement(_oriented(pictures[0], turn), pictures[1]) >= FINELY

    def _agrees_inside(self, middle: int, field: int, box: Box) -> bool:
        """Tell whether the middle of a picture and what a box cuts out of another show the same.

        The box is moved by fractions of a pixel first, where that is not plain to see.
        """
        side = self._side(SHARP // 2, (middle, _MIDDLE), (field, box))
        wanted = self._cut(middle, _MIDDLE, side)
        if agreement(wanted, self._cut(field, box, side)) >= INSIDE:
            return True
        moved = registered(wanted, lambda box: self._cut(field, tuple(box), side), np.array(box))
        return agreement(wanted, self._cut(field, tuple(moved), side)) >= INSIDE

    def _side(self, most: int, *parts: tuple[int, Box | None]) -> int:
        """Return the pixels a side to compare at: no sharper than what is less sharp.

        A small photo within a large page has few pixels of it.
        """
        sharp = [np.minimum(self.found["size"][row], SHARP) * _extent(box) for row, box in parts]
        return int(max(24, min(most, np.min(sharp)))) // 8 * 8

    def _cut(self, row: int, box: Box | None, side: int) -> NDArray[np.float32]:
        image = self._sharp(row)
        pixels = None if box is None else _within(box)
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, pixels), np.float32)


def _oriented(picture: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return a square picture in one of the orientations of `turned`."""
    some = picture.T if turn & 4 else picture
    return some[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]


def _hash_of(image: Image.Image, box: Iterable[float]) -> NDArray[np.uint8]:
    part = image.resize((32, 32), Image.Resampling.BILINEAR, _within(box))
    return hashed(np.asarray(part))


def _extent(box: Box | None) -> NDArray[np.float64]:
    return np.ones(2) if box is None else np.subtract(box[2:], box[:2])


def _within(box: Iterable[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (min(1.0, max(0.0, share)) * SHARP for share in box)
    return left, top, max(right, left + 1), max(bottom, top + 1)
