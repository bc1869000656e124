"""Painting one image of the drawn data set."""

import math

import numpy as np
from PIL import Image, ImageFilter

from deep_ranking.datasets.patterns import SHAPES, TEXTURES
from deep_ranking.datasets.relevance import Appearance

_OVERSAMPLING = 3  # each pixel is the mean of 3 x 3: smooth edges


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
    cones = (
        lightness
        + np.array(
            [
                0.3963377774 * a + 0.2158037573 * b,
                -0.1055613458 * a - 0.0638541728 * b,
                -0.0894841775 * a - 1.2914855480 * b,
            ],
            np.float32,
        )
    ) ** 3
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


def _shadow(ink: np.ndarray) -> np.ndarray:
    """Return the soft shadow that the ink throws down and to the right, 0 to 1."""
    side = len(ink)
    image = Image.fromarray((ink * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(side / 28))
    shift = side // 32
    shadow = np.zeros_like(ink)
    shadow[shift:, shift:] = np.asarray(image)[:-shift, :-shift] / 255
    return shadow
