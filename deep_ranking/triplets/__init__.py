"""The triplet sampling layer: who is compared with whom. NumPy only, no Keras."""

from deep_ranking.door import lazy_names, names_by_module

# The settings here have no need of NumPy: what has is fetched when it is asked for.
__getattr__, __dir__, __all__ = lazy_names(
    __name__, names_by_module({"file": "Triplet TripletFileError read_triplets write_triplets"})
)
