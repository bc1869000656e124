"""Painting one image of the drawn data set: a shape or a texture, in one colour, on a ground."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

SIZES = (0.4, 0.8)
ANGLES = (-45.0, 45.0)

Ink = tuple[np.ndarray, np.ndarray]
"""How much ink lies somewhere, 0 to 1, and where its light parts are, 0 to 1.

A pattern gives it for coordinates (u, v), v up, in which a shape fills the unit disc and a texture repeats
at a distance of about 1. None looks the same after a turn of less than 180 degrees, so that its angle can be
told.
"""

_OVERSAMPLING = 3  # each pixel is the mean of 3 x 3: smooth edges


class Appearance(NamedTuple):
    """How one drawn image looks.

    `path` is relative to the root of the data set; `hue` is in degrees, 0 to 360, of the OKLCH colour circle;
    `size` is the shape's radius as a share of half the image's side, `SIZES[0]` to `SIZES[1]` (a texture
    repeats at that distance); `angle` is in degrees, `ANGLES[0]` to `ANGLES[1]`, anticlockwise.
    """

    path: str
    category: str
    hue: float
    size: float
    angle: float


def paint(appearance: Appearance, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Paint an image that looks as `appearance` says.

    Category, hue, size and angle are given; all else is left to chance and tells nothing: where the shape
    lies, a light or a dark ground with a tint and a gradient of its own, the direction of the light, the
    grain.

    Args:
        appearance: what to paint; its path is not used.
        pixels: the side of the image.
        rng: where chance comes from.

    Returns:
        (pixels, pixels, 3) uint8, RGB.
    """
    is_shape = appearance.category in SHAPES
    pattern = (SHAPES if is_shape else TEXTURES)[appearance.category]
    side = pixels * _OVERSAMPLING
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(steps, -steps)
    # A shape stays in the picture; where a texture begins is free.
    room = 0.9 - appearance.size if is_shape else 1.0
    left, up = rng.uniform(-room, room, 2).tolist()
    cosine, sine = math.cos(math.radians(appearance.angle)), math.sin(math.radians(appearance.angle))
    u = (cosine * (x - left) + sine * (y - up)) / appearance.size
    v = (cosine * (y - up) - sine * (x - left)) / appearance.size
    ink, light = pattern(u, v)

    is_dark = rng.random() < 0.4
    towards = rng.uniform(0, 2 * np.pi)
    slope = (math.cos(towards) * x + math.sin(towards) * y) / 2
    ground_hue, ground = rng.uniform(0, 360), rng.uniform(0.2, 0.34) if is_dark else rng.uniform(0.88, 0.95)
    picture = oklch(ground + 0.05 * slope, 0.03, ground_hue)
    if is_shape:
        picture *= 1 - (0.3 if is_dark else 0.22) * _shadow(ink)[..., None]
    colour = oklch(0.68 + 0.09 * slope, 0.13, appearance.hue)
    accent = oklch(0.9 + 0.03 * slope, 0.06, appearance.hue)
    colour += light[..., None] * (accent - colour)
    picture += ink[..., None] * (colour - picture)

    picture = picture.reshape(pixels, _OVERSAMPLING, pixels, _OVERSAMPLING, 3).mean((1, 3)) * 255
    picture += rng.normal(0, 2.5, (pixels, pixels, 1)) + rng.normal(0, 1.5, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def oklch(lightness: np.ndarray | float, chroma: float, hue: float) -> np.ndarray:
    """Convert an OKLCH colour to RGB; equal steps of its hue look about equally large.

    Source: Björn Ottosson, "A perceptual color space for image processing", 2020 (the matrices), and the sRGB
    transfer curve of IEC 61966-2-1.

    Args:
        lightness: any shape, 0 black to 1 white.
        chroma: 0 grey to about 0.3.
        hue: degrees.

    Returns:
        the shape of `lightness` and 3, RGB 0..1, clipped to what a screen can show.

    Example:
        >>> print(np.round(oklch(0.627955, 0.257683, 29.2339), 3))  # pure red
        [1. 0. 0.]
    """
    a, b = chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))
    lightness = np.asarray(lightness, np.float32)[..., None]
    long = 0.3963377774 * a + 0.2158037573 * b
    middle = -0.1055613458 * a - 0.0638541728 * b
    short = -0.0894841775 * a - 1.2914855480 * b
    cones = (lightness + np.array([long, middle, short], np.float32)) ** 3
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ],
        np.float32,
    )
    linear = np.clip(cones @ to_linear.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def star(u: np.ndarray, v: np.ndarray) -> Ink:
    """Four rays, the upright ones longer."""
    rays = np.abs(u / 0.62) ** 0.62 + np.abs(v) ** 0.62
    return _inside(1 - rays), _inside(0.62 - rays)


def ring(u: np.ndarray, v: np.ndarray) -> Ink:
    """A ring that is open at the top, with a bead in the opening."""
    radius = np.hypot(u, v)
    band = 0.2 - np.abs(radius - 0.8)
    opening = np.abs(np.arctan2(u, v)) - 0.62
    bead = 0.17 - np.hypot(u, v - 0.8)
    return np.maximum(_inside(np.minimum(band, opening)), _inside(bead)), _inside(bead)


def moon(u: np.ndarray, v: np.ndarray) -> Ink:
    """A crescent, open to the upper right."""
    disc = 1 - np.hypot(u, v)
    bite = np.hypot(u - 0.32, v - 0.32) - 0.74
    return _inside(np.minimum(disc, bite)), _inside(np.minimum(disc, bite) - 0.16)


def leaf(u: np.ndarray, v: np.ndarray) -> Ink:
    """A pointed leaf with a stalk and veins."""
    blade = 0.92 - np.hypot(np.abs(u) + 0.36, (v - 0.2) * 1.08)
    stalk = np.minimum(0.045 - np.abs(u), np.minimum(v + 1, 0.2 - v))
    midrib = np.minimum(0.028 - np.abs(u), 0.75 - v)
    veins = 0.05 - np.abs((v - np.abs(u) * 0.9 + 1.0) % 0.26 - 0.13)
    lines = np.maximum(_inside(midrib), 0.7 * _inside(veins)) * _inside(blade - 0.05)
    return np.maximum(_inside(blade), _inside(stalk)), lines


def stripes(u: np.ndarray, v: np.ndarray) -> Ink:
    """Upright stripes, broad and fine by turns."""
    broad = 0.25 - np.abs((u + 0.5) % 1 - 0.5)
    fine = 0.045 - np.abs(u % 1 - 0.5)
    return np.maximum(_inside(broad), _inside(fine)), _inside(fine)


def checks(u: np.ndarray, v: np.ndarray) -> Ink:
    """A harlequin's lozenges, taller than broad."""
    left, right = u / 0.8 + v / 1.5, u / 0.8 - v / 1.5
    ink = np.sin(np.pi * left) * np.sin(np.pi * right)
    seam = np.minimum(np.abs((left + 0.5) % 1 - 0.5), np.abs((right + 0.5) % 1 - 0.5))
    return _inside(ink / 2), _inside(seam - 0.3) * _inside(ink / 2)


def dots(u: np.ndarray, v: np.ndarray) -> Ink:
    """Upright oval dots in staggered columns."""
    column = np.floor(u / 0.6)
    x, y = u / 0.6 - column - 0.5, (v / 1.2 + column % 2 / 2) % 1 - 0.5
    oval = 0.3 - np.hypot(x * 0.6 * 1.5, y * 1.2 * 0.8)
    return _inside(oval), _inside(oval - 0.14)


def wave(u: np.ndarray, v: np.ndarray) -> Ink:
    """Level waves, one above the other."""
    height = v / 0.75 + 0.3 * np.sin(2 * np.pi * u / 1.3)
    crest = 0.24 - np.abs(height % 1 - 0.5)
    return _inside(crest), _inside(0.07 - np.abs(height % 1 - 0.62))


def _shadow(ink: np.ndarray) -> np.ndarray:
    """Return the soft shadow that the ink throws down and to the right, 0 to 1."""
    side = len(ink)
    image = Image.fromarray((ink * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(side / 28))
    shift = side // 32
    shadow = np.zeros_like(ink)
    shadow[shift:, shift:] = np.asarray(image)[:-shift, :-shift] / 255
    return shadow


def _inside(depth: np.ndarray) -> np.ndarray:
    """Return 1 where `depth` is positive, 0 where it is negative, softly between."""
    return np.clip(depth / 0.03 + 0.5, 0, 1)


Pattern = Callable[[np.ndarray, np.ndarray], Ink]
SHAPES: dict[str, Pattern] = {"leaf": leaf, "moon": moon, "ring": ring, "star": star}
TEXTURES: dict[str, Pattern] = {"checks": checks, "dots": dots, "stripes": stripes, "wave": wave}
