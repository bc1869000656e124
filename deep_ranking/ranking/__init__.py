"""The ranking layer: distances between embeddings and the losses on them. It does not know the network."""

from deep_ranking.ranking.loss import DISTANCES, TripletHingeLoss

__all__ = ["DISTANCES", "TripletHingeLoss"]
