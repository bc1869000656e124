"""Dense SIFT-like descriptors, and visual words: descriptors given to the nearest centre of a clustering."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deep_ranking.extras.handmade.feature import CodebookFeature, extra, lightness, stretched


def dense_descriptors(image: np.ndarray) -> np.ndarray:
    """Describe the neighbourhood of each point of a grid by its gradients' orientations (DAISY).

    Returns:
        (rows, columns, 104) float32: 13 places x 8 orientations; the root of each share, as for RootSIFT.

    Source: Tola, Lepetit and Fua 2010; the root: Arandjelović and Zisserman 2012.
    """
    daisy = extra("skimage.feature", "scikit-image").daisy
    found = daisy(lightness(stretched(image)), step=6, radius=12, rings=2, histograms=6, orientations=8)
    return np.sqrt(np.maximum(found, 0)).astype(np.float32)


@dataclass(frozen=True)
class SiftWords(CodebookFeature):
    """A bag of words of dense SIFT-like descriptors: which local shapes there are, and not where.

    Args:
        words: of the codebook.

    Source: the paper's baseline "SIFT-like Feature".
    """

    name: ClassVar[str] = "sift"
    words: int = 512

    @property
    def dimension(self) -> int:
        return self.words

    def descriptors(self, image: np.ndarray) -> np.ndarray:
        return dense_descriptors(image).reshape(-1, 104)

    def learn(self, descriptors: np.ndarray) -> dict[str, np.ndarray]:
        return learn_words(descriptors, self.words, self.seed)

    def compute(self, image: np.ndarray) -> np.ndarray:
        codebook = self.learned()
        word = nearest_word(self.descriptors(image), codebook["words"])
        return pyramid(word[:, None], self.words, levels=1)


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
