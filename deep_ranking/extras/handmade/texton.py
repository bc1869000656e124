"""Texton histogram with a spatial pyramid."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from deep_ranking.extras.handmade.feature import CodebookFeature, lightness, stretched
from deep_ranking.extras.handmade.sift import learn_words, nearest_word, pyramid

_SCALES = (1.0, 2.0, 4.0)
_ORDERS = ((0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
_STRIDE = 2
"""Every second response is taken along each axis; neighbours differ little after the smoothing."""


@dataclass(frozen=True)
class TextonPyramid(CodebookFeature):
    """Which textures there are and where: textons counted in 1x1, 2x2 and 4x4 cells.

    A texton is a cluster of filter responses: first and second Gaussian derivatives of the lightness at
    three scales, each response normalized by its scale.

    Args:
        textons: words of the codebook.
        levels: of the pyramid.

    Source: Leung and Malik 2001 (textons); Lazebnik et al. 2006 (the pyramid); the paper's baseline "SPMK
    texton with max pooling", whose filters it does not give.
    """

    name: ClassVar[str] = "texton"
    textons: int = 128
    levels: int = 3

    @property
    def dimension(self) -> int:
        """Textons times cells of the pyramid."""
        return self.textons * (4**self.levels - 1) // 3

    def descriptors(self, image: np.ndarray) -> np.ndarray:
        return self._responses(image).reshape(-1, len(_SCALES) * len(_ORDERS))

    def learn(self, descriptors: np.ndarray) -> dict[str, np.ndarray]:
        return learn_words(descriptors, self.textons, self.seed)

    def compute(self, image: np.ndarray) -> np.ndarray:
        codebook = self.learned()
        responses = self._responses(image)
        word = nearest_word(responses.reshape(-1, responses.shape[-1]), codebook["words"])
        return pyramid(word.reshape(responses.shape[:2]), self.textons, self.levels)

    def _responses(self, image: np.ndarray) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        light = lightness(stretched(image))
        responses = [
            gaussian_filter(light, scale, order)[::_STRIDE, ::_STRIDE] * scale ** sum(order)
            for scale in _SCALES
            for order in _ORDERS
        ]
        return np.stack(responses, axis=-1)
