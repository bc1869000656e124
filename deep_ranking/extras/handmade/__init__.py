"""The paper's hand-made features. No Keras.

A feature is one file with one contract, `feature.Feature`; the embedding of any network joins them as a file
of vectors (`vectors.py`).
"""

from deep_ranking.door import lazy_names, names_by_module

_NAMES = names_by_module(
    {
        "feature": "Feature CodebookFeature",
        "wavelet": "WaveletSignature",
        "color": "LabHistogram",
        "sift": "SiftWords",
        "fisher": "FisherVector",
        "hog": "Hog",
        "texton": "TextonPyramid",
        "extract": "FEATURES Cache extract:extract_features",
    }
)
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
