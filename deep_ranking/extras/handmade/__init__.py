"""The paper's hand-made features, and what is learned on any features: golden feature, OASIS, linear map.

No Keras. A feature is one file with one contract, `feature.Feature`; the embedding of any network joins
them as a file of vectors (`vectors.py`).
"""

from deep_ranking.extras.handmade.color import LabHistogram
from deep_ranking.extras.handmade.feature import CodebookFeature, Feature
from deep_ranking.extras.handmade.fisher import FisherVector
from deep_ranking.extras.handmade.hog import Hog
from deep_ranking.extras.handmade.sift import SiftWords
from deep_ranking.extras.handmade.texton import TextonPyramid
from deep_ranking.extras.handmade.wavelet import WaveletSignature

FEATURES: dict[str, type[Feature]] = {
    kind.name: kind for kind in (WaveletSignature, LabHistogram, SiftWords, FisherVector, Hog, TextonPyramid)
}
"""The features by name, in the order of the paper's Table 1."""

__all__ = [
    "FEATURES",
    "CodebookFeature",
    "Feature",
    "FisherVector",
    "Hog",
    "LabHistogram",
    "SiftWords",
    "TextonPyramid",
    "WaveletSignature",
]
