"""What is kept of a picture to tell copies by: hashes of its lowest frequencies, and a small grey one.

A picture is hashed by the signs of its lowest frequencies (a discrete cosine transform, as in the perceptual
hash of Zauner 2010; here 255 of them). To mirror it flips the signs of the odd ones, to turn it exchanges
rows and columns: so one hash tells of all eight orientations.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deep_ranking.containers import contained
from deep_ranking.files import read_array
from deep_ranking.images import decode, forms
from deep_ranking.images.decode import ImageError, read_image, read_size
from deep_ranking.progress import progress
from deep_ranking.search.cache import Caches

SIDE, FRAME = 16, 64
"""Frequencies a direction that are hashed; the longer side of the small picture."""

WHOLE, FRAMED = 40, 70
"""Signs of 255 in which wholes may differ to be compared; and a whole from what stands on a plain ground."""

FLAT, RICH, LEAST = 4.0, 60, 20
"""A picture shows too little to be told by its signs below so many grey levels (standard deviation), so many
frequencies of 1% of the strongest (a flag has some 15, a photo 100), or so many pixels a side."""

LOOK = np.dtype(
    [
        ("bits", "u1", SIDE * SIDE // 8),
        ("inner", "u1", SIDE * SIDE // 8),
        ("frame", "u1", (FRAME, FRAME)),
        ("shape", "u1", 2),
        ("box", "f4", 4),
        ("size", "u4", 2),
        ("clear", "?"),
        ("framed", "?"),
        ("format", "S8"),
    ]
)
"""What is kept of a picture: the signs of the whole, and those of the largest thing on a plain ground; the
picture in a corner of 64 x 64, and the (height, width) of it there; where that thing is (left, top, right,
bottom, in shares of the sides); (width, height) in pixels, 0 for a file that could not be read; whether the
whole and the thing show anything; the format."""

VERSION = 1
"""Raised whenever the same pixels come to give another `LOOK`."""

_READ = 128  # pixels a side that a picture is read at
_FILE = f"looks{decode.VERSION}-{VERSION}.npy"
_KEPT = np.dtype([("content", "V32"), ("look", LOOK)])
_ODD = np.add.outer(np.arange(SIDE), np.zeros(SIDE, int)) % 2 == 1


def look(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read what is kept of a picture, one `LOOK`; every value is 0 for a file that cannot be read.

    Example:
        >>> int(look("no such file")["size"].sum())
        0
    """
    found = np.zeros((), LOOK)
    try:
        inside = contained(path)
        data = inside if isinstance(inside, bytes) else Path(path).read_bytes()
        grey = grey_of(read_image(data, (_READ, _READ)))
        width, height = read_size(data)
        found["format"] = forms.kind(data[:64]) or ""
    except (ImageError, OSError):
        return found
    found["size"] = width, height
    found["bits"], found["clear"] = hashed(grey), shows(grey) and min(width, height) >= LEAST
    if (box := _on_plain_ground(grey)) is not None:
        inner = np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.BILINEAR, box))
        found["box"] = np.divide(box, _READ)
        found["inner"], found["framed"] = hashed(inner), found["clear"] and shows(inner)
    longer = max(width, height)
    shape = max(8, round(FRAME * height / longer)), max(8, round(FRAME * width / longer))
    small = Image.fromarray(grey).resize(shape[::-1], Image.Resampling.BILINEAR)
    found["shape"], found["frame"][: shape[0], : shape[1]] = shape, np.asarray(small)
    return found


def kept_looks(
    paths: Sequence[str], contents: Sequence[bytes], caches: Caches | None = None, quiet: bool = False
) -> NDArray[Any]:
    """Return the `LOOK` of each of n files, (n,); what was read of a content before is not read again.

    Args:
        paths: the files; "" for one that is gone.
        contents: SHA-256 of each.
        caches: of the index.
        quiet: no progress.
    """

    def write(file: Path) -> None:
        earlier = caches.earlier(_FILE) if caches else None
        known = _by_content(None if earlier is None else _read(earlier))
        new = [(content, path) for content, path in zip(contents, paths, strict=True) if path]
        missing = [(content, path) for content, path in new if content not in known]
        known |= zip(
            (content for content, _ in missing), _looks([path for _, path in missing], quiet), strict=True
        )
        kept = np.zeros(len(new), _KEPT)
        for row, (content, _) in enumerate(new):
            kept[row] = np.void(content), known[content]
        with file.open("wb") as opened:
            np.save(opened, kept)

    known = _by_content(caches.get(_FILE, write, _read)) if caches else {}
    found = np.zeros(len(paths), LOOK)
    rows = [row for row, path in enumerate(paths) if path and contents[row] not in known]
    for row, one in zip(rows, _looks([paths[row] for row in rows], quiet), strict=True):
        found[row] = one
    for row, content in enumerate(contents):
        if content in known:
            found[row] = known[content]
    return found


def _read(file: Path) -> NDArray[Any] | None:
    kept = read_array(file)
    return kept if kept.dtype == _KEPT else None


def _by_content(kept: NDArray[Any] | None) -> dict[bytes, Any]:
    """Return what is kept by content; what could not be read is tried again."""
    rows = () if kept is None else kept
    return {row["content"].tobytes(): row["look"] for row in rows if row["look"]["size"].all()}


def _looks(paths: Sequence[str], quiet: bool) -> Iterator[NDArray[Any]]:
    """Yield `look` of each path in order; threads read ahead."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from progress(pool.map(look, paths), "hashing", "images", total=len(paths), quiet=quiet)


def turned(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the hashes of a picture's eight orientations from its own.

    Args:
        bits: (n, 32) uint8.

    Returns:
        (8, n, 32): as it is, upside down, mirrored, turned by half; then the same of the transposed.
    """
    signs = np.unpackbits(bits, axis=1).reshape(-1, SIDE, SIDE).astype(bool)
    orientations = []
    for some in (signs, signs.transpose(0, 2, 1)):
        for rows in (False, True):
            for columns in (False, True):
                flipped = some ^ ((_ODD & rows) ^ (_ODD.T & columns))
                flipped[:, 0, 0] = False
                orientations.append(np.packbits(flipped.reshape(-1, SIDE * SIDE), axis=1))
    return np.stack(orientations)


def differences(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return in how many signs hashes differ, over their last axis.

    Example:
        >>> int(differences(np.array([3, 1], np.uint8), np.array([0, 1], np.uint8)))
        2
    """
    return np.bitwise_count(one ^ other).sum(axis=-1, dtype=np.intp)


def near_by_hash(found: NDArray[Any], most: int = 6) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows, the smaller first, whose hashes are near: of each row the nearest few.

    That is its whole against all wholes in all orientations, and what stands on a plain ground against them.

    Args:
        found: (n,) of `LOOK`.
        most: of a row; so a thousand screens of one program ask for some thousand looks, not for all pairs.
    """
    seen: set[tuple[int, int]] = set()
    clear = np.flatnonzero(found["clear"])
    for start, best in _likest(found[clear], inner=True):
        for row in np.flatnonzero(best.max(axis=1) > 0).tolist():
            others = np.flatnonzero(best[row] > 0)
            # The first of all too: of more than `most` equal ones, each might else know only some others.
            some = {int(others[0]), *others[np.argsort(-best[row, others], kind="stable")[:most]].tolist()}
            seen |= {(min(start + row, other), max(start + row, other)) for other in some}
    yield from ((int(clear[one]), int(clear[other])) for one, other in sorted(seen))


def near_counts(found: NDArray[Any]) -> NDArray[np.intp]:
    """Return for each row how many others have a near hash in some orientation."""
    counts = [np.count_nonzero(best > 0, axis=1) for _, best in _likest(found, inner=False)]
    return np.concatenate([np.zeros(0, np.intp), *counts])


def _likest(found: NDArray[Any], inner: bool) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row of each block, and how alike its hashes are to all; below 0 where not near."""
    wholes = _signs(found["bits"], found["clear"])
    kinds = [(_signs(bits, found["clear"]), WHOLE) for bits in turned(found["bits"])]
    kinds += [(_signs(found["inner"], found["framed"]), FRAMED)] if inner else []
    step = max(1, 2**22 // max(1, len(found)))  # 16 MiB at once
    for start in range(0, len(found), step):
        best = np.full((min(step, len(found) - start), len(found)), -1, np.float32)
        for signs, limit in kinds:
            alike = signs[start : start + step] @ wholes.T
            alike[alike < SIDE * SIDE - 1 - 2 * limit] = -1
            np.maximum(best, alike, out=best)
        best[np.arange(len(best)), np.arange(start, start + len(best))] = -1
        yield start, best


def hashed(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the hash of a square picture, (32,) uint8.

    Args:
        grey: (n, n); n a multiple of 32.
    """
    signs = _lowest(grey) > 0
    signs[0, 0] = False  # the mean, of which all pictures have one
    return np.packbits(signs.reshape(-1))


def shows(grey: NDArray[Any]) -> bool:
    """Tell whether a square picture has enough in it to be told by its hash."""
    strengths = np.abs(_lowest(grey))
    strengths[0, 0] = 0
    return bool(np.std(grey) >= FLAT and np.count_nonzero(strengths > strengths.max() / 100) >= RICH)


def _lowest(grey: NDArray[Any]) -> NDArray[np.float64]:
    """Return the lowest frequencies of a square picture, (16, 16)."""
    from scipy.fft import dctn

    times = len(grey) // 32
    small = grey.reshape(32, times, 32, times).mean(axis=(1, 3), dtype=np.float64)
    return np.asarray(dctn(small, norm="ortho")[:SIDE, :SIDE])


def _signs(bits: NDArray[np.uint8], clear: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the hashes as -1 and 1, whose products count what is alike; 0 where there is none."""
    signs = 2 * np.unpackbits(bits, axis=1).astype(np.float32) - 1
    signs[:, 0] = 0
    signs[~clear] = 0
    return signs


def grey_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture without its colours, (height, width) uint8."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _on_plain_ground(grey: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Return (left, top, right, bottom) of the largest thing on a plain ground; None where that is all."""
    from scipy.ndimage import find_objects, label

    ground = int(np.bincount(grey.reshape(-1), minlength=256).argmax())
    parts, count = label(np.abs(grey.astype(np.int16) - ground) > 6)
    if not count:
        return None
    largest = int(np.bincount(parts.reshape(-1))[1:].argmax()) + 1
    rows, columns = find_objects(parts)[largest - 1]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if min(height, width) < 16 or height * width > 0.95 * grey.size:
        return None
    return columns.start, rows.start, columns.stop, rows.stop
