"""A store on a PostgreSQL server with pgvector: the tables of one index are in one schema.

Paths, labels and metadata are bytes, as file names are: what is no UTF-8 is kept, and sorted as elsewhere.
"""

import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.errors import DeepRankingError, made_later
from deep_ranking.extras.postgres.server import (
    PostgresURL,
    connect,
    explained,
    is_there,
    make_schema,
    transaction,
)
from deep_ranking.extras.postgres.snapshot import PostgresSnapshot
from deep_ranking.files import as_text, path_key
from deep_ranking.search.image import Image
from deep_ranking.search.store import Contents, IndexExistsError, Store, new_mark

if TYPE_CHECKING:
    import psycopg

LAYOUT = "1"

LARGEST_DIMENSION = 16_000
"""Of pgvector's type `vector`."""

_LOCK = 0x_DEE9_4A7C  # an advisory lock: of those who make something, one at a time
_TABLES = (
    "CREATE TABLE meta (key text PRIMARY KEY, value bytea NOT NULL)",
    "CREATE TABLE vectors (hash bytea PRIMARY KEY, vector vector({dimension}) NOT NULL)",
    "CREATE TABLE images (path bytea PRIMARY KEY, hash bytea NOT NULL REFERENCES vectors,"
    " size bigint NOT NULL, mtime bigint NOT NULL, label bytea NOT NULL)",
    "CREATE INDEX images_by_hash ON images (hash)",
    "CREATE INDEX images_by_label ON images (label)",
)
_COUNT_CHANGE = (
    "UPDATE meta SET value = (convert_from(value, 'UTF8')::bigint + 1)::text::bytea WHERE key = 'version'"
)
_VERSION = "SELECT value FROM meta WHERE key IN ('version', 'state') ORDER BY key DESC"


class PostgresStore(Store):
    """The tables of one index; every method is one transaction.

    Args:
        place: the URL, see `PostgresURL.read`; `PostgresStore.create` makes the tables.

    Raises:
        DeepRankingError: the server cannot be reached, there is no index, or one of another layout.
        MissingExtraError: psycopg or pgvector's package is not installed.
    """

    def __init__(self, place: str | os.PathLike[str]):
        super().__init__(place)
        self._url = PostgresURL.read(place)
        self._lock = threading.RLock()
        self._closed = False
        self._database: psycopg.Connection | None = None
        with explained(self._url):
            database = connect(self._url)
            if not is_there(database, self._url):
                database.close()
                raise self.missing(place)
            self._database = database
        self.metadata = {key: as_text(value) for key, value in self.rows("SELECT key, value FROM meta")}
        if (layout := self.metadata.get("layout")) != LAYOUT:
            self.close()
            raise DeepRankingError(
                f"{self.name}: expected an index of layout {LAYOUT}, found layout {layout}; "
                + (made_later(layout, int(LAYOUT)) or "drop its schema and index again")
            )

    @classmethod
    def create(cls, place: str | os.PathLike[str], metadata: Mapping[str, str]) -> "PostgresStore":
        url = PostgresURL.read(place)
        dimension = _checked_dimension(metadata["dimension"])
        with explained(url), connect(url) as database, transaction(database, url):
            database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            if is_there(database, url):
                raise IndexExistsError(f"{url.name}: there is an index already; open it, or drop its schema")
            make_schema(database, url)
            for table in _TABLES:
                database.execute(table.format(dimension=dimension))
            _put_metadata(database, {**metadata, "version": "0", "state": new_mark(), "layout": LAYOUT})
        return cls(place)

    @classmethod
    def exists(cls, place: str | os.PathLike[str]) -> bool:
        """Tell whether there is a store; a server that cannot be reached is an error."""
        url = PostgresURL.read(place)
        with explained(url), connect(url) as database:
            return is_there(database, url)

    @staticmethod
    def shown(place: str | os.PathLike[str]) -> str:
        return PostgresURL.read(place).name

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        if self._database is not None:
            self._database.close()

    def version(self) -> str:
        return "-".join(as_text(value) for (value,) in self.rows(_VERSION))

    def snapshot(self) -> PostgresSnapshot:
        return PostgresSnapshot(self)

    def images(self) -> list[Image]:
        rows = self.rows("SELECT path, hash, size, mtime, label FROM images ORDER BY path")
        return [_to_image(*row) for row in rows]

    def count(self) -> int:
        return int(self.rows("SELECT count(*) FROM images")[0][0])

    def contents(self) -> Contents:
        """Return the images and vectors of one moment, and the version of then or of just before."""
        columns = "path, hash, size, mtime, label, vector"
        query = f"SELECT {columns} FROM images JOIN vectors USING (hash) ORDER BY path"
        images, blocks = [], [np.zeros((0, self.dimension), np.float32)]
        with self.transaction() as database, database.cursor("contents", binary=True) as cursor:
            version = self.version()  # before the images: of a change in between, the next one is told
            cursor.execute(query)
            while rows := cursor.fetchmany(4096):
                images += [_to_image(*row[:-1]) for row in rows]
                blocks.append(np.stack([row[-1].to_numpy() for row in rows]))
        return Contents.of(version, images, np.concatenate(blocks))

    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        return {h for (h,) in self.rows("SELECT hash FROM vectors WHERE hash = ANY(%s)", [list(hashes)])}

    def write(
        self,
        images: Iterable[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Collection[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        put = [(path_key(i.path), i.hash, i.size, i.mtime, path_key(i.label)) for i in images]
        with self._writing() as database, database.cursor() as cursor:
            gone = [path_key(path) for path in remove]
            removed = cursor.execute("DELETE FROM images WHERE path = ANY(%s)", [gone]).rowcount
            cursor.executemany(
                "INSERT INTO vectors VALUES (%b, %b)"
                " ON CONFLICT (hash) DO UPDATE SET vector = excluded.vector",
                [(h, np.asarray(v, np.float32)) for h, v in (vectors or {}).items()],
            )
            cursor.executemany(
                "INSERT INTO images VALUES (%b, %b, %b, %b, %b) ON CONFLICT (path) DO UPDATE"
                " SET hash = excluded.hash, size = excluded.size, mtime = excluded.mtime,"
                " label = excluded.label",
                put,
            )
            _put_metadata(database, metadata or {})
            if removed or put or vectors:
                cursor.execute(_COUNT_CHANGE)
                _put_metadata(database, {"state": new_mark()})
        self.metadata.update(metadata or {})
        return int(removed)

    def sweep(self) -> None:
        with self._writing() as database:
            database.execute(
                "DELETE FROM vectors v WHERE NOT EXISTS (SELECT 1 FROM images i WHERE i.hash = v.hash)"
            )

    def rows(
        self, query: str, values: Any = None, settings: Mapping[str, str] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return what a query gives, with these settings of the server."""
        with self._use(settings) as database:
            return database.cursor(binary=True).execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> "Iterator[psycopg.Connection]":
        """Run what is inside as one transaction, on an index that is still the one opened."""
        with self._use() as database:
            self.check_identity()
            yield database

    @contextmanager
    def making(self) -> "Iterator[psycopg.Connection]":
        """As `transaction`, while no other process makes tables or indexes."""
        with self.transaction() as database:
            database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            yield database

    def check_identity(self) -> None:
        """Raise DeepRankingError if the index was dropped and made anew since it was opened."""
        found = self.rows("SELECT value FROM meta WHERE key = 'identity'")
        if found != [(path_key(self.metadata["identity"]),)]:
            raise DeepRankingError(f"{self.name}: it was made anew since it was opened; open it again")

    @contextmanager
    def _writing(self) -> "Iterator[psycopg.Connection]":
        with self._use() as database:
            # One writer at a time, so that the version counts each change.
            database.execute("SELECT 1 FROM meta WHERE key = 'version' FOR UPDATE")
            self.check_identity()
            yield database

    @contextmanager
    def _use(self, settings: Mapping[str, str] | None = None) -> "Iterator[psycopg.Connection]":
        with self._lock, explained(self._url):
            if self._closed:
                raise DeepRankingError(f"{self.name}: it was closed here; open it again")
            if self._database is None or self._database.closed:  # the server was started anew, say
                self._database = connect(self._url)
            with transaction(self._database, self._url, settings):
                yield self._database


def _to_image(path: bytes, content: bytes, size: int, mtime: int, label: bytes) -> Image:
    return Image(as_text(path), content, size, mtime, as_text(label))


def _put_metadata(database: "psycopg.Connection", values: Mapping[str, str]) -> None:
    database.cursor().executemany(
        "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [(key, path_key(value)) for key, value in values.items()],
    )


def _checked_dimension(text: str) -> int:
    if int(text) > LARGEST_DIMENSION:
        raise DeepRankingError(
            f"dimension: expected {LARGEST_DIMENSION:,} or less, which pgvector's vectors have at most, "
            f"found {int(text):,}; train with a smaller --embedding_size, or index into a folder"
        )
    return int(text)
