"""Images of more than 8 bits a sample, whose range no reader knows: whole numbers, floats, negatives."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from deep_ranking.images.bands import Colours, strips
from deep_ranking.images.forms import notice

FEWEST_LEVELS = 32
"""Of 256; an image that would have fewer is scaled by the range of its own values."""

_BLOCK = 1 << 22  # bytes at a time
_TOPS = (255, 1023, 4095, 16383, 65535)
_NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
_SMALLEST, _LARGEST = (340, 280), (341, 281)  # SMinSampleValue, MinSampleValue, and the largest (TIFF 6.0)


def grey_scaler(image: Image.Image, tags: Any) -> Colours:
    """Return what scales parts of an image, grey of more than 8 bits, to 0..255.

    Whole numbers fill the fewest of 8, 10, 12, 14 and 16 bits that hold them, or those that the file says;
    floats 0..1, 0..255, or as whole numbers. Where that would leave fewer than `FEWEST_LEVELS` (temperatures
    in kelvin, say), or does not hold the values (Hounsfield units), their own range is taken, or the one that
    a TIFF file declares. What is no number is the lowest. A TIFF whose zero is white is turned.

    Args:
        image: of mode I;16 and its kin, I or F.
        tags: of a TIFF file, by number; empty for others.

    Returns:
        a function from a part of the image to one of mode L.
    """

    stored = tags.get(258), tags.get(339, (1,))[0]

    def values_of(part: Image.Image) -> np.ndarray:
        values = np.asarray(part)
        if values.dtype == np.int32 and stored == ((32,), 1):
            return values.view(np.uint32)  # as Pillow has no such mode
        return values.view(np.int8) if stored == ((8,), 2) else values

    low, high, kind = _extent(values_of(part) for part in strips(image))
    bottom, top = _range(kind, low, high, tags)
    factor = 255 / (top - bottom)

    def scale(part: Image.Image) -> Image.Image:
        values = np.nan_to_num(values_of(part).astype(np.float64), nan=low, posinf=high, neginf=low)
        values -= bottom
        values *= factor
        scaled = np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8)
        if tags.get(262) == 0:  # WhiteIsZero, which Pillow turns for 8 bits alone
            np.subtract(255, scaled, out=scaled)
        return Image.fromarray(scaled)

    return scale


def _extent(parts: Iterator[np.ndarray]) -> tuple[float, float, np.dtype]:
    low, high = np.inf, -np.inf
    for part in parts:
        kind = part.dtype
        if kind.kind == "f":
            part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return (low, high, kind) if low <= high else (0.0, 0.0, kind)


def _range(kind: np.dtype, low: float, high: float, tags: Any) -> tuple[float, float]:
    smallest, largest = _declared(tags, _SMALLEST), _declared(tags, _LARGEST)
    if (
        smallest is not None
        and largest is not None
        and smallest <= low <= high <= largest
        and (high - low) * 255 >= FEWEST_LEVELS * (largest - smallest) > 0
    ):
        return smallest, largest
    tops: tuple[int, ...] = (1,)
    top: float = 1
    if kind.kind != "f" or low < 0 or high > 1:
        most = tags.get(258, (16,))[0]  # 12 bits stay 12, however dark
        tops = (2**most - 1,) if 8 < most < 16 else _TOPS
        if tags.get(339, (1,))[0] == 2 and most <= 16:
            tops = (*(top for top in tops if top < 2 ** (most - 1)), 2 ** (most - 1) - 1)
        top = next((top for top in tops if high <= top), 0)
    if low == high or (low >= 0 and top and (high - low) * 255 >= FEWEST_LEVELS * top):
        if top not in (1, tops[-1], 255):
            notice("grey of more than 8 bits, scaled by the bits that its values take")
        return 0, top or max(high, 1)
    notice("grey of more than 8 bits, scaled by the range of its own values")
    return low, high


def _declared(tags: Any, names: tuple[int, int]) -> float | None:
    found = next((tags[name] for name in names if name in tags), None)
    return found if found is None else float(found[0] if isinstance(found, tuple) else found)


def spreader(image: Image.Image) -> Colours | None:
    """Return what scales colours that were stored as 16 bits and are fewer; Pillow gives the upper 8 of them.

    Raises:
        ValueError: they are 12 or fewer, of which next to nothing is left.
    """
    tops: list[int] = [high for _, high in image.getextrema()]  # type: ignore[misc, union-attr]
    colours = len(tops) - (image.mode in ("LA", "RGBA", "RGBX"))
    levels: list[int] = []
    for some in (tops[:colours], tops[colours:]):  # transparency by itself, which may be all of 16
        top = max(some, default=0)
        if 0 < top < 16:
            raise ValueError("colours of 12 bits or fewer in 16; scale them to 16")
        most = 63 if 0 < top < 64 else 255
        levels += [min(255, round(level * 255 / most)) for level in range(256)] * len(some)
    if levels == [*range(256)] * len(tops):
        return None
    notice("colours of 14 bits in 16, scaled")
    return lambda part: part.point(levels)


def right_order(image: Image.Image) -> None:
    """Mend, before it is decoded, the order of the bytes in compressed big-endian TIFF files of 32 bits.

    What decompresses gives numbers in this machine's order already; Pillow would turn them once more.
    """
    tiles: Any = getattr(image, "tile", [])
    tiles[:] = [
        tile._replace(args=(_NATIVE[tile.args[0]], *tile.args[1:]))
        if tile.codec_name == "libtiff" and tile.args[0] in _NATIVE
        else tile
        for tile in tiles
    ]


def read_planes(image: Image.Image) -> Image.Image | None:
    """Read an uncompressed TIFF of 16 bits a sample, plane after plane, which Pillow scrambles.

    Returns:
        the image in 8 bits, not yet turned upright; None: it is of another kind.

    Raises:
        ValueError: it is of that kind, and not stored as most are.
    """
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(258, ())
    if tags.get(284) != 2 or tags.get(259, 1) != 1 or max(bits, default=8) <= 8 or len(bits) < 2:
        return None
    offsets, counts = tags.get(273), tags.get(279)
    signs, modes = set(tags.get(339, (1,))), {2: {3: "RGB", 4: "RGBA"}, 5: {4: "CMYK"}, 1: {2: "LA"}}
    mode = modes.get(tags.get(262, 0), {}).get(len(bits))
    if set(bits) != {16} or not offsets or not counts or signs != {1} or mode is None:
        raise ValueError(
            "planes of more than 8 bits, stored as no reader here takes them; save them interleaved"
        )
    order = ">" if tags.prefix == b"MM" else "<"
    width, height, samples = tags[256], tags[257], len(bits)
    # Of RGB with a fourth, unused byte, as Pillow keeps it: so nothing is copied below.
    pixels = np.zeros((height * width, 4 if samples == 3 else samples), np.uint8)
    places = list(zip(offsets, counts, strict=True))
    each = len(places) // samples
    for sample in range(samples):
        filled = 0
        for offset, count in places[sample * each : (sample + 1) * each]:
            image.fp.seek(offset)  # type: ignore[attr-defined]
            for first in range(0, count, _BLOCK):
                data = image.fp.read(min(_BLOCK, count - first))  # type: ignore[attr-defined]
                values = np.frombuffer(data, f"{order}u2")
                pixels[filled : filled + len(values), sample] = values >> 8
                filled += len(values)
        if filled != height * width:
            raise ValueError("image file is truncated")
    mode = "RGBX" if mode == "RGB" else mode
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
