"""The triplet sampling layer: who is compared with whom. NumPy only, no Keras."""

from deep_ranking.triplets.file import Triplet, TripletFileError, read_triplets, write_triplets

__all__ = ["Triplet", "TripletFileError", "read_triplets", "write_triplets"]
