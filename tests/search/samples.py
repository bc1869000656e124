"""Vectors, images and an embedder for the tests of search."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from deep_ranking.images.decode import ImageError, read_image


class PixelEmbedder:
    """Embeds an image as its colours at 2 x 2 points: deterministic, and fast enough for any test."""

    dimension = 12
    fingerprint = "pixels"

    def __init__(self):
        self.seen: list[str] = []

    def embed(self, paths, *, quiet=True):
        self.seen += paths
        vectors, failures = [], []
        for path in paths:
            try:
                vectors.append(read_image(path, (2, 2)).ravel() / np.float32(255))
            except ImageError as error:
                failures.append((path, error))
        return np.array(vectors, np.float32).reshape(-1, 12), failures


def write_image(path: Path, name: str) -> None:
    """Write a PNG whose pixels follow from a name: one name, one content."""
    pixels = np.frombuffer(hashlib.sha256(name.encode()).digest()[:12], np.uint8).reshape(2, 2, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((16, 16), Image.Resampling.NEAREST).save(path)


def vectors_like_embeddings(count: int, dimension: int, seed: int = 0, unit: bool = True) -> np.ndarray:
    """Draw vectors around some centres; not unit ones have lengths that differ much."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, dimension))
    points = centres[rng.integers(20, size=count)] + 0.5 * rng.standard_normal((count, dimension))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return (points if unit else points * rng.uniform(0.1, 5, (count, 1))).astype(np.float32)
