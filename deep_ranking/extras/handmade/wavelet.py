"""Haar wavelet signature."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deep_ranking.extras.handmade.feature import Feature, extra, stretched

_TO_YIQ = np.array([[0.299, 0.596, 0.211], [0.587, -0.274, -0.523], [0.114, -0.322, 0.312]], np.float32)

_MEAN_WEIGHTS = np.array([5.0, 19.21, 34.37], np.float32)
"""Of the mean Y, I and Q; Jacobs et al., table 1, scanned queries."""


@dataclass(frozen=True)
class WaveletSignature(Feature):
    """The signs of the largest Haar coefficients of each YIQ channel, and the mean colour.

    The squared distance of two signatures is 2, less twice the share of the kept coefficients that both
    have with the same sign, plus twice the share with opposite signs, plus the weighted squared difference
    of the mean colours. Jacobs et al. count matches only, weighed by scale; as a distance between vectors,
    that leaves the mean colours little say, so here all coefficients together have norm 1.

    Args:
        side: the image is stretched to side x side pixels, a power of two.
        kept: coefficients kept in each channel.

    Source: Jacobs, Finkelstein and Salesin 1995, "Fast Multiresolution Image Querying"; the paper's
    baseline "Wavelet".
    """

    name: ClassVar[str] = "wavelet"
    side: int = 32
    kept: int = 60

    @property
    def dimension(self) -> int:
        """One for each coefficient of the three channels."""
        return 3 * self.side**2

    def compute(self, image: np.ndarray) -> np.ndarray:
        pywt = extra("pywt", "PyWavelets")
        channels = (stretched(image, self.side).astype(np.float32) / 255 @ _TO_YIQ).transpose(2, 0, 1)
        coefficients = pywt.fswavedecn(channels, "haar", axes=(1, 2)).coeffs.reshape(3, -1)
        means = coefficients[:, 0] / self.side  # orthonormal, so the first one is the mean times the side
        size = np.abs(coefficients)
        size[:, 0] = 0
        least = np.partition(size, -self.kept, axis=1)[:, -self.kept, None]
        # Rounding leaves specks where there is nothing; they are not the image's.
        signature = np.sign(coefficients) * ((size >= least) & (size > 1e-4))
        signature /= max(np.linalg.norm(signature), 1)
        signature[:, 0] = means * np.sqrt(_MEAN_WEIGHTS)
        return signature.astype(np.float32).ravel()
