"""What a file is by its content: an image that is read, or the reason why it is none, without decoding it."""

import errno
import os
import re
from pathlib import PurePath

from deep_ranking.containers import is_named_as_image
from deep_ranking.images import forms
from deep_ranking.images.decode import MAX_PIXELS, ImageError, TooManyPixelsError, read_image, read_size

EMPTY = "empty file"
DAMAGED = "cut short or damaged"
TOO_LARGE = f"more than {MAX_PIXELS:,} pixels"
NO_IMAGE = "not an image"
SPECIAL = "a pipe, a socket or a device, not opened"
BROKEN_LINK = "broken link"
GONE = "removed while the folder was looked into"
NO_PERMISSION = "no permission to read"
PACKED = "compressed archive, not read; unpack it, or of a tar file its compression alone"

WEB_PAGE = "a web page, as a download that failed leaves it"
RAW = "camera's raw file without a preview of use; export it as JPEG"

_CUT = 12  # bytes at the end that are looked at
_SMALL_RAW = 4 << 20  # bytes; in a larger one the preview is looked for once, when it is its turn
_LARGE = 24 << 20  # bytes; a smaller file of too many pixels is told when it is decoded
_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PN": b"IEND\xaeB`\x82", b"GIF": b";"}
_RAW_ENDINGS = {  # of cameras whose files begin as a TIFF file does, or as no known one
    ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw",
}  # fmt: skip
_CONTAINER_ENDINGS = {
    ".tar": "tar file",
    ".parquet": "Parquet file",
}
_DATA_ENDINGS = {
    ".arrow": "Hugging Face's Arrow file, not read; write it anew with Dataset.to_parquet",
    ".tfrecord": "TensorFlow's records, not read in place: deep-ranking prepare tfrecord",
}
_OTHER_ENDINGS = {
    ".bpg", ".cur", ".dcm", ".dds", ".djvu", ".emf", ".eps", ".exr", ".fits", ".hdr", ".icns", ".ico", ".jls",
    ".jxr", ".pcx", ".pict", ".qoi", ".ras", ".sgi", ".tga", ".wdp", ".wmf", ".xcf",
}  # fmt: skip
_PACKED = re.compile(r"(?i)\.(?:tar\.(?:gz|bz2|xz|zst|lz4)|t[gbx]z2?|tzst|zip|7z|rar)$")
_OTHERS = [
    (re.compile(pattern, re.DOTALL), told)
    for pattern, told in (
        (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000, not read; export it as JPEG"),
        (rb"8BPS", "Photoshop file, not read; export it as JPEG"),
        (rb".{4}(ftyp|moov|mdat)|RIFF.{4}AVI |\x1a\x45\xdf\xa3|\0\0\x01\xba", "video"),
        (rb"%PDF", "PDF document"),
        (rb"\s*(<\?xml.*)?<svg", "SVG drawing, not read; export it as PNG"),
        (rb"(?i)\s*<(!doctype )?html", WEB_PAGE),
        (rb"version https://git-lfs", "Git LFS stands for it; get the file with: git lfs pull"),
    )
]


def why_no_image(path: str) -> str | None:
    """Tell by its content why a file is no image that is read; None: it is one, as far as can be seen.

    The first bytes say the format, the last whether the file is whole. Where the last look cut, and only
    there, the image is decoded, so that what is said is true.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "a.jpg").write_bytes(b"text")
        ...     why_no_image(f"{folder}/a.jpg")
        'not an image'
    """
    try:
        # Of what has become a pipe since it was listed, an open without waiting is at once.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            head = os.read(file, 64)
            if (why := forms.why_unreadable(head)) is not None:
                return why or what_else(head, path)
            try:
                size = os.lseek(file, -_CUT, os.SEEK_END) + _CUT
                tail = os.read(file, _CUT)
            except OSError:  # shorter than that
                return DAMAGED
            if head[4:8] in (b"ftyp", b"JXL "):
                doubtful = not _boxes_fit(file, size)
            else:
                doubtful = _looks_cut(head, tail, size) and not (head[0] == 0xFF and _ends_later(file, size))
        finally:
            os.close(file)
    except OSError as error:
        return why_not_opened(error)
    if forms.kind(head) == "RAW" or (head[:1] in b"IM" and _is_named_raw(path)):
        return (_why_not_decoded(path, wholly=True) and RAW) if size <= _SMALL_RAW else None
    return _why_not_decoded(path, wholly=doubtful) if doubtful or size > _LARGE else None


_FOR_NOW = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EMFILE)
NOT_NOW = {NO_PERMISSION, *map(os.strerror, _FOR_NOW)}
"""Reasons that tell nothing of a file: it may be as it was."""


def why_not_opened(error: OSError) -> str:
    """Return the reason for which the system does not open a file or a folder."""
    if isinstance(error, PermissionError):
        return NO_PERMISSION
    if isinstance(error, FileNotFoundError):
        return BROKEN_LINK if os.path.islink(error.filename or "") else GONE  # noqa: PTH114
    return error.strerror or str(error)


def what_else(head: bytes, path: str) -> str:
    """Tell what a file is that is no image, by how it begins and by its name."""
    if not head:
        return EMPTY
    ending = PurePath(path).suffix.lower()
    if ending in _CONTAINER_ENDINGS:
        named = "" if path.endswith(ending) else f", not read: its name has to end in {ending}"
        return _CONTAINER_ENDINGS[ending] + named
    if ending in _DATA_ENDINGS:
        return _DATA_ENDINGS[ending]
    if _PACKED.search(path):
        return PACKED
    told = next((told for pattern, told in _OTHERS if pattern.match(head)), NO_IMAGE)
    if told == WEB_PAGE and not is_named_as_image(path):
        return NO_IMAGE
    if told == NO_IMAGE and ending in _OTHER_ENDINGS and (not head.isascii() or head.startswith(b"%!PS")):
        return f"image of a format that is not read ({ending}); export it as JPEG or PNG"
    return RAW if told == NO_IMAGE and _is_named_raw(path) else told


def _is_named_raw(path: str) -> bool:
    return PurePath(path).suffix.lower() in _RAW_ENDINGS


def _looks_cut(head: bytes, tail: bytes, size: int) -> bool:
    if end := _ENDS.get(head[:3]):
        if head[0] == 0x89 and _number(head[16:20]) * _number(head[20:24]) > MAX_PIXELS:
            return True
        return not tail.endswith(end)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") + 8 > size
    if head[:2] in (b"II", b"MM"):  # TIFF, whose first table may stand anywhere
        return int.from_bytes(head[4:8], "little" if head[:1] == b"I" else "big") >= size
    return False


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _boxes_fit(file: int, size: int) -> bool:
    """Tell whether the boxes of an ISO file (HEIC, AVIF, JPEG XL) end where it does."""
    place = 0
    for number in range(64):
        os.lseek(file, place, os.SEEK_SET)
        box = os.read(file, 16)
        length = _number(box[:4])
        if length == 0 and box[4:8].strip(b"\0"):  # up to the end
            return True
        length = _number(box[8:16]) if length == 1 else length
        place += length
        if length < 8 or place >= size:
            return place == size and length >= 8 and number > 0
    return True


def _ends_later(file: int, size: int) -> bool:
    """Tell whether a JPEG file's image has its end, after which a camera may have put a film or its own data.

    Within the scan no other marker than the end is `FF D9`; a preview in the header has one of its own.
    """
    place = 2
    while place + 4 <= size:  # from segment to segment, up to the scan
        os.lseek(file, place, os.SEEK_SET)
        segment = os.read(file, 4)
        if len(segment) < 4 or segment[0] != 0xFF:
            return False
        if segment[1] == 0xDA:
            break
        place += 1 if segment[1] == 0xFF else 2 + _number(segment[2:])
    os.lseek(file, place, os.SEEK_SET)
    last = b""
    while block := os.read(file, 1 << 20):
        if b"\xff\xd9" in last + block:
            return True
        last = block[-1:]
    return False


def _why_not_decoded(path: str, wholly: bool) -> str | None:
    try:
        if wholly:
            read_image(path, (32, 32))
        else:
            read_size(path)
    except TooManyPixelsError:
        return TOO_LARGE
    except ImageError:
        return DAMAGED
    return None
