"""Do two grey pictures of one size show the same, block by block, and how must one be moved for it?"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

COARSE = 0.7
"""The correlation of the blocks' means, below which two pictures are not compared in detail."""

_LEVELS = 64  # grey levels that a tone curve tells apart
_BLURS = (3.0, 2.0, 1.0, 1.0, 1.0)  # pixels, from step to step of a registration
_FARTHEST = 0.1  # of the side, that a registration moves


def agreement(one: Picture, other: Picture) -> float:
    """Return what three quarters of the blocks reach: the correlation of their details, -1..1.

    Light may differ by any curve that rises: that of the one to the other is fitted first, both ways, as
    what was brightened until parts are white shows nothing there any more.

    Args:
        one: (n, n) grey levels; n a multiple of 8.
        other: likewise.

    Returns:
        The lower quartile over those of 8 x 8 blocks that have details; -1 where none has, or the blocks'
        means do not go together.
    """
    means = np.stack([_cut(one).mean(axis=1), _cut(other).mean(axis=1)])
    if means.std(axis=1).min() == 0 or np.corrcoef(means)[0, 1] < COARSE:
        return -1.0
    return max(_detailed(*some) for some in _in_one_light(one, other))


def _in_one_light(one: Picture, other: Picture) -> Iterator[tuple[Picture, Picture]]:
    yield one, other
    yield lit_as(one, other), other
    yield one, lit_as(other, one)


def lit_as(one: Picture, other: Picture) -> Picture:
    """Return a picture with the tones of another: the rising curve that fits best (isotonic regression).

    Example:
        >>> ramp = np.arange(0, 256, 4, dtype=np.float32)[None]
        >>> bool(np.allclose(lit_as(ramp, np.minimum(255, 2 * ramp)), np.minimum(255, 2 * ramp)))
        True
    """
    from scipy.optimize import isotonic_regression

    level = np.clip(one * (_LEVELS / 256), 0, _LEVELS - 1).astype(np.intp).reshape(-1)
    count = np.bincount(level, minlength=_LEVELS)
    there = np.flatnonzero(count)
    centre, mean = (
        np.bincount(level, picture.reshape(-1), _LEVELS)[there] / count[there] for picture in (one, other)
    )
    curve = isotonic_regression(mean, weights=count[there]).x
    return np.interp(one, centre, curve).astype(np.float32)


def _detailed(one: Picture, other: Picture) -> float:
    from scipy.ndimage import uniform_filter

    blocks, strengths = [], []
    for picture in (one, other):
        cut = _cut(picture - uniform_filter(picture, 9))
        blocks.append(cut - cut.mean(axis=1, keepdims=True))
        strengths.append(np.sqrt((blocks[-1] ** 2).mean(axis=1)))
    overall = [max(1e-6, float(np.sqrt((strength**2).mean()))) for strength in strengths]
    shows = np.maximum(strengths[0] / overall[0], strengths[1] / overall[1]) > 0.25
    shows &= np.maximum(*strengths) > 2
    if not shows.any():
        return -1.0
    product = (blocks[0] * blocks[1]).mean(axis=1) / np.maximum(strengths[0] * strengths[1], 1e-6)
    return float(np.quantile(product[shows], 0.25))


def _cut(picture: Picture) -> Picture:
    """Return 8 x 8 blocks, (64, pixels)."""
    side = len(picture) // 8
    return picture.reshape(8, side, 8, side).transpose(0, 2, 1, 3).reshape(64, side * side)


def registered(
    wanted: Picture, cut: Callable[[NDArray[np.float64]], Picture], box: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move and stretch a box until what it cuts out fits a picture, to a fraction of a pixel.

    By steps of Gauss and Newton on the details, with the light free (Lucas and Kanade 1981).

    Args:
        wanted: (n, n) grey levels.
        cut: what gives the (n, n) grey levels within a box.
        box: (left, top, right, bottom), where to begin.
    """
    from scipy.ndimage import gaussian_filter

    across = np.linspace(-0.5, 0.5, len(wanted), dtype=np.float32)
    start = box
    for blur in _BLURS:
        here, there = (
            gaussian_filter(picture, blur) - gaussian_filter(picture, 4 * blur)
            for picture in (wanted, cut(box))
        )
        down, right = np.gradient(there)
        ways = [there, right, right * across, down, down * across[:, None]]
        columns = np.stack([way.reshape(-1) for way in ways], axis=1)
        light, *moves = np.linalg.lstsq(columns, here.reshape(-1))[0]
        if light <= 0:
            return start
        across_box, down_box = np.reshape(moves, (2, 2)) / (light * len(wanted))
        ends = [shift + wider * np.array([-0.5, 0.5]) for shift, wider in (across_box, down_box)]
        sides = np.tile(box[2:] - box[:2], 2)
        box = box + np.stack(ends, axis=1).reshape(-1) * sides
        if not np.abs(box - start).max() <= _FARTHEST * sides.max():
            return start
    return box
