"""The categories of the drawn data set: four shapes and four textures.

Each is a function of coordinates (u, v), v up, in which the shape fills the unit disc and a texture repeats
at a distance of about 1; it returns how much ink lies there, 0 to 1, and where the light parts of the ink
are, 0 to 1. None looks the same after a turn of less than 180 degrees, so that its angle can be told.
"""

from collections.abc import Callable

import numpy as np

Ink = tuple[np.ndarray, np.ndarray]


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


def _inside(depth: np.ndarray) -> np.ndarray:
    """Return 1 where `depth` is positive, 0 where it is negative, softly between."""
    return np.clip(depth / 0.03 + 0.5, 0, 1)


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], Ink]] = {
    "leaf": leaf,
    "moon": moon,
    "ring": ring,
    "star": star,
}
TEXTURES: dict[str, Callable[[np.ndarray, np.ndarray], Ink]] = {
    "checks": checks,
    "dots": dots,
    "stripes": stripes,
    "wave": wave,
}
