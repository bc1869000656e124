"""The paper's hand-made features. No Keras.

A feature is one file with one contract, `feature.Feature`; the embedding of any network joins them as a file
of vectors (`vectors.py`).
"""

from deep_ranking.door import lazy_names

_NAMES = {
    "FEATURES": "features",
    "Feature": "feature",
    "CodebookFeature": "feature",
    "WaveletSignature": "wavelet",
    "LabHistogram": "color",
    "SiftWords": "sift",
    "FisherVector": "fisher",
    "Hog": "hog",
    "TextonPyramid": "texton",
    "extract_features": "extract:extract",
    "Cache": "extract",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
