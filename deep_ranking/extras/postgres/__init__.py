"""An index in PostgreSQL with pgvector (extra `postgres`)."""

from deep_ranking.door import lazy_names

_NAMES = {"PostgresStore": "store"}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
