"""The one place where a file becomes pixels: training, indexing, evaluation and the page all read here."""

import io
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from deep_ranking.errors import DeepRankingError

try:
    import simplejpeg  # of the extra `fast`
except ImportError:
    simplejpeg = None

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""An image: a path, encoded bytes, one that Pillow has opened, or RGB 0..255 as (height, width, 3)."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Formats that are read, by content; Pillow tries no other, so no other parser meets a hostile file."""

_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|BM|II[*+]\0|MM\0[*+]|RIFF.{4}WEBP|.{4}ftypavi[fs]|P[1-6]\s",
    re.DOTALL,
)

MAX_PIXELS = 89_000_000
"""A larger image is refused before it is decoded (a decompression bomb, or a map for another tool); just
below the size at which Pillow itself begins to warn."""

VERSION = 1
"""Raised whenever the same file comes to give other pixels, so that images kept before are decoded again."""

_SMALL = 65_536
"""Bytes; of larger files the decoding itself takes nearly all the time."""

_one_at_a_time = threading.Lock()
"""Pillow reads what it has opened when it is first looked at, which may not happen in two threads at once."""

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
_ON_ITS_SIDE = (5, 6, 7, 8)


class ImageError(DeepRankingError):
    """An image that cannot be read; the message names it."""


class UnknownFormatError(ImageError):
    """A file of none of `FORMATS`."""


class TooManyPixelsError(ImageError):
    """An image of more than `MAX_PIXELS`; it was not decoded."""


def read_image(source: Source, size: tuple[int, int] | None = None, name: str | None = None) -> np.ndarray:
    """Decode an image to RGB, and resize it.

    A JPEG is decoded at the smallest of its own scales that is at least twice the wanted size; then one
    antialiased bilinear resize, which stretches to `size`. Grey, palette, CMYK and 16-bit images are
    converted, EXIF rotation is applied, transparency is laid on white, of an animation the first frame is
    taken.

    Args:
        source: a path, the encoded bytes, a PIL image of any mode (it is not changed), or an array
            (height, width, 3) of RGB 0..255, whose floats are rounded.
        size: (height, width) in pixels; None keeps the image's own.
        name: what errors call it; None: the path.

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
    if isinstance(source, np.ndarray):
        source = Image.fromarray(np.rint(source).astype(np.uint8))
    pixels = None if isinstance(source, Image.Image) else _plain_jpeg(source, size)
    if pixels is not None:
        return pixels
    with _opened(source, name) as image:
        if size is not None and image is not source:
            # Twice the longer side, so that an image lying on its side (EXIF) has enough in both directions.
            _draft(image, 2 * max(size))
        image = _pixels(image)
        if size is not None and image.size != (size[1], size[0]):
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.asarray(image)


def read_thumbnail(source: str | os.PathLike[str] | bytes, longest: int) -> Image.Image:
    """Decode an image as `read_image` does, and make it smaller, in its own shape, to look at.

    Args:
        source: a path, or the encoded bytes.
        longest: pixels of the longer side; a smaller image keeps its size.

    Returns:
        an image of mode RGB.

    Raises:
        ImageError: as for `read_image`.

    Example:
        >>> data = io.BytesIO()
        >>> Image.new("L", (40, 20), 128).save(data, "PNG")
        >>> read_thumbnail(data.getvalue(), 10).size
        (10, 5)
    """
    with _opened(source) as image:
        _draft(image, 2 * longest)
        image = _pixels(image)
        if max(image.size) > longest:
            image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        return image


def read_size(source: str | os.PathLike[str] | bytes) -> tuple[int, int]:
    """Return the width and the height in pixels of an upright image, from its header alone.

    Raises:
        ImageError: missing, no image, or over `MAX_PIXELS`; what a header does not tell stays unseen.
    """
    with _opened(source) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _ON_ITS_SIDE else (width, height)


def is_image(path: str | os.PathLike[str]) -> bool:
    """Tell by its first bytes, not by its name, whether a file is of a format that is read.

    Raises:
        OSError: the file cannot be opened.
    """
    with Path(path).open("rb", buffering=0) as file:
        return has_signature(file.read(16))


def has_signature(head: bytes) -> bool:
    """Tell whether a file's first 16 bytes are those of a format that is read."""
    return _SIGNATURE.match(head) is not None


def _plain_jpeg(source: str | os.PathLike[str] | bytes, size: tuple[int, int] | None) -> np.ndarray | None:
    """Decode a small, plain JPEG in one call of libjpeg-turbo; None for all else, which is Pillow's.

    Pillow calls the same library and gives the same pixels (a test compares them), but reads the file's
    markers in Python: for 64 pixels that takes three times as long as the decoding, and threads wait for each
    other meanwhile. Plain is YCbCr, without EXIF or XMP, which may turn the image, and not to be scaled.
    """
    if simplejpeg is None:
        return None
    try:
        if isinstance(source, bytes):
            data = source
        else:
            with open(source, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs a tenth of the whole
                data = file.read() if os.fstat(file.fileno()).st_size <= _SMALL else b""
        turned = b"Exif" in data or b"ns.adobe.com" in data
        if len(data) > _SMALL or not data.startswith(b"\xff\xd8\xff") or turned:
            return None
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        scaled = size is not None and min(height, width) >= 4 * max(size)
        if colours != "YCbCr" or scaled or height * width > MAX_PIXELS:
            return None
        pixels = simplejpeg.decode_jpeg(data, "RGB")
    except (OSError, ValueError):  # missing, truncated or damaged; Pillow says what is wrong
        return None
    if size is None or pixels.shape[:2] == tuple(size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


@contextmanager
def _opened(
    source: str | os.PathLike[str] | bytes | Image.Image, name: str | None = None
) -> Iterator[Image.Image]:
    """Open an image that is small enough to decode; whatever goes wrong inside is an ImageError."""
    if name is None:
        named = source if isinstance(source, str | os.PathLike) else getattr(source, "filename", "")
        name = os.fspath(named) or "the image"
    try:
        # Pillow's warnings are left alone: `warnings.catch_warnings` is not safe in threads, and decoding
        # runs in many; once two overlap, every warning of the process is silenced for good.
        with (
            nullcontext(source)  # it is for who opened it to close it
            if isinstance(source, Image.Image)
            else Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
        ) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise TooManyPixelsError(
                    f"{name}: {width} x {height} pixels, more than the {MAX_PIXELS:,} that are read; "
                    "make it smaller"
                )
            if image is source:
                with _one_at_a_time:
                    image.load()
            yield image
    except FileNotFoundError:
        raise ImageError(f"{name}: no such image") from None
    except IsADirectoryError:
        raise ImageError(f"{name}: expected an image file, found a folder") from None
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(
            f"{name}: more than the {MAX_PIXELS:,} pixels that are read; make it smaller"
        ) from error
    except Exception as error:  # on damaged files the decoders raise nearly anything, struct.error for one
        # For a format that it does not know, Pillow repeats the name, or says where in memory the bytes are.
        unknown = isinstance(error, UnidentifiedImageError)
        why = "its format is unknown" if unknown else error
        raise (UnknownFormatError if unknown else ImageError)(
            f"{name}: cannot be read as an image ({why}); expected one of {', '.join(FORMATS)}"
        ) from error


def _draft(image: Image.Image, longest: int) -> None:
    """Let a JPEG be decoded at the smallest of its own scales that is at least this large."""
    image.draft(None, (longest, longest))  # type: ignore[arg-type]


def _pixels(image: Image.Image) -> Image.Image:
    image.load()
    orientation = _orientation(image)
    return _as_rgb(image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image)


def _orientation(image: Image.Image) -> int | None:
    """Return the EXIF orientation; one that cannot be read is none (ImageOps.exif_transpose would raise)."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
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
