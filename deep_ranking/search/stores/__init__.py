"""Where an index is kept: a folder on this machine, or what a store is registered for."""

from deep_ranking.search.stores.registry import (
    Place,
    create_store,
    find_store,
    folder_of,
    index_beside,
    open_store,
    place_name,
    register_store,
    store_exists,
)

__all__ = [
    "Place",
    "create_store",
    "find_store",
    "folder_of",
    "index_beside",
    "open_store",
    "place_name",
    "register_store",
    "store_exists",
]
