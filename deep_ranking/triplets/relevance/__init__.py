"""Relevance r(i, j): how similar two images of one category are. One interface, a file a source."""

from deep_ranking.triplets.relevance.hierarchy import Hierarchy, HierarchyRelevance
from deep_ranking.triplets.relevance.interface import (
    FeatureRelevance,
    LabelRelevance,
    Relevance,
    SubsetRelevance,
    typical_distance,
)
from deep_ranking.triplets.relevance.pairs import PairRelevance, read_pairs
from deep_ranking.vectors import read_features

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
