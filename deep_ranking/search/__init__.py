"""Search images by their vectors: the store, exact and approximate search, near-duplicates. No Keras."""

from typing import TYPE_CHECKING

from deep_ranking.door import lazy_names, names_by_module

if TYPE_CHECKING:
    from deep_ranking.search.duplicates import find_duplicates as find_duplicates
    from deep_ranking.search.groups import Group as Group
    from deep_ranking.search.index import Index as Index
    from deep_ranking.search.options import Hit as Hit
    from deep_ranking.search.options import Options as Options
    from deep_ranking.search.options import Results as Results
    from deep_ranking.search.query import Embedder as Embedder
    from deep_ranking.search.store import Store as Store
    from deep_ranking.search.stores.registry import register_store as register_store
    from deep_ranking.search.update import Report as Report
    from deep_ranking.search.update import update_index as update_index

# What finds and reads images asks this package for a name or two, and commands are to refuse at once.
__getattr__, __dir__, __all__ = lazy_names(
    "deep_ranking.search",
    names_by_module(
        {
            "duplicates": "find_duplicates",
            "groups": "Group",
            "index": "Index",
            "options": "Hit Options Results",
            "query": "Embedder",
            "store": "Store",
            "stores.registry": "register_store",
            "update": "Report update_index",
        }
    ),
)
