"""What the tests of search share."""

import numpy as np
import pytest
from samples import PixelEmbedder

from deep_ranking.search import Index

try:
    import faiss

    faiss.omp_set_num_threads(1)  # its threads wait for each other on a core that another test has
except ImportError:
    pass


@pytest.fixture
def embedder():
    return PixelEmbedder()


@pytest.fixture
def make_index(tmp_path):
    """Give a function that makes an index of vectors under paths `class c/number.jpg`."""
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
