"""Past one machine: images embedded by Ray workers, in shards that outlive them (extra `cluster`)."""

from deep_ranking.door import lazy_names

_NAMES = {
    "find_sources": "sources",
    "make_shards": "shards",
    "ShardFolder": "shards",
    "Result": "shards",
    "to_parquet": "shards",
    "from_parquet": "shards",
    "update_on_cluster": "update",
    "ShardedStore": "sharded",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
