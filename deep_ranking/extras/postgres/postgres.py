"""A store on a PostgreSQL server with pgvector: the tables of one index are in one schema.

Paths, labels and metadata are bytes, as file names are: what is no UTF-8 is kept, and sorted as elsewhere.
"""

import os
import secrets
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.extras.postgres.postgres_snapshot import PostgresSnapshot
from deep_ranking.extras.postgres.postgres_url import PostgresURL
from deep_ranking.files import as_text, path_key
from deep_ranking.search.image import Image
from deep_ranking.search.store import IndexExistsError, bound_elsewhere

if TYPE_CHECKING:
    import psycopg

LAYOUT = "1"

LARGEST_DIMENSION = 16_000
"""Of pgvector's type `vector`."""

_OLDEST = (0, 8)  # the first pgvector whose graph goes on looking where a filter left too few
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


class PostgresStore:
    """The tables of one index; every method is one transaction.

    Args:
        place: the URL, see `PostgresURL.read`; `PostgresStore.create` makes the tables.

    Raises:
        DeepRankingError: the server cannot be reached, there is no index, or one of another layout.
        MissingExtraError: psycopg or pgvector's package is not installed.
    """

    def __init__(self, place: str | os.PathLike[str]):
        self._url = PostgresURL.read(place)
        self._lock = threading.RLock()
        self._settings: dict[str, str] = {}
        self._database: psycopg.Connection | None = None
        with self._explained():
            database = _connect(self._url)
            if not _is_there(database, self._url):
                database.close()
                raise DeepRankingError(
                    f"{self.name}: expected an index, found none; "
                    "make one with: deep-ranking index --model MODEL --images FOLDER --store URL"
                )
            self._database = database
            self.metadata: dict[str, str] = {
                key: as_text(value) for key, value in database.execute("SELECT key, value FROM meta")
            }
        if (layout := self.metadata.get("layout")) != LAYOUT:
            self.close()
            raise DeepRankingError(
                f"{self.name}: expected an index of layout {LAYOUT}, found layout {layout}; "
                "drop its schema and index again"
            )

    @classmethod
    def create(cls, place: str | os.PathLike[str], metadata: Mapping[str, str]) -> "PostgresStore":
        """Make a store with this metadata in a schema that holds none.

        Raises:
            IndexExistsError: there is a store already.
            DeepRankingError: the server has no pgvector, or an old one; too large a dimension.
        """
        url = PostgresURL.read(place)
        dimension = _checked_dimension(metadata["dimension"])
        with _explained(url), _connect(url) as database, database.transaction():
            database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            if _is_there(database, url):
                raise IndexExistsError(f"{url.name}: there is an index already; open it, or drop its schema")
            _make_extension(database, url)
            database.execute(f'CREATE SCHEMA IF NOT EXISTS "{url.index}"')
            for table in _TABLES:
                database.execute(table.format(dimension=dimension))
            values = {**metadata, "version": "0", "identity": secrets.token_hex(8), "layout": LAYOUT}
            _put_metadata(database, values)
        return cls(place)

    @staticmethod
    def exists(place: str | os.PathLike[str]) -> bool:
        """Tell whether there is a store; a server that cannot be reached is an error."""
        url = PostgresURL.read(place)
        with _explained(url), _connect(url) as database:
            return _is_there(database, url)

    @property
    def name(self) -> str:
        """Server and database, without user and password."""
        return self._url.name

    def close(self) -> None:
        """Close the connection."""
        if self._database is not None:
            self._database.close()

    def version(self) -> int:
        """Return the number of changes made so far; equal versions mean equal content."""
        return int(self.rows("SELECT value FROM meta WHERE key = 'version'")[0][0])

    def snapshot(self) -> PostgresSnapshot:
        """Return what a search sees: whatever is there when it comes."""
        return PostgresSnapshot(self)

    def images(self) -> list[Image]:
        """Return every image, in order of the path's bytes."""
        rows = self.rows("SELECT path, hash, size, mtime, label FROM images ORDER BY path")
        return [_to_image(*row) for row in rows]

    def contents(self) -> tuple[list[Image], np.ndarray]:
        """Return every image, in order of the path's bytes, and its vector as a row of (n, dimension)."""
        columns = "path, hash, size, mtime, label, vector"
        query = f"SELECT {columns} FROM images JOIN vectors USING (hash) ORDER BY path"
        images, blocks = [], [np.zeros((0, int(self.metadata["dimension"])), np.float32)]
        with self.transaction() as database, database.cursor("contents", binary=True) as cursor:
            cursor.execute(query)
            while rows := cursor.fetchmany(4096):
                images += [_to_image(*row[:-1]) for row in rows]
                blocks.append(np.stack([row[-1].to_numpy() for row in rows]))
        return images, np.concatenate(blocks)

    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        """Return those of the content hashes that have a vector."""
        return {h for (h,) in self.rows("SELECT hash FROM vectors WHERE hash = ANY(%s)", [list(hashes)])}

    def write(
        self,
        images: Iterable[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Collection[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Remove images by path, then put images and the vectors of new content, in one transaction."""
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
            if removed or put:
                cursor.execute(_COUNT_CHANGE)
        self.metadata.update(metadata or {})
        return int(removed)

    def rebind(self, metadata: Mapping[str, str]) -> None:
        """Give a store that holds no images this metadata; one that holds images is left as it is."""
        dimension = _checked_dimension(metadata["dimension"])
        with self._writing() as database:
            if database.execute("SELECT 1 FROM images LIMIT 1").fetchone():
                return
            values = {**metadata, "identity": secrets.token_hex(8)}
            database.execute("DROP INDEX IF EXISTS vectors_hnsw")
            database.execute("DELETE FROM meta WHERE key = 'probe'")
            database.execute("TRUNCATE images, vectors")
            database.execute(f"ALTER TABLE vectors ALTER COLUMN vector TYPE vector({dimension})")
            _put_metadata(database, values)
        self.metadata.pop("probe", None)
        self.metadata.update(values)

    def sweep(self) -> None:
        """Delete the vectors that no image has any more; what a search sees does not change."""
        with self._writing() as database:
            database.execute(
                "DELETE FROM vectors v WHERE NOT EXISTS (SELECT 1 FROM images i WHERE i.hash = v.hash)"
            )

    def rows(
        self, query: str, values: Any = None, settings: Mapping[str, str] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return what a query gives, after these settings of the session."""
        with self._use() as database:
            new = {k: v for k, v in (settings or {}).items() if self._settings.get(k) != v}
            for key, value in new.items():
                database.execute("SELECT set_config(%s, %s, false)", [key, value])
            self._settings |= new
            return database.cursor(binary=True).execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> "Iterator[psycopg.Connection]":
        """Run what is inside as one transaction, on an index that is still the one opened."""
        with self._use() as database, database.transaction():
            self.check_identity()
            yield database

    @contextmanager
    def making(self) -> "Iterator[psycopg.Connection]":
        """As `transaction`, while no other process makes tables or indexes."""
        with self.transaction() as database:
            database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            yield database

    def check_identity(self) -> None:
        """Raise DeepRankingError if the index was bound to another model since it was opened."""
        found = self.rows("SELECT value FROM meta WHERE key = 'identity'")
        if found != [(path_key(self.metadata["identity"]),)]:
            raise bound_elsewhere(self.name)

    @contextmanager
    def _writing(self) -> "Iterator[psycopg.Connection]":
        with self._use() as database, database.transaction():
            # One writer at a time, so that the version counts each change.
            database.execute("SELECT 1 FROM meta WHERE key = 'version' FOR UPDATE")
            self.check_identity()
            yield database

    @contextmanager
    def _use(self) -> "Iterator[psycopg.Connection]":
        with self._lock, self._explained():
            if self._database is None or self._database.closed:  # the server was started anew, say
                self._database, self._settings = _connect(self._url), {}
            yield self._database

    def _explained(self) -> Any:
        return _explained(self._url)


def _to_image(path: bytes, content: bytes, size: int, mtime: int, label: bytes) -> Image:
    """Turn a row into an image."""
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


@contextmanager
def _explained(url: PostgresURL) -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.errors.ForeignKeyViolation:
        raise DeepRankingError(
            f"{url.name}: another process removed an image whose copy was just written; run this again"
        ) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise DeepRankingError(
            f"{url.name}: expected the tables of an index ({url.explain(error)}); drop its schema and index "
            "again, or name another by ?index="
        ) from None
    except psycopg.OperationalError as error:
        raise DeepRankingError(
            f"{url.name}: PostgreSQL cannot be used now ({url.explain(error)}); is the server up, "
            "and are user and password right?"
        ) from None
    except psycopg.Error as error:
        raise DeepRankingError(f"{url.name}: PostgreSQL refused ({url.explain(error)})") from None


def _connect(url: PostgresURL) -> "psycopg.Connection":
    import psycopg
    from pgvector.psycopg import register_vector

    # Each query is planned for its values: a plan made for any would not know how few images a label has.
    database = psycopg.connect(url.connection, autocommit=True, prepare_threshold=None)
    try:
        database.execute(
            "SELECT set_config('search_path', %s || current_setting('search_path'), false)",
            [f'"{url.index}", '],
        )
        if database.execute("SELECT to_regtype('vector')").fetchone() != (None,):
            register_vector(database)
    except BaseException:
        database.close()
        raise
    return database


def _is_there(database: "psycopg.Connection", url: PostgresURL) -> bool:
    return database.execute("SELECT to_regclass(%s)", [f'"{url.index}".meta']).fetchone() != (None,)


def _make_extension(database: "psycopg.Connection", url: PostgresURL) -> None:
    import psycopg

    try:
        database.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.InsufficientPrivilege) as error:
        raise DeepRankingError(
            f"{url.name}: expected a server with pgvector, found none ({url.explain(error)}); install it "
            "there, and let an administrator run in this database: CREATE EXTENSION vector"
        ) from None
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    (version,) = database.execute(query).fetchone() or ("0",)
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise DeepRankingError(
            f"{url.name}: expected pgvector {'.'.join(map(str, _OLDEST))} or later, found {version}; "
            "update it there, then run in this database: ALTER EXTENSION vector UPDATE"
        )
