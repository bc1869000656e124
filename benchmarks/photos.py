"""Photographs to measure with: drawn noise that has the spectrum of photographs, as JPEG."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_photos(folder: Path, side: int, count: int) -> list[str]:
    """Write square RGB photographs (JPEG, quality 90) and return their names."""
    rng = np.random.default_rng(side)
    # Amplitudes fall as 1 / frequency, in photographs and here.
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(count):
        noise = np.fft.rfft2(rng.standard_normal((3, side, side)))
        pixels = np.fft.irfft2(noise / frequency, s=(side, side)).transpose(1, 2, 0)
        pixels = np.clip(128 + 60 * pixels / pixels.std(), 0, 255).astype(np.uint8)
        names.append(f"{number:05d}.jpg")
        Image.fromarray(pixels).save(folder / names[-1], quality=90)
    return names
