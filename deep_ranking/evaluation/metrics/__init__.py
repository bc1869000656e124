"""What is measured, each metric with its definition. NumPy only, no Keras."""

from deep_ranking.evaluation.metrics.interval import Estimate, bootstrap
from deep_ranking.evaluation.metrics.measure import Measurement, measure_retrieval, measure_triplets
from deep_ranking.evaluation.metrics.registry import (
    Metric,
    Ranked,
    Ranking,
    WholeRanking,
    register_metric,
    registered,
)
from deep_ranking.evaluation.metrics.retrieval import (
    average_precision,
    map_at_r,
    ndcg_at,
    precision_at,
    r_precision,
    recall_at,
    reciprocal_rank,
    vote,
)
from deep_ranking.evaluation.metrics.triplets import (
    TripletDistances,
    positive_ranks,
    score_at_top,
    similarity_precision,
    triplet_distances,
)
from deep_ranking.search.exact import squared_distances
from deep_ranking.search.neighbours import Neighbours, NeighbourSearch, neighbours
