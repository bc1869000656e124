"""Vectors and an embedder for the tests of search."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_ranking.images.decode import ImageError, read_image
from deep_ranking.search import Index


class PixelEmbedder:
    """Embeds an image as its colours at 2 x 2 points: deterministic, and fast enough for any test."""

    dimension = 12
    fingerprint = "pixels"

    def __init__(self):
        self.seen: list[str] = []

    def embed(self, paths, quiet=False):
        self.seen += paths
        vectors, failures = [], []
        for path in paths:
            try:
                vectors.append(read_image(path, (2, 2)).ravel() / np.float32(255))
            except ImageError as error:
                failures.append((path, str(error)))
        return np.array(vectors, np.float32).reshape(-1, 12), failures


@pytest.fixture
def embedder():
    return PixelEmbedder()


def write_image(path: Path, name: str | None = None) -> None:
    """Write a PNG whose pixels follow from a name: one name, one content."""
    digest = hashlib.sha256((name or path.name).encode()).digest()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.frombuffer(digest[:12], np.uint8).reshape(2, 2, 3)).resize((16, 16)).save(path)


def vectors_like_embeddings(count: int, dimension: int, seed: int = 0, unit: bool = True) -> np.ndarray:
    """Draw vectors around some centres; not unit ones have lengths that differ much."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, dimension))
    points = centres[rng.integers(20, size=count)] + 0.5 * rng.standard_normal((count, dimension))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return (points if unit else points * rng.uniform(0.1, 5, (count, 1))).astype(np.float32)


@pytest.fixture
def make_index(tmp_path):
    """Give a function that makes an index of vectors under paths `label/number.jpg`."""
    opened = []

    def make(vectors: np.ndarray, labels: int = 3) -> Index:
        names = [f"class {i % labels}" for i in range(len(vectors))]
        index = Index.create(tmp_path / f"index {len(opened)}", vectors.shape[1], "test")
        index.add([f"{name}/{i:06}.jpg" for i, name in enumerate(names)], vectors, names)
        opened.append(index)
        return index

    yield make
    for index in opened:
        index.close()
