"""The kinds of stores, by the scheme of a place.

- `photos.index`, which has none: a folder on this machine (`local.LocalStore`);
- `postgresql://HOST/DATABASE`: PostgreSQL with pgvector (extra `postgres`);
- `ray://ADDRESS/FOLDER`: folders, each searched by an actor on a Ray cluster (extra `cluster`);
- `SCHEME://...`: a store of your own, by `register_store`.
"""

import importlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.location import STORE, index_beside
from deep_ranking.search.store import Store
from deep_ranking.search.stores.local import LocalStore

Place = str | os.PathLike[str]

_registered: dict[str, type[Store]] = {}


def register_store(scheme: str, store: type[Store]) -> None:
    """Let `SCHEME://...` be a place of this kind of store, in this process; the last one registered counts.

    Args:
        scheme: small letters, digits, `+`, `-` and `.`, a letter first.
        store: a class that fulfils `Store`.

    Raises:
        DeepRankingError: no such scheme, or the class lacks a part of the contract.
    """
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise DeepRankingError(f"scheme: expected small letters, as in memory://, found {scheme!r}")
    if not (isinstance(store, type) and issubclass(store, Store)):
        raise DeepRankingError(f"{scheme}: expected a class derived from Store, found {store!r}")
    if lacking := sorted(store.__abstractmethods__):
        raise DeepRankingError(f"{scheme}: {store.__name__} lacks {', '.join(lacking)}, which a store has")
    _registered[scheme] = store


def open_store(place: Place) -> Store:
    """Open the store at a place.

    Raises:
        DeepRankingError: there is none, or it cannot be used.
    """
    place = find_store(place)
    return _kind(place)(place)


def create_store(place: Place, metadata: Mapping[str, str]) -> Store:
    """Make an empty store with this metadata, and an identity that no other has.

    Raises:
        IndexExistsError: there is one already.
        DeepRankingError: it cannot be made there.
    """
    return _kind(place).create(place, {**metadata, "identity": secrets.token_hex(4)})


def store_exists(place: Place) -> bool:
    """Tell whether there is a store for `open_store` at a place."""
    place = find_store(place)
    return _kind(place).exists(place)


def place_name(place: Place) -> str:
    """Return a place for people to read, whether there is a store or not: without user and password."""
    return _kind(place).shown(place)


def folder_of(place: Place) -> Path | None:
    """Return the folder of a store that is one, where other files may be kept beside it; None for others."""
    place = find_store(place)
    return _kind(place).folder_of(place)


def find_store(place: Place) -> Place:
    """Return the place itself, or, of a folder of images, the index beside it if there is one."""
    if _kind(place) is not LocalStore or (Path(place) / STORE).is_file():
        return place
    beside = index_beside(place)
    return beside if (beside / STORE).is_file() else place


def _kind(place: Place) -> type[Store]:
    expect("index", isinstance(place, str | os.PathLike), "a path or the URL of a store", place)
    scheme, separator, _ = os.fspath(place).partition("://")
    if not separator:
        return LocalStore
    if scheme in _registered:
        return _registered[scheme]
    extras: Any = importlib.import_module("deep_ranking.extras")
    if scheme in extras.STORES:
        kind: type[Store] = extras.load(extras.STORES[scheme])
        return kind
    others = "".join(f", {name}://..." for name in sorted(_registered))
    raise DeepRankingError(
        f"expected a folder, postgresql://HOST/DATABASE or ray://ADDRESS/FOLDER{others}, found "
        f"the scheme {scheme!r}"
    )
