"""Dense SIFT-like descriptors and their bag of words."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deep_ranking.features.feature import CodebookFeature, extra, lightness, stretched
from deep_ranking.features.words import learn_words, nearest_word, pyramid


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
        """One for each word."""
        return self.words

    def descriptors(self, image: np.ndarray) -> np.ndarray:
        """Return the (n, 104) descriptors of an image."""
        return dense_descriptors(image).reshape(-1, 104)

    def learn(self, descriptors: np.ndarray) -> dict[str, np.ndarray]:
        """Cluster the descriptors."""
        return learn_words(descriptors, self.words, self.seed)

    def compute(self, image: np.ndarray) -> np.ndarray:
        """Describe one image; see `Feature.compute`."""
        codebook = self.learned()
        word = nearest_word(self.descriptors(image), codebook["words"])
        return pyramid(word[:, None], self.words, levels=1)
