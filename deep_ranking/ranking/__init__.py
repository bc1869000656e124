"""The ranking layer: distances between embeddings and the losses on them. It does not know the network."""

from deep_ranking.ranking.distances import DISTANCES
from deep_ranking.ranking.loss import TripletHingeLoss

__all__ = ["DISTANCES", "TripletHingeLoss"]
