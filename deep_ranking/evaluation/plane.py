"""Embeddings on a plane, to look at: near each other is what the network finds similar."""

from collections.abc import Iterator

import numpy as np

from deep_ranking.search.neighbours import NeighbourSearch


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """Return (n, 2) places along the two principal components (PCA): fast, and faithful to far distances.

    Args:
        vectors: shape (n, d), float32. The components are those of a sample of 20,000.

    Example:
        >>> principal_plane(np.array([[0, 0, 1], [4, 0, 1], [8, 0, 1]], np.float32))[:, 0].round(6).tolist()
        [-4.0, 0.0, 4.0]
    """
    return _two_columns(_reduced(vectors)).astype(np.float64)


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


def neighbour_layout(
    vectors: np.ndarray, seed: int = 0, neighbours: int = 15, rounds: int = 400
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield (n, 2) places as they get better, and whether they are the last: faithful to neighbours.

    From PCA, each point is drawn to its nearest others and pushed from random ones, less and less, as UMAP
    does: some 30 s for 50,000 points, where t-SNE takes many minutes.

    Args:
        vectors: shape (n, d), float32, n at least 5.
        seed: of what is drawn.
        neighbours: to which a point is drawn, at most.
        rounds: in each of which a point is drawn to one of them, and pushed from five others.

    Source: McInnes, Healy and Melville, UMAP: Uniform Manifold Approximation and Projection, 2018; here with
    the plain curve 1 / (1 + d^2) and equal weights.
    """
    rng, reduced, n = np.random.default_rng(seed), _reduced(vectors), len(vectors)
    search = NeighbourSearch(reduced, reduced, np.arange(n))
    k = min(neighbours, search.most)
    near = np.concatenate([found.indices for _, found in search.blocks(k)])
    places = _two_columns(reduced).astype(np.float64)
    places = 10 * places / (np.abs(places).max() or 1.0) + rng.normal(0, 1e-3, places.shape)
    every = np.arange(n)
    for turn in range(rounds):
        step = 1 - turn / rounds
        other = near[every, rng.integers(0, k, n)]
        apart = places - places[other]
        pull = -2 * apart / (1 + (apart**2).sum(axis=1, keepdims=True))
        move = pull.copy()
        for axis in (0, 1):  # both ends come nearer
            move[:, axis] -= np.bincount(other, pull[:, axis], n)
        for _ in range(5):
            apart = places - places[rng.integers(0, n, n)]
            squared = (apart**2).sum(axis=1, keepdims=True)
            move += np.clip(2 * apart / ((0.01 + squared) * (1 + squared)), -4, 4)
        places = places + step * np.clip(move, -4, 4)
        if turn % 40 == 39 and turn < rounds - 1:
            yield places, False
    yield places, True


def clusters(vectors: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the number of its cluster, the largest first, and a row in the middle of each.

    By k-means on 50 principal components: a cluster for each 20 rows, 12 at most; of fewer than 40 rows, one.

    Example:
        >>> clusters(np.eye(3, dtype=np.float32))[0].tolist()
        [0, 0, 0]
    """
    n = len(vectors)
    if not n:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    reduced, k = _reduced(vectors), min(12, n // 20) if n >= 40 else 1
    means = reduced[np.random.default_rng(seed).permutation(n)[:k]]
    for _ in range(12):
        own = (reduced @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
        sizes = np.bincount(own, minlength=k)
        sums = np.stack([np.bincount(own, column, k) for column in reduced.T], axis=1)
        means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], means).astype(np.float32)
    order = [number for number in np.argsort(-sizes, kind="stable").tolist() if sizes[number]]
    new = np.zeros(k, np.intp)
    new[order] = np.arange(len(order))
    middles = []
    for number in order:
        rows = np.flatnonzero(own == number)
        middles.append(rows[((reduced[rows] - means[number]) ** 2).sum(axis=1).argmin()])
    return new[own], np.array(middles, np.intp)


def _reduced(vectors: np.ndarray) -> np.ndarray:
    """Return (n, up to 50) float32: the principal components of a sample of 20,000."""
    some = vectors[np.random.default_rng(0).permutation(len(vectors))[:20_000]].astype(np.float64)
    mean = some.mean(axis=0) if len(some) else np.zeros(vectors.shape[1])
    _, axes = np.linalg.eigh((some - mean).T @ (some - mean))
    axes = axes[:, ::-1][:, :50]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)  # of two
    found = (vectors - mean.astype(np.float32)) @ axes.astype(np.float32)
    return np.ascontiguousarray(found, np.float32)


def _two_columns(places: np.ndarray) -> np.ndarray:
    return np.pad(places, ((0, 0), (0, 1)))[:, :2]
