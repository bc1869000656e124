"""Visual words: descriptors given to the nearest centre of a k-means clustering, and counted."""

import numpy as np


def learn_words(descriptors: np.ndarray, words: int, seed: int) -> dict[str, np.ndarray]:
    """Cluster (n, d) descriptors into at most `words` words, as `{"words": (words, d) float32}`.

    Where there are fewer descriptors than words, the missing words are zeros.
    """
    from sklearn.cluster import MiniBatchKMeans

    found = min(words, len(descriptors))
    clusters = MiniBatchKMeans(found, random_state=seed, n_init=1, batch_size=4096, max_iter=50)
    centres = np.zeros((words, descriptors.shape[1]), np.float32)
    centres[:found] = clusters.fit(descriptors).cluster_centers_
    return {"words": centres}


def nearest_word(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return the index of the nearest of (k, d) words for each of (n, d) descriptors, (n,) int."""
    return np.argmax(descriptors @ words.T - (words**2).sum(1) / 2, axis=1)


def pyramid(word: np.ndarray, words: int, levels: int) -> np.ndarray:
    """Count words in a spatial pyramid, square-rooted.

    Level l divides the image into 2^l x 2^l cells. The levels weigh 2^-L, 2^-L, 2^-(L-1), ... 1/2 from
    the coarsest to the finest, L = levels - 1, and so the whole sums to 1 before the root.

    Args:
        word: (rows, columns) int, the word at each place of a grid.
        words: how many words there are.
        levels: 1 is a plain histogram.

    Returns:
        (words * (4^levels - 1) / 3,) float32.

    Source: Lazebnik, Schmid and Ponce 2006, eq. 3.
    """
    rows, columns = word.shape
    parts = []
    for level in range(levels):
        cells = 2**level
        row = np.arange(rows) * cells // rows
        column = np.arange(columns) * cells // columns
        cell = row[:, None] * cells + column
        counts = np.bincount((cell * words + word).ravel(), minlength=cells**2 * words)
        parts.append(counts / word.size / 2 ** (levels - max(level, 1)))
    return np.sqrt(np.concatenate(parts)).astype(np.float32)
