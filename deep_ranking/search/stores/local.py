"""A store in a folder: one SQLite file in write-ahead mode, which survives a kill at any moment."""

import os
import re
import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import path_key
from deep_ranking.search.image import Image
from deep_ranking.search.store import IndexExistsError, bound_elsewhere
from deep_ranking.search.stores.local_snapshot import LocalSnapshot
from deep_ranking.sqlite import check_there, connect, has_schema, place_on_disk, readable_errors

FILE_NAME = "store.sqlite"
SCHEMA = 1
"""The layout's number, in SQLite's `user_version`; 0 is a file that was never finished."""

_BEGIN_ANEW = "delete the folder and index again"

_METADATA = {
    "version": re.compile("[0-9]{1,18}"),
    "dimension": re.compile("[1-9][0-9]{0,8}"),  # SQLite holds no larger vector
    "identity": re.compile("[0-9a-f]{8}"),
    "fingerprint": re.compile(".*", re.DOTALL),
}
"""What every index has, and how it is written."""

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE vectors (hash BLOB PRIMARY KEY, vector BLOB NOT NULL)",
    "CREATE TABLE images (path TEXT PRIMARY KEY, hash BLOB NOT NULL, size INTEGER NOT NULL,"
    " mtime INTEGER NOT NULL, label TEXT NOT NULL)",
    "CREATE INDEX images_by_hash ON images (hash)",
)


class LocalStore:
    """The SQLite file of one index; every method is whole or not done at all.

    Args:
        folder: the folder of the index; `LocalStore.create` makes it.

    Raises:
        DeepRankingError: there is no store, it is of another version of this package, or it is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.path = Path(folder) / FILE_NAME
        if not self.path.is_file():
            raise DeepRankingError(
                f"{os.fspath(folder)}: expected an index, found no {FILE_NAME} in it; "
                "make one with: deep-ranking index --model MODEL --images FOLDER --index FOLDER"
            )
        self._lock = threading.RLock()
        with readable_errors(self.path, _BEGIN_ANEW):
            self._database = connect(self.path)
            self._place = place_on_disk(self.path)
            schema = self._database.execute("PRAGMA user_version").fetchone()[0]
            if schema != SCHEMA:
                self._database.close()
                found = "an unfinished one" if schema == 0 else f"layout {schema}"
                raise DeepRankingError(
                    f"{self.path}: expected an index of layout {SCHEMA}, found {found}; "
                    "delete the folder and index again"
                )
            if not has_schema(self._database, _TABLES):
                self._database.close()
                raise self.damaged("its tables are not those of an index")
            self.metadata: dict[str, str] = dict(
                self._database.execute("SELECT key, CAST(value AS TEXT) FROM meta")
            )
        for name, kind in _METADATA.items():
            if not kind.fullmatch(self.metadata.get(name, "")):
                self._database.close()
                raise self.damaged(f"{name} is {self.metadata.get(name)!r:.40}")

    @classmethod
    def create(cls, folder: str | os.PathLike[str], metadata: Mapping[str, str]) -> "LocalStore":
        """Make a store with this metadata in a folder that holds none.

        Raises:
            IndexExistsError: there is a store already.
            DeepRankingError: there is a file of its name that is damaged.
        """
        path = Path(folder) / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        with readable_errors(path, _BEGIN_ANEW), closing(connect(path)) as database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0]:
                raise IndexExistsError(
                    f"{os.fspath(folder)}: there is an index already; open it, or delete it"
                )
            for table in _TABLES:
                database.execute(table)
            values = {**metadata, "version": "0", "identity": secrets.token_hex(4)}
            _put_metadata(database, values)
            database.execute(f"PRAGMA user_version = {SCHEMA}")
            database.execute("COMMIT")
        return cls(folder)

    @staticmethod
    def exists(folder: str | os.PathLike[str]) -> bool:
        """Tell whether a folder holds a finished store (a kill while it is made leaves an unfinished one)."""
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            return False
        try:
            with closing(connect(path)) as database:
                return bool(database.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.DatabaseError:
            return True  # opening it will say what is wrong

    @property
    def name(self) -> str:
        """The folder."""
        return os.fspath(self.path.parent)

    def close(self) -> None:
        """Close the file; SQLite then folds its log in."""
        self._database.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Everything read inside the block is of one moment, whatever other processes write meanwhile."""
        with self._transaction("BEGIN"):
            yield

    def damaged(self, problem: str) -> DeepRankingError:
        """Return the error that says what is wrong with the file."""
        return DeepRankingError(f"{self.path}: damaged, {problem}; {_BEGIN_ANEW}")

    def version(self) -> int:
        """Return the number of changes made so far; equal versions mean equal content."""
        found = self._rows("SELECT CAST(value AS TEXT) FROM meta WHERE key = 'version'")
        version = found[0][0] if found else ""  # damage may hide what was there when it was opened
        if not _METADATA["version"].fullmatch(version):
            raise self.damaged(f"version is {version!r:.40}")
        return int(version)

    def snapshot(self) -> LocalSnapshot:
        """Return the images and vectors of this moment; later writes, by anyone, do not change them."""
        return LocalSnapshot(self, self.path.parent / "cache")

    def images(self) -> list[Image]:
        """Return every image, in order of the path's bytes."""
        # SQLite keeps any type in any column; a damaged or foreign file may hold others than were declared.
        columns = "CAST(path AS TEXT), CAST(hash AS BLOB), CAST(size AS INTEGER), CAST(mtime AS INTEGER)"
        rows = self._rows(f"SELECT {columns}, CAST(label AS TEXT) FROM images ORDER BY path")
        if any(None in row for row in rows):
            raise self.damaged("a row of an image lacks a part")
        return [Image._make(row) for row in rows]

    def vectors(self) -> Iterator[tuple[bytes, np.ndarray]]:
        """Yield `(hash, vector)`; a vector whose images are all gone may be among them."""
        with readable_errors(self.path, _BEGIN_ANEW):
            for content, blob in self._database.execute("SELECT hash, vector FROM vectors"):
                yield content, np.frombuffer(blob, np.float32)

    def check_vectors(self) -> None:
        """Read the sizes of all vectors, none of their bytes.

        Raises:
            DeepRankingError: one is not of the index's dimension, which then asks for more than there is.
        """
        dimension = int(self.metadata["dimension"])
        others = "SELECT count(*) FROM vectors WHERE typeof(vector) != 'blob' OR length(vector) != ?"
        ((count,),) = self._rows(others, 4 * dimension)
        if count:
            raise self.damaged(f"{count} vectors are not of its {dimension} dimensions")

    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        """Return those of the content hashes that have a vector."""
        return {h for h in hashes if self._rows("SELECT 1 FROM vectors WHERE hash = ?", h)}

    def write(
        self,
        images: Iterable[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Collection[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Remove images by path, then put images and the vectors of new content, in one transaction.

        Once it returns, the change is on the disk. An image whose path is there already is replaced.

        Returns:
            How many of the paths to remove were there.
        """
        with self._transaction("BEGIN IMMEDIATE") as database:
            delete = "DELETE FROM images WHERE path = CAST(? AS TEXT)"
            removed = database.executemany(delete, ((path_key(path),) for path in remove)).rowcount
            database.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?)",
                ((h, np.asarray(v, np.float32).tobytes()) for h, v in (vectors or {}).items()),
            )
            put = database.executemany(
                "INSERT OR REPLACE INTO images VALUES (CAST(? AS TEXT), ?, ?, ?, CAST(? AS TEXT))",
                ((path_key(i.path), i.hash, i.size, i.mtime, path_key(i.label)) for i in images),
            ).rowcount
            _put_metadata(database, metadata or {})
            if removed > 0 or put > 0:
                database.execute("UPDATE meta SET value = value + 1 WHERE key = 'version'")
        self.metadata.update(metadata or {})
        return max(0, removed)

    def rebind(self, metadata: Mapping[str, str]) -> None:
        """Give a store that holds no images this metadata; one that holds images is left as it is.

        The store is another one afterwards: whoever else has it open can read and write it no more.
        """
        with self._transaction("BEGIN IMMEDIATE") as database:
            if database.execute("SELECT 1 FROM images LIMIT 1").fetchone():
                return
            values = {**metadata, "identity": secrets.token_hex(4)}
            database.execute("DELETE FROM vectors")
            _put_metadata(database, values)
        self.metadata.update(values)

    def sweep(self) -> None:
        """Delete the vectors that no image has any more; what a search sees does not change."""
        with self._transaction("BEGIN IMMEDIATE") as database:
            database.execute("DELETE FROM vectors WHERE hash NOT IN (SELECT hash FROM images)")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, readable_errors(self.path, _BEGIN_ANEW):
            self._database.execute(begin)
            try:
                check_there(self.path, self._place)
                self._check_identity()
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _check_identity(self) -> None:
        found = self._database.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()
        if found != (self.metadata["identity"],):
            raise bound_elsewhere(self.name)

    def _rows(self, query: str, *values: object) -> list[tuple]:
        with self._lock, readable_errors(self.path, _BEGIN_ANEW):
            return self._database.execute(query, values).fetchall()


def _put_metadata(database: sqlite3.Connection, values: Mapping[str, str]) -> None:
    put = "INSERT OR REPLACE INTO meta VALUES (?, CAST(? AS TEXT))"  # a value may be the path of a folder
    database.executemany(put, ((name, path_key(value)) for name, value in values.items()))
