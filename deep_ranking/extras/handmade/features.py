"""The hand-made features by name."""

from deep_ranking.extras.handmade.color import LabHistogram
from deep_ranking.extras.handmade.feature import Feature
from deep_ranking.extras.handmade.fisher import FisherVector
from deep_ranking.extras.handmade.hog import Hog
from deep_ranking.extras.handmade.sift import SiftWords
from deep_ranking.extras.handmade.texton import TextonPyramid
from deep_ranking.extras.handmade.wavelet import WaveletSignature

FEATURES: dict[str, type[Feature]] = {
    kind.name: kind for kind in (WaveletSignature, LabHistogram, SiftWords, FisherVector, Hog, TextonPyramid)
}
"""The features by name, in the order of the paper's Table 1."""
