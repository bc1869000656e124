"""Indexes and raters for the tests of ratings."""

import numpy as np

from deep_ranking.search import Index


def make_index(folder, count: int, labels: int = 3, seed: int = 0, dimension: int = 4) -> Index:
    """Make an index of random vectors in classes that do not quite agree with them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, labels), dimension))
    of_each = rng.integers(max(1, labels), size=count)
    vectors = centres[of_each] + rng.standard_normal((count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"class {c}" if labels else "" for c in of_each]
    index = Index.create(folder, dimension, "test")
    index.add([f"{name or 'all'}/{i:03}.jpg" for i, name in enumerate(names)], vectors, names)
    return index


def paths(snapshot, question) -> tuple[str, str, str]:
    """Return the paths of a question's query and candidates, in the order in which they are shown."""
    return tuple(snapshot.images[row].path for row in (question.query, question.a, question.b))
