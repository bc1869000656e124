"""Random numbers as a pure function of a seed and of counters: no generator, so no state to save."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ODD = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio: the step of SplitMix64
_MASK = (1 << 64) - 1


def uniforms(seed: int, *counters: ArrayLike) -> NDArray[np.float64]:
    """Return a uniform number in the open interval (0, 1) for each element of the broadcast counters.

    The same seed and counters give the same number, in whatever order and in whatever pieces it is asked
    for. That makes a sampler that is interrupted, split over machines, or called with other chunk sizes
    draw the same triplets. Each counter passes through the finalizer of SplitMix64 (Steele, Lea and Flood,
    "Fast splittable pseudorandom number generators", 2014), in which each bit changes half of all bits.

    Args:
        seed: any integer.
        counters: integers or arrays of them, taken modulo 2^64.

    Returns:
        float64, of the counters' broadcast shape; multiples of 2^-52 shifted by 2^-53, so never 0 nor 1.

    Example:
        >>> four = uniforms(7, 0, [0, 1, 2, 3])
        >>> bool((four[2:] == uniforms(7, 0, [2, 3])).all())
        True
    """
    state = np.asarray(_mixed(np.array([seed & _MASK], np.uint64)))
    for counter in counters:
        state = _mixed(state + np.asarray(counter).astype(np.uint64) * np.uint64(_ODD) + np.uint64(_ODD))
    state >>= np.uint64(12)
    numbers = state.astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-52
    return numbers


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = bits ^ (bits >> np.uint64(30))
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits
