"""Where an index is kept: a folder, a PostgreSQL server, or shards on a Ray cluster.

- `photos.index`: a folder on this machine (`local.LocalStore`);
- `postgresql://HOST/DATABASE`: PostgreSQL with pgvector (`postgres.PostgresStore`; extra `postgres`);
- `ray://ADDRESS/FOLDER`: folders, each searched by an actor on a Ray cluster (`sharded.ShardedStore`; extra
  `cluster`).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.store import Store

if TYPE_CHECKING:
    from deep_ranking.extras.postgres.postgres import PostgresStore
    from deep_ranking.extras.ray.sharded import ShardedStore
    from deep_ranking.search.stores.local import LocalStore

Place = str | os.PathLike[str]

_POSTGRES = ("postgresql://", "postgres://")


def open_store(place: Place) -> Store:
    """Open the store at a place.

    Raises:
        DeepRankingError: there is none, or it cannot be used.
    """
    return _kind(place)(place)  # type: ignore[arg-type]


def create_store(place: Place, metadata: Mapping[str, str]) -> Store:
    """Make an empty store with this metadata.

    Raises:
        IndexExistsError: there is one already.
        DeepRankingError: it cannot be made there.
    """
    return _kind(place).create(place, metadata)  # type: ignore[arg-type]


def store_exists(place: Place) -> bool:
    """Tell whether there is a store at a place."""
    return _kind(place).exists(place)  # type: ignore[arg-type]


def place_name(place: Place) -> str:
    """Return a place for people to read, whether there is a store or not: without user and password."""
    name = os.fspath(place)
    if not name.startswith(_POSTGRES):
        return name
    from deep_ranking.extras.postgres.postgres_url import PostgresURL

    return PostgresURL.read(name).name


def folder_of(place: Place) -> Path | None:
    """Return the folder of a store that is one, where other files may be kept beside it; None for a URL."""
    return None if "://" in os.fspath(place) else Path(place)


def _kind(place: Place) -> "type[LocalStore] | type[PostgresStore] | type[ShardedStore]":
    name = os.fspath(place)
    if folder_of(place) is not None:
        from deep_ranking.search.stores.local import LocalStore

        return LocalStore
    if name.startswith(_POSTGRES):
        from deep_ranking.extras.postgres.postgres import PostgresStore

        return PostgresStore
    if name.startswith("ray://"):
        from deep_ranking.extras.ray.sharded import ShardedStore

        return ShardedStore
    raise DeepRankingError(
        f"expected a folder, postgresql://HOST/DATABASE or ray://ADDRESS/FOLDER, found "
        f"the scheme {name.partition('://')[0]!r}"
    )
