"""Colours as the file means them, turned into sRGB: embedded profiles, PNG's and AVIF's own words, HDR."""

import io
import struct
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from deep_ranking.images.bands import Colours, strips
from deep_ranking.images.depth import grey_scaler
from deep_ranking.images.forms import notice

ALIKE = 2
"""Of 255; a profile that changes no colour by more is sRGB, and costs nothing."""

WHITE = 250
"""Of 255: where nothing on a white ground is darker, nothing can be told."""

IGNORED = "the colour profile is damaged or of another kind of image, and was ignored"

WHITE_NITS, PEAK_NITS = 203.0, 1000.0
"""HDR's reference white (ITU-R BT.2408), and the brightest light that is told from still brighter ones."""

_D65, _DCI = (0.3127, 0.3290), (0.314, 0.351)
_SRGB = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65)
_PRIMARIES = {  # x, y of red, green, blue and white, by number (ITU-T H.273, table 2)
    1: _SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_DCI),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}  # by number (table 3); that of video is shown as sRGB's by all viewers
_PQ, _HLG = 16, 18
_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


class Means(NamedTuple):
    """What a file says about its colours.

    Attributes:
        profile: an ICC profile.
        primaries: x and y of red, green, blue and white, of an image without a profile.
        gamma: exponent from numbers to light; None: sRGB's curve.
        hdr: number of the curve, PQ or HLG; 0: none of them.
    """

    profile: bytes | None = None
    primaries: tuple[float, ...] = _SRGB
    gamma: float | None = None
    hdr: int = 0


def meaning(info: dict[Any, Any], code: tuple[int, int] | None) -> Means:
    """Gather what is said of an image's colours, the strongest word first: code points, profile, gamma.

    Args:
        info: what Pillow knows of the file.
        code: numbers of the primaries and the curve (ITU-T H.273), if the file has them.
    """
    profile = info.get("icc_profile") or None
    if profile is not None and (found := _code_in(profile)) in (_PQ, _HLG):
        code = _code_in(profile, primaries=True), found
    if code is not None and (code[1] in (_PQ, _HLG) or profile is None):
        primaries = _PRIMARIES.get(code[0], _SRGB)
        return Means(None, primaries, _GAMMAS.get(code[1]), code[1] if code[1] in (_PQ, _HLG) else 0)
    if profile is not None or "srgb" in info or not info.get("gamma"):
        return Means(profile)
    gamma, chromaticity = 1 / info["gamma"], info.get("chromaticity")
    primaries = _SRGB if chromaticity is None else (*chromaticity[2:], *chromaticity[:2])
    usual = abs(gamma - 2.2) < 0.03 and np.allclose(primaries, _SRGB, atol=2e-3)  # how sRGB is said in brief
    return Means() if usual else Means(None, primaries, gamma)


def flattener(image: Image.Image, file: Image.Image) -> Colours | None:
    """Return what turns parts of an image into sRGB, by what was said in its file, transparency on white.

    A sign that is white itself is laid on black: on white it would be a blank, like all others.

    Args:
        image: the whole, of any mode, which is looked at where colours rest on the brightest or darkest.
        file: what Pillow opened.

    Returns:
        a function from a part to an image of mode RGB; None: it is in sRGB.
    """
    if image.mode == "LAB" or (image.mode == "RGB" and not image.info):
        return None if image.mode == "RGB" else _in_rgb
    nclx = file.info.get("nclx_profile")  # of HEIC
    code = (
        (nclx["color_primaries"], nclx["transfer_characteristics"]) if nclx else file.info.get("code_points")
    )
    means = meaning(file.info, code)
    tags = getattr(file, "tag_v2", {})
    if image.mode.startswith("I") or image.mode == "F" or (image.mode == "L" and tags.get(339) == (2,)):
        scale = grey_scaler(image, tags)
        shown = to_srgb("L", means, map(scale, strips(image)))
        clear = image.info.get("transparency")  # the level that a PNG file of 16 bits calls so

        def grey(part: Image.Image) -> Image.Image:
            found = shown(scale(part))
            if isinstance(clear, int):
                found.paste("white", None, Image.fromarray(np.asarray(part) == clear))
            return found

        return grey
    if not image.has_transparency_data:
        mode = image.mode if image.mode in ("L", "RGB", "CMYK") else "RGB"
        shown = to_srgb(mode, means, strips(image))
        if mode == image.mode:
            return None if shown is _in_rgb and mode == "RGB" else shown
        return lambda part: shown(part.convert(mode))
    mode = "LA" if image.mode in ("LA", "L") else "RGBA"
    shown = to_srgb(mode[:-1], means, (part.convert(mode) for part in strips(image)))

    def lay(part: Image.Image, ground: str = "white") -> Image.Image:
        part = part.convert(mode)
        colours = shown(part.convert(mode[:-1]))
        colours.putalpha(part.getchannel("A"))
        return Image.alpha_composite(Image.new("RGBA", part.size, ground), colours).convert("RGB")

    white = all(min(low for low, _ in lay(part).getextrema()) >= WHITE for part in strips(image))  # type: ignore[misc, union-attr]
    return partial(lay, ground="black") if white and _shows(image, mode) else lay


def _shows(image: Image.Image, mode: str) -> bool:
    """Tell whether an image is opaque in some places and not in others."""
    found = [part.convert(mode).getchannel("A").getextrema() for part in strips(image)]
    return min(low for low, _ in found) < max(high for _, high in found)  # type: ignore[operator, type-var]


def to_srgb(mode: str, means: Means, parts: Iterator[Image.Image]) -> Colours:
    """Return what turns images of mode L, RGB or CMYK into sRGB, of mode RGB.

    A grey image may have a profile of colours. One that cannot be used is ignored, and noticed.

    Args:
        parts: all of the image, for HDR, whose brightest number is looked for.
    """
    if means.hdr:
        most = max(high for part in parts for _, high in part.convert("RGB").getextrema())  # type: ignore[misc, union-attr]
        mapped = _tone_map(means.primaries, means.hdr, min(-(-most // 8) * 8, 255))
        return lambda image: image.convert("RGB").filter(mapped)
    if means.profile is None and means.gamma is None and means.primaries == _SRGB:
        return _in_rgb
    try:
        profile = means.profile or matrix_profile(means.primaries, means.gamma)
        if mode == "L" and profile[16:20] == b"RGB ":
            mode = "RGB"
        transform = transform_of(profile, mode)
    except Exception:  # lcms, Pillow and NumPy each have their own
        transform = False
    if transform is False:
        notice(IGNORED)
    return (
        (lambda image: transform(image if image.mode == mode else image.convert(mode)))
        if transform
        else _in_rgb
    )


def _in_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")  # which copies


@lru_cache(maxsize=64)
def transform_of(profile: bytes, mode: str) -> Any:
    """Return what turns images into sRGB by a profile; None: it is sRGB itself; False: it is of no use."""
    if profile[16:20] != _SPACES[mode]:
        return False
    from PIL import ImageCms  # a fifth of the decoder's own start, for files that need it

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # lcms's own shorter tables leave the darkest greys of a linear profile 10 levels too dark.
        flags: Any = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        made = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    if mode == "CMYK":
        return made.apply
    steps = np.rint(np.linspace(0, 255, 256 if mode == "L" else 11)).astype(np.uint8)
    probe = steps[None] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    image = Image.fromarray(np.ascontiguousarray(probe))
    found = made.apply(image)
    if np.abs(np.asarray(found).astype(int) - np.asarray(image.convert("RGB"))).max() <= ALIKE:
        return None
    if mode == "RGB":
        return made.apply
    table = np.asarray(found)[0].T.ravel().tolist()  # of three times 256 greys
    return lambda grey: Image.merge("RGB", [grey] * 3).point(table)


def matrix_profile(primaries: tuple[float, ...], gamma: float | None) -> bytes:
    """Write an ICC profile (version 4) of an RGB space.

    Args:
        primaries: x and y of red, green, blue and white.
        gamma: exponent from numbers to light; None: sRGB's curve.

    Raises:
        ValueError, numpy.linalg.LinAlgError: there is no such space.
    """
    columns = np.nan_to_num(_to_xyz(primaries, adapt=True).T, nan=99.0)
    if np.abs(columns).max() > 9 or not 0.1 < (gamma or 1) < 10:
        raise ValueError("no colours")
    shape = (0, (gamma,)) if gamma else (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    curve = b"para" + struct.pack(">IHH", 0, shape[0], 0) + _fixed(shape[1])
    tags = {
        name: b"XYZ \0\0\0\0" + _fixed(row)
        for name, row in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    tags |= {b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50), **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)}
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4xI", start + len(body), 0x04300000) + b"mntrRGB XYZ " + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + _fixed(_D50)
    return head.ljust(128, b"\0") + table + body


def _fixed(values: Any) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _to_xyz(primaries: tuple[float, ...], adapt: bool = False) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ, (3, 3), white at Y = 1; adapted to D50 if asked for."""
    x, y = np.array(primaries[::2]), np.array(primaries[1::2])
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    white = columns[:, 3]
    matrix = columns[:, :3] * np.linalg.solve(columns[:, :3], white)
    if not adapt:
        return matrix
    scale = np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white))
    return np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ matrix


@lru_cache(maxsize=16)
def _tone_map(primaries: tuple[float, ...], curve: int, most: int, steps: int = 65) -> ImageFilter.Color3DLUT:
    blue, green, red = np.meshgrid(*[np.linspace(0, 1, steps)] * 3, indexing="ij")
    shown = show_hdr(np.stack([red, green, blue], -1).reshape(-1, 3), primaries, curve, most / 255)
    return ImageFilter.Color3DLUT(steps, shown.astype(np.float32).ravel(), _copy_table=False)


def show_hdr(numbers: np.ndarray, primaries: tuple[float, ...], curve: int, most: float = 1) -> np.ndarray:
    """Map HDR to what a viewer shows on a screen without it.

    The reference white tone mapping of SMPTE ST 2094-50, by which Chromium shows such files: the brightest of
    a pixel's three says by how much all three are dimmed, so that hue is kept; the peak becomes white, light
    up to the reference white is dimmed by up to a half, the more the higher the peak. Where Chromium takes
    any file's peak for 1,000 nits, here it is the image's own, up to that: what needs no HDR stays as it is.

    Args:
        numbers: (n, 3), 0..1, as coded.
        primaries: x and y of red, green, blue and white.
        curve: 16 for PQ, 18 for HLG (ITU-T H.273; the formulas are ITU-R BT.2100's).
        most: the largest number in the image, 0..1.

    Returns:
        (n, 3), 0..1, coded as sRGB.
    """
    peak = min(float(_light(np.full((1, 3), most), primaries, curve).max()), PEAK_NITS / WHITE_NITS)
    light = _light(numbers, primaries, curve)
    brightest = np.maximum(light.max(axis=1, keepdims=True), 1e-9)
    light = light * _dimmed(brightest, max(peak, 1.0)) / brightest
    linear = np.clip(light @ (np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(primaries)).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _light(numbers: np.ndarray, primaries: tuple[float, ...], curve: int) -> np.ndarray:
    """Return the light of coded numbers on the screen, in reference whites."""
    if curve == _PQ:
        power = numbers ** (1 / 78.84375)
        part = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        return 10_000 / WHITE_NITS * part ** (1 / 0.1593017578125)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(numbers <= 0.5, numbers**2 / 3, (np.exp((numbers - c) / a) + b) / 12)
    bright = scene @ _to_xyz(primaries)[1]
    return PEAK_NITS / WHITE_NITS * scene * np.maximum(bright, 1e-9)[:, None] ** 0.2


def _dimmed(light: np.ndarray, peak: float) -> np.ndarray:
    """Return 0..1 for light in reference whites: a line up to 1, then Bezier's curve to (peak, 1)."""
    white = 1 - 0.5 * np.log(peak) / np.log(PEAK_NITS / WHITE_NITS)
    middle_x, middle_y = 0.35 + 0.65 / white, 0.35 * white + 0.65
    a, b = 1 - 2 * middle_x + peak, 2 * (middle_x - 1)
    over = np.clip(light, 1, peak) - 1
    t = 2 * over / np.maximum(b + np.sqrt(b * b + 4 * a * over), 1e-9)
    above = (1 - t) ** 2 * white + 2 * t * (1 - t) * middle_y + t * t
    return np.where(light <= 1, white * light, above)


def _code_in(profile: bytes, primaries: bool = False) -> int:
    """Return the number of the curve, or of the primaries, in a profile's tag cicp (ICC.1:2022); 0: none."""
    place = profile.find(b"cicp", 128, 128 + 4 + 12 * 64)
    if place < 0 or place + 8 > len(profile):
        return 0
    start = struct.unpack_from(">I", profile, place + 4)[0] + 8
    return profile[start + (not primaries)] if start + 4 <= len(profile) else 0


def jpeg_profile(data: bytes) -> bytes | None:
    """Return the ICC profile of a JPEG file that has it in one piece; None: in several, or damaged."""
    place = data.find(b"ICC_PROFILE\0")
    if place < 4 or data[place + 12 : place + 14] != b"\1\1":
        return None
    return data[place + 14 : place - 2 + int.from_bytes(data[place - 2 : place], "big")]


def code_points(kind: str | None, head: bytes) -> tuple[int, int] | None:
    """Return the numbers of primaries and curve (ITU-T H.273) in the header of a PNG, AVIF or HEIC file."""
    mark = b"cICP" if kind == "PNG" else b"colrnclx"
    place = head.find(mark)
    if place < 0 or place + len(mark) + 4 > len(head):
        return None
    return tuple(struct.unpack_from(">BB" if kind == "PNG" else ">HH", head, place + len(mark)))  # type: ignore[return-value]
