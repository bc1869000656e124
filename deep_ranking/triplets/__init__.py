"""The triplet sampling layer: who is compared with whom. NumPy only, no Keras."""

from deep_ranking.triplets.file import TripletFileError, read_triplets, write_triplets
from deep_ranking.triplets.triplet import Triplet

__all__ = ["Triplet", "TripletFileError", "read_triplets", "write_triplets"]
