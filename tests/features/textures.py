"""Images with structure for every feature."""

import numpy as np


def texture(seed: int, height: int = 60, width: int = 90) -> np.ndarray:
    """Return coloured waves with some noise: structure for every feature, and different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    frequency, phase = rng.uniform(-0.4, 0.4, (2, 3)), rng.uniform(0, 6, 3)
    waves = np.sin(y[..., None] * frequency[0] + x[..., None] * frequency[1] + phase)
    return np.clip(128 + 90 * waves + rng.normal(0, 10, (height, width, 3)), 0, 255).astype(np.uint8)
