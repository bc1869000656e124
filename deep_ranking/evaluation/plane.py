"""Embeddings on a plane, to look at: near each other is what the network finds similar."""

import numpy as np


def principal_plane(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return (n, 2) places along the two principal components (PCA): fast, and faithful to far distances.

    Args:
        vectors: shape (n, d), float32.
        seed: of the sample of 20,000 whose components they are, and of PCA.

    Example:
        >>> principal_plane(np.array([[0, 0, 1], [4, 0, 1], [8, 0, 1]], np.float32))[:, 0].round(6)
        array([-4.,  0.,  4.])
    """
    from sklearn.decomposition import PCA

    count = min(2, *vectors.shape)
    if not count:
        return np.zeros((len(vectors), 2))
    rows = np.random.default_rng(seed).permutation(len(vectors))[:20_000]
    with np.errstate(invalid="ignore", divide="ignore"):  # of a collapsed network's share of variance
        model = PCA(count, random_state=seed).fit(vectors[rows])
        return _two_columns(model.transform(vectors).astype(np.float64))


def neighbour_plane(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return (n, 2) places by PCA to 50 numbers, then t-SNE: faithful to neighbours, for few thousands.

    Args:
        vectors: shape (n, d), float32, n at least 2.
        seed: of both.

    Source: van der Maaten and Hinton, Visualizing Data using t-SNE, 2008.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    count = len(vectors)
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = PCA(min(50, *vectors.shape), random_state=seed).fit_transform(vectors.astype(np.float64))
    if count < 5 or reduced.shape[1] < 2:
        return _two_columns(reduced)
    # Not from PCA's axes: they are scaled by their spread, which is 0 where a network has collapsed.
    model = TSNE(perplexity=min(30, (count - 1) / 3), init="random", random_state=seed)
    with threadpool_limits(1):  # to share so few points costs more than to place them
        return model.fit_transform(reduced)


def _two_columns(places: np.ndarray) -> np.ndarray:
    return np.pad(places, ((0, 0), (0, 1)))[:, :2]
