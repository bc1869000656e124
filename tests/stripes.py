"""A small data set that colour alone does not tell apart."""

from pathlib import Path

import numpy as np
from PIL import Image


def draw_stripes(root: Path, count: int) -> Path:
    """Draw `striped_classes`, of so many images each."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:40, :40]
    for name, along in {"across": y, "down": x, "slant": x + y}.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            stripes = 0.5 + 0.5 * np.sin(along * 2 * np.pi / 8 + rng.uniform(0, 2 * np.pi))
            pixels = stripes[..., None] * rng.uniform(80, 255, 3) + rng.uniform(0, 40, (40, 40, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{number}.png")
    return root
