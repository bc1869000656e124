"""What a file is by its content, and opening it as that: formats that need an extra, cameras' raw files."""

import io
import mmap
import re
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import IO

from PIL import ExifTags, Image, UnidentifiedImageError

from deep_ranking.images.memory import A_PIXEL, MOST_BYTES

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Formats that are read, by content; Pillow tries no other, so no other parser meets a hostile file."""

EXTRA = {"HEIF": ("HEIC photo", "pillow_heif"), "JXL": ("JPEG XL image", "pillow_jxl")}
"""Formats that the extra `photos` reads: how they are called, and the module."""

LEAST_PREVIEW = 320
"""Pixels of the longer side; a raw file's smaller preview is no stand-in for the photo."""

_KINDS = [
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", "JPEG"),
        (rb"\x89PNG\r\n\x1a\n", "PNG"),
        (rb"RIFF.{4}WEBP", "WEBP"),
        (rb"GIF8", "GIF"),
        (rb"BM", "BMP"),
        (rb"IIU\0|IIR[OS]|MMOR|FUJIFILMCCD-RAW|.{4}ftypcrx|FOVb|II\x1a\0\0\0HEAP|\0MRM", "RAW"),
        (rb"II[*+]\0|MM\0[*+]", "TIFF"),
        (rb"P[1-6]\s", "PPM"),
        (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    )
]
_HEVC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_RAW_PHOTOMETRIC = {32803, 34892}  # of a sensor's filter array, and linear raw (DNG 1.7)
_SOI = b"\xff\xd8\xff"

Buffer = bytes | mmap.mmap

_noticed: Counter[str] = Counter()
_noticing = threading.Lock()


def kind(head: bytes) -> str | None:
    """Tell a file's format by its first bytes, 64 or more; `RAW` is a camera's; None: no image that is known.

    An ISO file is what any of its brands says, the compatible ones too (ISO/IEC 23008-12).

    Example:
        >>> kind(b"\\0\\0\\0\\x1cftypmif1\\0\\0\\0\\0mif1avifmiaf")
        'AVIF'
    """
    if head[4:8] == b"ftyp" and head[8:12] != b"crx ":
        end = min(int.from_bytes(head[:4], "big"), len(head)) or len(head)
        brands = {head[8:12]} | {head[place : place + 4] for place in range(16, end - 3, 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEVC or head[8:12] in (b"mif1", b"msf1") else None
    return next((kind for pattern, kind in _KINDS if pattern.match(head)), None)


def media_type(head: bytes) -> str:
    """Return how the web calls a file's format; of several pictures in one JPEG a browser shows the first."""
    found = kind(head) or ""
    return {"HEIF": "image/heic", "RAW": "image/x-raw", "PPM": "image/x-portable-anymap"}.get(
        found, f"image/{found.lower()}" if found else "application/octet-stream"
    )


def why_unreadable(head: bytes) -> str | None:
    """Tell by a file's first bytes why it is not read: which extra is missing; "": its format is unknown.

    None: it is of a format that is read.
    """
    found = kind(head)
    if found in EXTRA and not _is_installed(EXTRA[found][1]):
        return f"{EXTRA[found][0]}, read with: pip install 'deep-ranking[photos]'"
    return "" if found is None else None


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def open_as(found: str | None, file: IO[bytes], name: str, check: Callable[..., None]) -> Image.Image:
    """Open an image whose kind is known; its reader alone is asked.

    No reader is registered with Pillow for it: registered before Pillow's own, one takes what they read.

    Args:
        found: what `kind` says.
        file: stands at its beginning.
        name: the path, or "".
        check: called with width, height and the most pixels before a reader that decodes at once.

    Raises:
        UnidentifiedImageError: it is of no known format after all.
        ValueError: a raw file has no preview that can stand for it.
        Exception: whatever else a reader raises.
    """
    if found is None:
        return Image.open(file, formats=FORMATS)
    if found == "RAW" or (found == "TIFF" and _is_raw(file)):
        return _preview(file)
    file.seek(0)
    try:
        if found == "HEIF":
            from pillow_heif import HeifImageFile

            return HeifImageFile(file, name)
        if found == "JXL":
            from pillow_jxl.JpegXLImagePlugin import JXLImageFile

            check(*_jxl_size(file.read(65_536)), int(MOST_BYTES / A_PIXEL["JXL"]))
            file.seek(0)
            return JXLImageFile(file, name)
        Image.preinit()
        if found not in Image.OPEN:
            Image.init()
        # Not by Image.open, which warns of sizes that are no trouble for a JPEG decoded at an eighth.
        return Image.OPEN[found][0](file, name)  # type: ignore[arg-type]
    except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open takes them
        raise UnidentifiedImageError(str(error)) from error


def _directories(data: Buffer) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield the numbers of up to 16 of a TIFF file's directories, those below others too; damage ends it."""
    order = "<" if data[:1] == b"I" else ">"
    places = [struct.unpack_from(order + "I", data, 4)[0]]
    for _ in range(16):
        if not places or not 8 <= places[0] < len(data) - 2:
            return
        place = places.pop(0)
        tags = {}
        count = struct.unpack_from(order + "H", data, place)[0]
        for entry in range(place + 2, min(place + 2 + 12 * count, len(data) - 12), 12):
            tag, form, number = struct.unpack_from(order + "HHI", data, entry)
            size = {1: "B", 3: "H", 4: "I", 13: "I"}.get(form)
            if size and number <= 64:
                form = f"{order}{number}{size}"
                fits = struct.calcsize(form) <= 4
                start = entry + 8 if fits else struct.unpack_from(order + "I", data, entry + 8)[0]
                if start + struct.calcsize(form) <= len(data):
                    tags[tag] = struct.unpack_from(form, data, start)
        yield tags
        places += tags.get(0x014A, ())  # SubIFDs
        if place + 6 + 12 * count <= len(data):
            places.append(struct.unpack_from(order + "I", data, place + 2 + 12 * count)[0])


@contextmanager
def _mapped(file: IO[bytes]) -> Iterator[Buffer]:
    """Give a file's content without reading what nobody looks at."""
    try:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except (OSError, ValueError):  # in memory
        file.seek(0)
        yield file.read()


def _is_raw(file: IO[bytes]) -> bool:
    """Tell a camera's raw file that begins as TIFF does: sensor data, DNG's version, or Canon's mark."""
    with _mapped(file) as data:
        if data[8:10] == b"CR":
            return True
        return data[2:4] in (b"*\0", b"\0*") and any(
            0xC612 in tags or _RAW_PHOTOMETRIC & set(tags.get(0x0106, ())) for tags in _directories(data)
        )


def _preview(file: IO[bytes]) -> Image.Image:
    """Open the largest JPEG inside a raw file; which way is up, it says itself, or else the raw file."""
    with _mapped(file) as data:
        found = max(
            ((width * height, width, height, -place) for width, height, place in _jpegs(data)), default=None
        )
        if found is None:
            raise ValueError("a camera's raw file without a preview; export it as JPEG")
        if max(found[1:3]) < LEAST_PREVIEW:
            raise ValueError(
                f"a camera's raw file whose largest preview is {found[1]} x {found[2]}; export it as JPEG"
            )
        first: dict[int, tuple[int, ...]] = {}
        if data[:2] in (b"II", b"MM"):
            first = next(_directories(data), {})
        image = Image.OPEN["JPEG"][0](io.BytesIO(data[-found[3] :]), "")  # type: ignore[arg-type]
    if first.get(0x0112) and ExifTags.Base.Orientation not in image.getexif():
        image.getexif()[ExifTags.Base.Orientation] = first[0x0112][0]
    return image


def _jpegs(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """Yield width, height and place of each JPEG in a file that is not a sensor's lossless one."""
    start = data.find(_SOI)
    while start >= 0:
        place = start + 2
        while data[place : place + 1] == b"\xff" and place + 9 < len(data):
            marker = data[place + 1]
            if marker in (0xC0, 0xC1, 0xC2):
                height, width = struct.unpack_from(">HH", data, place + 5)
                yield width, height, start
            if not (marker in (0xC4, 0xDB, 0xDD, 0xFE) or 0xE0 <= marker <= 0xEF):
                break
            place += 2 + struct.unpack_from(">H", data, place + 2)[0]
        start = data.find(_SOI, start + 2)


def _jxl_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG XL image by its header (ISO/IEC 18181-1, SizeHeader)."""
    if not data.startswith(b"\xff\x0a"):
        place = data.find(b"\xff\x0a", data.find(b"jxl"))
        data = data[max(place, 0) :]
    bits, used = int.from_bytes(data[2:18], "little"), 0

    def take(count: int) -> int:
        nonlocal used
        used += count
        return bits >> (used - count) & ((1 << count) - 1)

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else 1 + take((9, 13, 18, 30)[take(2)])

    height = side()
    ratio = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[take(3)]
    return (side() if ratio is None else height * ratio[0] // ratio[1]), height


def notice(what: str, images: int = 1) -> None:
    """Count something about images that their user should hear of, once for all images of a run."""
    with _noticing:
        _noticed[what] += images


def take_notices() -> list[str]:
    """Return what was noticed since the last call, as sentences."""
    with _noticing:
        told = [
            f"{count:,} {'image' if count == 1 else 'images'}: {what}" for what, count in _noticed.items()
        ]
        _noticed.clear()
    return told
