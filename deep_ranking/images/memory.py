"""What memory it takes to decode an image, told by its header; and decoding it so that it takes no more."""

import math
from typing import Any

from PIL import Image

from deep_ranking.images.bands import PART

MOST_BYTES = 800_000_000
"""That decoding one image may take; of plain RGB, RGBA or grey, 89 million pixels take less than half."""

A_PIXEL = {"WEBP": 12.5, "AVIF": 12, "JXL": 12.5, "HEIF": 8.5}
"""Bytes a pixel, by format, of readers that have a form of their own beside Pillow's (measured)."""

_NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_STRIP_ROWS, _TILE_WIDTH, _TILE_ROWS = 278, 322, 323  # TIFF 6.0


def bytes_to_decode(image: Image.Image) -> int:
    """Return how many bytes decoding an opened image takes at most, about.

    Of a JPEG in several scans all coefficients are kept until the last one has come, of a compressed TIFF a
    whole strip or tile, which may be larger than the image.
    """
    pixels = image.width * image.height
    taken = math.ceil(pixels * A_PIXEL.get(image.format or "", _NARROW.get(image.mode, 4)))
    if image.format == "TIFF":
        taken += _in_one_piece(image, image.tag_v2)  # type: ignore[attr-defined]
    elif image.format in ("JPEG", "MPO") and in_scans(image):
        layers, scale = image.layer, getattr(image, "decoderconfig", ())  # type: ignore[attr-defined]
        most = max(layer[1] for layer in layers) * max(layer[2] for layer in layers)
        each = 2 * sum(layer[1] * layer[2] for layer in layers) / most
        taken += math.ceil(pixels * (scale[0] if scale else 1) ** 2 * each)
    return taken


def in_scans(image: Image.Image) -> bool:
    """Tell whether an opened JPEG is progressive, or has its colours one after another."""
    if "progressive" in image.info or "progression" in image.info:
        return True
    parts = len(image.layer)  # type: ignore[attr-defined]
    # Pillow has just read the header of the first scan, which says how many of the colours are in it.
    image.fp.seek(-(4 + 2 * parts), 1)  # type: ignore[attr-defined]
    found = image.fp.read(4 + 2 * parts)[0]  # type: ignore[attr-defined]
    return found != parts


def _in_one_piece(image: Image.Image, tags: Any) -> int:
    if tags.get(259, 1) == 1:  # not compressed: read by rows
        return 0
    rows = tags.get(_TILE_ROWS) or min(tags.get(_STRIP_ROWS, image.height), image.height)
    bits = tags.get(258, (1,))
    a_pixel = sum(bits) if tags.get(284, 1) == 1 else max(bits)
    return rows * tags.get(_TILE_WIDTH, image.width) * a_pixel // 8


def load(image: Image.Image) -> Image.Image:
    """Decode an opened image; of a large WebP or AVIF without its reader's two copies of it at a time.

    These readers hand over a frame as bytes while they keep their own, and Pillow makes an image of the bytes
    beside both. Here the reader goes before, and where Pillow has pixels in such bytes, they are the image.

    Raises:
        Exception: whatever a reader raises.
    """
    if image.format not in ("WEBP", "AVIF") or image.width * image.height <= PART:
        image.load()
        return image
    if image.format == "WEBP":
        frame = image._decoder.get_next()  # type: ignore[attr-defined]
        mode = image.rawmode  # type: ignore[attr-defined]
    else:
        frame = image._decoder.get_frame(0)  # type: ignore[attr-defined]
        mode = image.mode
    del image._decoder  # type: ignore[attr-defined]
    if frame is None:
        raise ValueError("its first frame is damaged")
    made = Image.frombuffer(mode, image.size, frame[0], "raw", mode, 0, 1)
    made.info = image.info
    return made
