"""The one place where a file becomes pixels: training, indexing, evaluation and the page all read here."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError

from deep_ranking.containers import contained, is_named_as_image
from deep_ranking.errors import DeepRankingError
from deep_ranking.images import colour, forms, memory
from deep_ranking.images.bands import ON_ITS_SIDE, Upright
from deep_ranking.images.depth import read_planes, right_order, spreader
from deep_ranking.images.forms import FORMATS

try:
    import simplejpeg  # of the extra `fast`
except ImportError:
    simplejpeg = None

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""An image: a path, encoded bytes, one that Pillow has opened, or RGB 0..255 as (height, width, 3)."""

MAX_PIXELS = 89_000_000
"""A larger image is refused before it is decoded (a decompression bomb, or a map for another tool); just
below the size at which Pillow itself begins to warn."""

MOST_SCALED = 3 * MAX_PIXELS
"""Of a JPEG that its decoder makes smaller, row by row, as of a telephone's 108 or 200 megapixels."""

VERSION = 4
"""Raised whenever the same file comes to give other pixels, so that images kept before are decoded again."""

_SMALL = 65_536
"""Bytes; of larger files the decoding itself takes nearly all the time."""

_UNKNOWN_TIFF = "a TIFF file whose samples no reader here knows; save it with 8 or 16 bits a colour, unsigned"

_HEADER = 1 << 16
"""Bytes in which a PNG or AVIF file says what its colours are."""

_one_at_a_time = threading.Lock()
"""Pillow reads what it has opened when it is first looked at, which may not happen in two threads at once."""


class ImageError(DeepRankingError):
    """An image that cannot be read; the message names it."""


class UnknownFormatError(ImageError):
    """A file of none of `FORMATS`."""


class TooManyPixelsError(ImageError):
    """An image of more than `MAX_PIXELS`; it was not decoded."""


def read_image(source: Source, size: tuple[int, int] | None = None, name: str | None = None) -> np.ndarray:
    """Decode an image to RGB, and resize it.

    A JPEG is decoded at the smallest of its own scales that is at least twice the wanted size; then one
    antialiased bilinear resize, which stretches to `size`. Colours become sRGB by what the file says of them
    (`images.colour`), more than 8 bits are scaled (`images.depth`), EXIF rotation is applied, transparency is
    laid on white (white signs on black), of an animation the first frame is taken, of a camera's raw file the
    largest preview.

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
    if isinstance(source, str | os.PathLike):
        name = name or os.fspath(source)
    given: Any = _from_container(source)
    pixels = None if isinstance(given, Image.Image) else _plain_jpeg(given, size)
    if pixels is not None:
        return pixels
    # Twice the longer side, so that an image lying on its side (EXIF) has enough in both directions.
    with _opened(given, name, None if size is None else 2 * max(size)) as image:
        return _pixels(image).array(size)


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
    with _opened(source, None, 2 * longest) as image:
        return _pixels(image).thumbnail(longest)


def read_size(source: str | os.PathLike[str] | bytes) -> tuple[int, int]:
    """Return the width and the height in pixels of an upright image, from its header alone.

    Raises:
        ImageError: missing, no image, or over `MAX_PIXELS`; what a header does not tell stays unseen.
    """
    with _opened(source, None, 1, draft=False) as image:
        width, height = image.size
        turned = image.format != "TIFF" and _orientation(image) in ON_ITS_SIDE  # Pillow turns that itself
        return (height, width) if turned else (width, height)


def is_image(path: str | os.PathLike[str]) -> bool:
    """Tell by its first bytes, not by its name, whether a file is of a format that is read.

    Raises:
        OSError: the file cannot be opened.
    """
    with Path(path).open("rb", buffering=0) as file:
        return forms.why_unreadable(file.read(64)) is None


def _from_container(source: Any) -> Any:
    """Return the bytes of what lies in a container; one that cannot be opened is left to who opens it."""
    try:
        return contained(source)
    except OSError:
        return source


def _plain_jpeg(source: str | os.PathLike[str] | bytes, size: tuple[int, int] | None) -> np.ndarray | None:
    """Decode a small, plain JPEG in one call of libjpeg-turbo; None for all else, which is Pillow's.

    Pillow calls the same library and gives the same pixels (a test compares them), but reads the file's
    markers in Python: for 64 pixels that takes three times as long as the decoding, and threads wait for each
    other meanwhile. Plain is YCbCr, of sRGB, without EXIF, which may turn the image, and not to be scaled.
    """
    if simplejpeg is None:
        return None
    try:
        if isinstance(source, bytes):
            data = source
        else:
            with open(source, "rb", buffering=0) as file:  # noqa: PTH123 - a Path costs a tenth of the whole
                data = file.read() if os.fstat(file.fileno()).st_size <= _SMALL else b""
        if len(data) > _SMALL or not data.startswith(b"\xff\xd8\xff") or b"Exif" in data:
            return None
        if b"ICC_PROFILE" in data:
            profile = colour.jpeg_profile(data)
            if profile is None or colour.transform_of(profile, "RGB") is not None:
                return None
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        scaled = size is not None and min(height, width) >= 4 * max(size)
        if colours != "YCbCr" or scaled or height * width > MAX_PIXELS:
            return None
        pixels = simplejpeg.decode_jpeg(data, "RGB")
    except Exception:  # missing, damaged, or what it does not know (4:4:1); Pillow reads it, or says why not
        return None
    if size is None or pixels.shape[:2] == tuple(size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


@contextmanager
def _opened(
    source: str | os.PathLike[str] | bytes | Image.Image,
    name: str | None = None,
    longest: int | None = None,
    draft: bool = True,
) -> Iterator[Image.Image]:
    """Open an image that is small enough to decode; whatever goes wrong inside is an ImageError.

    With `longest`, a JPEG is decoded at the smallest of its own scales that is at least this large.
    """
    if name is None:
        named = source if isinstance(source, str | os.PathLike) else getattr(source, "filename", "")
        name = os.fspath(named) or "the image"

    source = _from_container(source)
    found, head = None, b""

    def check(width: int, height: int, most: int = MAX_PIXELS) -> None:
        if width * height > most:
            raise TooManyPixelsError(
                f"{name}: {width} x {height} pixels, more than the {most:,} that are read; make it smaller"
            )

    try:
        # Pillow's warnings are left alone: `warnings.catch_warnings` is not safe in threads, and decoding
        # runs in many; once two overlap, every warning of the process is silenced for good.
        if isinstance(source, Image.Image):  # it is for who opened it to close it
            check(*source.size)
            if not all(source.size):
                raise ImageError(f"{name}: expected pixels, found {source.width} x {source.height} of them")
            with _one_at_a_time:
                source.load()
            yield source
            return
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:  # noqa: PTH123
            head = file.read(64)
            found = forms.kind(head)
            if missing := forms.why_unreadable(head):
                raise UnknownFormatError(f"{name}: {missing}")
            file.seek(0)
            with forms.open_as(found, file, "" if isinstance(source, bytes) else name, check) as image:
                scaled = (
                    longest is not None and image.format in ("JPEG", "MPO") and not memory.in_scans(image)
                )
                check(*image.size, MOST_SCALED if scaled else MAX_PIXELS)
                if found in ("PNG", "AVIF"):
                    file.seek(0)
                    image.info["code_points"] = colour.code_points(found, file.read(_HEADER))
                    file.seek(0)
                if longest is not None and draft:
                    image.draft(None, (longest, longest))  # type: ignore[arg-type]
                    check(*image.size)
                if draft and (taken := memory.bytes_to_decode(image)) > memory.MOST_BYTES:
                    raise TooManyPixelsError(
                        f"{name}: {image.width} x {image.height} pixels of {found} take {taken:,} bytes to "
                        f"decode, more than the {memory.MOST_BYTES:,} allowed; make it smaller, or a PNG"
                    )
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
        why = _what_it_is(source, head, found) if unknown else error
        raise (UnknownFormatError if unknown else ImageError)(
            f"{name}: cannot be read as an image ({why}); expected one of {', '.join(FORMATS)}"
        ) from error


def _what_it_is(source: Any, head: bytes, found: str | None) -> str:
    """Return what may be said of a file or bytes of no format that is read."""
    if found == "TIFF":
        return _UNKNOWN_TIFF
    if not head:
        return "it is empty"
    text = head.decode(errors="replace")
    if isinstance(source, bytes) and len(head) < 64 and text.isprintable() and is_named_as_image(text):
        return f"it is the text {text!r}; a path is given as a text, not as bytes"
    return "its format is unknown"


def _pixels(image: Image.Image) -> Upright:
    deep = ";16" in repr(getattr(image, "tile", "")) and image.mode in ("RGB", "RGBA", "CMYK", "LA")
    source = None
    if image.format == "TIFF":
        right_order(image)
        source = read_planes(image)
    deep = deep or source is not None
    if source is None:
        source = memory.load(image)
        orientation = _orientation(image)
    else:
        orientation = image.tag_v2.get(ExifTags.Base.Orientation)  # type: ignore[attr-defined]
        source.info = image.info
    invert = source.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info
    colours = colour.flattener(source, image)
    if invert and colours is not None:  # Pillow takes all for Adobe's, whose ink is stored inverted
        straight = colours

        def colours(part: Image.Image) -> Image.Image:
            return straight(ImageChops.invert(part))

    if deep and (spread := spreader(source)):
        flat = colours or (lambda part: part.convert("RGB"))

        def colours(part: Image.Image) -> Image.Image:
            return flat(spread(part))

    return Upright(source, orientation, colours)


def _orientation(image: Image.Image) -> int | None:
    """Return the EXIF orientation; one that cannot be read is none (ImageOps.exif_transpose would raise).

    XMP's is not asked, as browsers do not.
    """
    try:
        if image.info.keys() & {"xmp", "XML:com.adobe.xmp"} and image.format != "TIFF":
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
            return exif.get(ExifTags.Base.Orientation)
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None
