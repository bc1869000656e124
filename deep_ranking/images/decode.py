"""The one place where a file becomes pixels: training, indexing, evaluation and the page all read here."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from deep_ranking.errors import DeepRankingError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Formats that are read, by content; Pillow tries no other, so no other parser meets a hostile file."""

MAX_PIXELS = 89_000_000
"""A larger image is refused before it is decoded (a decompression bomb, or a map for another tool); just
below the size at which Pillow itself begins to warn."""

_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts an image upright, by its EXIF orientation (EXIF 2.3, tag 274)."""


class ImageError(DeepRankingError):
    """An image that cannot be read; the message names it."""


def read_image(source: str | os.PathLike[str] | bytes, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode an image to RGB, and resize it.

    A JPEG is decoded at the smallest of its own scales that is at least twice the wanted size; then one
    antialiased bilinear resize, which stretches to `size`. Grey, palette, CMYK and 16-bit images are
    converted, EXIF rotation is applied, transparency is laid on white, of an animation the first frame is
    taken.

    Args:
        source: a path, or the encoded bytes.
        size: (height, width) in pixels; None keeps the image's own.

    Returns:
        (height, width, 3) uint8, RGB 0..255.

    Raises:
        ImageError: missing, no image, truncated, or over `MAX_PIXELS`.

    Example:
        >>> data = io.BytesIO()
        >>> Image.new("L", (40, 20), 128).save(data, "PNG")
        >>> read_image(data.getvalue(), size=(8, 6)).shape
        (8, 6, 3)
    """
    name = "the image" if isinstance(source, bytes) else os.fspath(source)
    try:
        # Pillow's warnings are left alone: `warnings.catch_warnings` is not safe in threads, and decoding
        # runs in many; once two overlap, every warning of the process is silenced for good.
        with Image.open(
            io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS
        ) as image:
            return _pixels(image, name, size)
    except FileNotFoundError:
        raise ImageError(f"{name}: no such image") from None
    except ImageError:
        raise
    except Exception as error:  # on damaged files the decoders raise nearly anything, struct.error for one
        raise ImageError(
            f"{name}: cannot be read as an image ({error}); expected one of {', '.join(FORMATS)}"
        ) from error


def is_image(path: str | os.PathLike[str]) -> bool:
    """Tell by its first bytes, not by its name, whether a file is of a format that is read.

    Raises:
        OSError: the file cannot be opened.
    """
    with Path(path).open("rb", buffering=0) as file:
        head = file.read(16)
    return (
        head.startswith(
            (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
        )
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"))
        or (head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and head[2:3].isspace())
    )


def _pixels(image: Image.Image, name: str, size: tuple[int, int] | None) -> np.ndarray:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width} x {height} pixels, more than the {MAX_PIXELS:,} that are read; make it smaller"
        )
    if size is not None:
        # Twice the longer side, so that an image lying on its side (EXIF) has enough in both directions.
        image.draft(None, (2 * max(size), 2 * max(size)))  # type: ignore[arg-type]
    image.load()
    image = _as_rgb(_upright(image))
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; one that cannot be read is none (ImageOps.exif_transpose would raise)."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:
        return image
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _deep_grey(pixels: np.ndarray) -> Image.Image:
    """Scale grey of more than 8 bits to 0..255: 16-bit whole numbers, or floats of 0..1 or 0..255.

    Of 32-bit whole numbers the file does not say the range: above 255 they are taken as 16-bit.
    """
    values = np.nan_to_num(pixels.astype(np.float64))
    if pixels.dtype.kind == "f":
        scale = 255.0 if values.max(initial=0) <= 1 else 1.0
    else:
        scale = 255 / 65535 if values.max(initial=0) > 255 or pixels.dtype.itemsize == 2 else 1.0
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
