"""Relevance r(i, j): how similar two images of one category are. One interface, a file a source."""

from deep_ranking.triplets.relevance.feature_file import read_features
from deep_ranking.triplets.relevance.features import FeatureRelevance, typical_distance
from deep_ranking.triplets.relevance.hierarchy import Hierarchy, HierarchyRelevance
from deep_ranking.triplets.relevance.interface import Relevance
from deep_ranking.triplets.relevance.labels import LabelRelevance
from deep_ranking.triplets.relevance.pair_file import read_pairs
from deep_ranking.triplets.relevance.pairs import PairRelevance
from deep_ranking.triplets.relevance.subset import SubsetRelevance

__all__ = [
    "FeatureRelevance",
    "Hierarchy",
    "HierarchyRelevance",
    "LabelRelevance",
    "PairRelevance",
    "Relevance",
    "SubsetRelevance",
    "read_features",
    "read_pairs",
    "typical_distance",
]
