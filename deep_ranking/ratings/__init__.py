"""Triplets rated by people, as in the paper: the questions, the answers, what they come to. No Keras.

Judgements that others have gathered are read by `formats` and kept beside those of the page.

Source: Wang et al. 2014, section 6.1.
"""

from deep_ranking.door import lazy_names, names_by_module

# The settings here have no need of NumPy: what has is fetched when it is asked for.
__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    names_by_module(
        {
            "export": "Agreement Judgements Tally read_judgements tally",
            "formats": "read_format",
            "gather": "Imported import_judgements",
            "judgement": "Judgement",
            "questions": "Question choose",
            "settings": "FORMATS POLICIES Reading",
            "store": "ANSWERS Answer Rating RatingStore",
        }
    ),
)
