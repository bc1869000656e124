"""Large images band by band: what is decoded is never whole in a second form beside it."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

PART = 1 << 20
"""Pixels that are turned into sRGB at a time; an image of no more is turned as a whole."""

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts an image upright, by its EXIF orientation (EXIF 2.3, tag 274)."""
ON_ITS_SIDE = (5, 6, 7, 8)
_FROM_THE_END = (3, 4, 7, 8)  # whose last row or column is the first one of the upright image

Colours = Callable[[Image.Image], Image.Image]


def strips(image: Image.Image) -> Iterator[Image.Image]:
    """Yield an image in rows of about `PART` pixels."""
    rows = max(1, PART // max(1, image.width))
    for first in range(0, image.height, rows):
        yield image.crop((0, first, image.width, min(first + rows, image.height)))


class Upright:
    """An image as people see it, made so a part at a time.

    The pixels are those of Pillow on the whole upright image; of thumbnails too, as its reduction takes whole
    blocks. Resizing goes along the rows first, each by itself; in tall images Pillow goes down the columns
    first, and so one rounding in hundreds is another.

    Args:
        source: the decoded image.
        orientation: EXIF's; None, or what is no orientation: it is upright.
        colours: turns a part into RGB; None: it is RGB.
        deep: it had 16 bits a sample, and has been cut to 8.

    Attributes:
        size: (width, height) of the upright image.

    Its methods raise ValueError for a deep image of fewer than 16 levels.
    """

    def __init__(
        self,
        source: Image.Image,
        orientation: int | None = None,
        colours: Colours | None = None,
        deep: bool = False,
    ):
        self._source, self._orientation, self._colours, self._deep = source, orientation, colours, deep
        self._most = 0
        on_its_side = orientation in ON_ITS_SIDE
        self.size = source.size[::-1] if on_its_side else source.size
        self._plain = colours is None and not deep and orientation not in TRANSPOSE
        self._small = source.width * source.height <= PART

    def _rows(self, first: int, last: int) -> Image.Image:
        part = self._source
        if last - first < self.size[1]:
            ends = first, last
            if self._orientation in _FROM_THE_END:
                ends = self.size[1] - last, self.size[1] - first
            across = self._orientation in ON_ITS_SIDE
            box = (ends[0], 0, ends[1], part.height) if across else (0, ends[0], part.width, ends[1])
            part = part.crop(box)
        if self._orientation in TRANSPOSE:
            part = part.transpose(TRANSPOSE[self._orientation])
        if self._colours is not None:
            part = self._colours(part)
        if self._deep:
            self._most = max(self._most, *(most for _, most in part.getextrema()))  # type: ignore[misc]
            if last == self.size[1] and 0 < self._most < 16:
                raise ValueError("colours of 12 bits or fewer in 16; scale them to 16")
        return part

    def _bands(self) -> Iterator[tuple[int, Image.Image]]:
        """Yield parts, and with each the row that it begins at."""
        width, height = self.size
        rows = max(PART // width, 1)
        for first in range(0, height, rows):
            yield first, self._rows(first, min(first + rows, height))

    def array(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return (height, width, 3) uint8, resized to (height, width), antialiased and bilinear, if asked."""
        width, height = self.size
        if size is not None and tuple(size) != (height, width):
            return np.asarray(self._resized(size[1], size[0]))
        if width * height <= PART:
            return np.asarray(self._rows(0, height))
        pixels = np.empty((height, width, 3), np.uint8)
        for first, part in self._bands():
            pixels[first : first + part.height] = np.asarray(part)
        return pixels

    def _resized(self, width: int, height: int) -> Image.Image:
        bilinear = Image.Resampling.BILINEAR
        if self._plain or self._small:
            return self._rows(0, self.size[1]).resize((width, height), bilinear)
        narrow = Image.new("RGB", (width, self.size[1]))
        for first, part in self._bands():
            narrow.paste(part.resize((width, part.height), bilinear), (0, first))
        return narrow.resize((width, height), bilinear)

    def thumbnail(self, longest: int) -> Image.Image:
        """Return the image, made smaller if its longer side has more pixels (`Image.thumbnail`, Lanczos)."""
        width, height = self.size
        if self._small or max(self.size) <= longest:
            image = self._rows(0, height)
            if max(self.size) > longest:
                image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            return image
        size = _fitted(width, height, longest)
        # As Pillow does where a reducing gap of two is given: whole blocks first.
        along, down = (max(1, int(whole / part / 2)) for whole, part in zip(self.size, size, strict=True))
        small = Image.new("RGB", (-(-width // along), -(-height // down)))
        rows = max(PART // width // down, 1) * down
        for first in range(0, height, rows):  # other threads wait for each reduction, so they are short
            last = min(first + rows, height)
            if self._plain:
                part = self._source.reduce((along, down), (0, first, width, last))
            else:
                part = self._rows(first, last).reduce((along, down))
            small.paste(part, (0, first // down))
        return small.resize(size, Image.Resampling.LANCZOS, (0, 0, width / along, height / down))


def _fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the size in whole pixels, the longer side `longest`, whose shape is nearest."""
    shape = width / height

    def nearest(side: float, off: Callable[[int], float]) -> int:
        return max(min(math.floor(side), math.ceil(side), key=off), 1)

    if shape <= 1:
        return nearest(longest * shape, lambda side: abs(shape - side / longest)), longest
    return longest, nearest(longest / shape, lambda side: abs(shape - longest / side) if side else 0)
