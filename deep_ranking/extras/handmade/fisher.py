"""Fisher vector of dense descriptors."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deep_ranking.extras.handmade.feature import CodebookFeature, extra
from deep_ranking.extras.handmade.sift import dense_descriptors


@dataclass(frozen=True)
class FisherVector(CodebookFeature):
    """How a Gaussian mixture would have to change to explain the image's descriptors better.

    The descriptors are the bag of words' ones, after a principal component analysis; the mixture has
    diagonal covariances. The vector is the gradient with respect to weights, means and variances, its
    signed root taken and its norm set to 1.

    Args:
        components: the descriptors are projected to so many numbers.
        modes: Gaussians of the mixture.

    Source: Perronnin, Sánchez and Mensink 2010; the paper's baseline "Fisher".
    """

    name: ClassVar[str] = "fisher"
    components: int = 32
    modes: int = 32

    @property
    def dimension(self) -> int:
        """A weight, and a mean and a variance for each component, of each Gaussian."""
        return self.modes * (2 * self.components + 1)

    def descriptors(self, image: np.ndarray) -> np.ndarray:
        return dense_descriptors(image).reshape(-1, 104)

    def learn(self, descriptors: np.ndarray) -> dict[str, np.ndarray]:
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture

        projection = PCA(self.components, random_state=self.seed).fit(descriptors)
        mixture = GaussianMixture(
            self.modes, covariance_type="diag", reg_covar=1e-5, max_iter=30, tol=1e-2, random_state=self.seed
        )
        mixture.fit(projection.transform(descriptors).astype(np.float64))
        return {
            "centre": projection.mean_.astype(np.float32),
            "axes": projection.components_.astype(np.float32),
            "weights": mixture.weights_,
            "means": mixture.means_,
            "covariances": mixture.covariances_,
        }

    def compute(self, image: np.ndarray) -> np.ndarray:
        from sklearn.mixture import GaussianMixture

        codebook = self.learned()
        mixture = GaussianMixture(self.modes, covariance_type="diag")
        mixture.weights_, mixture.means_ = codebook["weights"], codebook["means"]
        mixture.covariances_ = codebook["covariances"]
        mixture.precisions_cholesky_ = 1 / np.sqrt(mixture.covariances_)
        projected = (self.descriptors(image) - codebook["centre"]) @ codebook["axes"].T
        fisher_vector = extra("skimage.feature", "scikit-image").fisher_vector
        gradient = fisher_vector(projected.astype(np.float64), mixture)
        # Not the library's own normalization: it divides by zero where an image is just what was expected.
        root = np.sign(gradient) * np.sqrt(np.abs(gradient))
        return (root / max(np.linalg.norm(root), 1e-12)).astype(np.float32)
