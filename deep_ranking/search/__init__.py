"""Search images by their vectors: the store, exact and approximate search, near-duplicates. No Keras."""

from deep_ranking.search.duplicates import find_duplicates
from deep_ranking.search.groups import Group
from deep_ranking.search.index import Index
from deep_ranking.search.options import Hit, Options, Results
from deep_ranking.search.query import Embedder
from deep_ranking.search.store import Store
from deep_ranking.search.stores.registry import register_store
from deep_ranking.search.update import Report, update_index

__all__ = [
    "Embedder",
    "Group",
    "Hit",
    "Index",
    "Options",
    "Report",
    "Results",
    "Store",
    "find_duplicates",
    "register_store",
    "update_index",
]
