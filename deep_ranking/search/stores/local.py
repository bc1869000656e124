"""A store in a folder: one SQLite file in write-ahead mode, which survives a kill at any moment."""

import os
import re
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import path_key, take_room
from deep_ranking.location import STORE
from deep_ranking.search.cache import Caches, load_matrix
from deep_ranking.search.image import Image
from deep_ranking.search.learned import KEY
from deep_ranking.search.store import Contents, IndexExistsError, Store, new_mark
from deep_ranking.sqlite import (
    StoreError,
    check_there,
    connect,
    connect_to_read,
    has_schema,
    place_on_disk,
    readable_errors,
)

SCHEMA = 1
"""The layout's number, in SQLite's `user_version`; 0 is a file that was never finished."""

_BEGIN_ANEW = (  # a log is of the very file that it was written for; ratings are in other files of the folder
    f"delete {STORE} with any {STORE}-* beside it, then put it back from a backup or index again"
)
_BLOCK = 4096

_METADATA = {
    "version": re.compile("[0-9]{1,18}"),
    "dimension": re.compile("[1-9][0-9]{0,8}"),  # SQLite holds no larger vector
    "identity": re.compile("[0-9a-f]{8}"),
    "state": re.compile("[0-9a-f]{16}"),
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


class LocalStore(Store):
    """The SQLite file of one index; every method is whole or not done at all.

    Args:
        folder: the folder of the index; `LocalStore.create` makes it.

    Raises:
        DeepRankingError: there is no store, it is of another version of this package, or it is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        super().__init__(folder)
        self.path = Path(folder) / STORE
        if not self.path.is_file():
            raise self.missing(folder, f"no {STORE} in it")
        self._lock = threading.RLock()
        with readable_errors(self.path, _BEGIN_ANEW):
            self._open()
            schema = self._database.execute("PRAGMA user_version").fetchone()[0]
            if schema != SCHEMA:
                self._database.close()
                found = "an unfinished one" if schema == 0 else f"layout {schema}"
                raise DeepRankingError(
                    f"{self.path}: expected an index of layout {SCHEMA}, found {found}; {_BEGIN_ANEW}"
                )
            if not has_schema(self._database, _TABLES):
                self._database.close()
                raise self.damaged("its tables are not those of an index")
            self.metadata = dict(self._database.execute("SELECT key, CAST(value AS TEXT) FROM meta"))
        # An index that was made before there were marks gets one: nothing cached is of it, then.
        if (mark := self.metadata.setdefault("state", self._unmarked)) is self._unmarked:
            with suppress(StoreError):  # where it may only be read, the mark is this process's
                self._rows("INSERT OR IGNORE INTO meta VALUES ('state', ?)", mark)
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
        path = Path(folder) / STORE
        path.parent.mkdir(parents=True, exist_ok=True)
        with readable_errors(path, _BEGIN_ANEW), closing(connect(path)) as database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0]:
                raise IndexExistsError(
                    f"{os.fspath(folder)}: there is an index already; open it, or delete it"
                )
            for table in _TABLES:
                database.execute(table)
            _put_metadata(database, {**metadata, "version": "0", "state": new_mark()})
            database.execute(f"PRAGMA user_version = {SCHEMA}")
            database.execute("COMMIT")
        return cls(folder)

    @classmethod
    def exists(cls, folder: str | os.PathLike[str]) -> bool:
        """Tell whether a folder holds a finished store (a kill while it is made leaves an unfinished one)."""
        path = Path(folder) / STORE
        if not path.is_file():
            return False
        try:
            with closing(connect_to_read(path)[0]) as database:
                return bool(database.execute("PRAGMA user_version").fetchone()[0])
        except (sqlite3.DatabaseError, StoreError):
            return True  # opening it will say what is wrong

    @staticmethod
    def shown(folder: str | os.PathLike[str]) -> str:
        """Return the folder."""
        return os.fspath(Path(folder))

    @staticmethod
    def folder_of(folder: str | os.PathLike[str]) -> Path:
        """Return the folder itself."""
        return Path(folder)

    def close(self) -> None:
        """Close the file; SQLite then folds its log in."""
        self._database.close()

    def damaged(self, problem: str) -> DeepRankingError:
        """Return the error that says what is wrong with the file."""
        return DeepRankingError(f"{self.path}: damaged, {problem}; {_BEGIN_ANEW}")

    def version(self) -> str:
        """Return the number of changes made so far, and the random mark of the last one."""
        self._follow()
        query = "SELECT key, CAST(value AS TEXT) FROM meta WHERE key IN ('version', 'state')"
        found = {"version": "", "state": self._unmarked, **dict(self._rows(query))}
        for name, value in found.items():  # damage may hide what was there when it was opened
            if not _METADATA[name].fullmatch(value):
                raise self.damaged(f"{name} is {value!r:.40}")
        return f"{found['version']}-{found['state']}"

    def _open(self) -> None:
        self._database, self._read_only = connect_to_read(self.path)
        self._place = place_on_disk(self.path, unchanged=self._read_only)
        self._unmarked = new_mark()

    def _follow(self) -> None:
        """Open a file that may only be read anew if it was changed, which SQLite was told not to expect."""
        with self._lock, readable_errors(self.path, _BEGIN_ANEW):
            changed = self._read_only and self._place != place_on_disk(self.path, unchanged=True)
            if changed and not self._database.in_transaction:
                self._database.close()
                self._open()
        if not self._read_only and place_on_disk(self.path) is not None:
            check_there(self.path, self._place)  # put back from a backup, the open one is of a lost state

    def caches(self, version: str) -> Caches:
        """Return the folder of what is made of the store's rows, at a version."""
        return Caches(self.path.parent / "cache", self.metadata["identity"], version)

    def contents(self) -> Contents:
        """Return version, images and vectors of one moment, whatever other processes write meanwhile."""
        with self._transaction("BEGIN"):
            version, images = self.version(), self.images()
            rows = self._rows("SELECT CAST(value AS TEXT) FROM meta WHERE key = ?", KEY)
            learned = rows[0][0] if rows else ""
            if not images:
                return Contents(version, images, np.zeros((0, self.dimension), np.float32), learned)
            matrix = self.caches(version).get(
                "vectors.npy",
                lambda path: self._write_matrix(path, images),
                lambda path: load_matrix(path, (len(images), self.dimension)),
            )
            return Contents(version, images, matrix, learned)

    def images(self) -> list[Image]:
        """Return every image, in order of the path's bytes."""
        # SQLite keeps any type in any column; a damaged or foreign file may hold others than were declared.
        columns = "CAST(path AS TEXT), CAST(hash AS BLOB), CAST(size AS INTEGER), CAST(mtime AS INTEGER)"
        rows = self._rows(f"SELECT {columns}, CAST(label AS TEXT) FROM images ORDER BY path")
        if any(None in row for row in rows):
            raise self.damaged("a row of an image lacks a part")
        return [Image._make(row) for row in rows]

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
            if removed > 0 or put > 0 or vectors or KEY in (metadata or {}):
                database.execute("UPDATE meta SET value = value + 1 WHERE key = 'version'")
                _put_metadata(database, {"state": new_mark()})
        self.metadata.update(metadata or {})
        return max(0, removed)

    def sweep(self) -> None:
        """Delete the vectors that no image has any more; what a search sees does not change."""
        with self._transaction("BEGIN IMMEDIATE") as database:
            database.execute("DELETE FROM vectors WHERE hash NOT IN (SELECT hash FROM images)")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        self._follow()
        with self._lock, readable_errors(self.path, _BEGIN_ANEW):
            self._database.execute(begin)
            try:
                check_there(self.path, self._place)
                yield self._database
                if self._read_only:  # where nothing locks it, it may have been changed under the reader
                    check_there(self.path, self._place)
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _write_matrix(self, path: Path, images: Sequence[Image]) -> None:
        rows: dict[bytes, list[int]] = {}
        for row, image in enumerate(images):
            rows.setdefault(image.hash, []).append(row)
        # The sizes of all vectors first: one of another dimension asks for more than there is.
        others = "SELECT count(*) FROM vectors WHERE typeof(vector) != 'blob' OR length(vector) != ?"
        ((count,),) = self._rows(others, 4 * self.dimension)
        if count:
            raise self.damaged(f"{count} vectors are not of its {self.dimension} dimensions")
        matrix = np.lib.format.open_memmap(path, "w+", np.float32, (len(images), self.dimension))
        take_room(path)
        for content, blob in self._database.execute("SELECT hash, vector FROM vectors"):
            for row in rows.pop(content, ()):  # there is none for a vector whose images are all gone
                matrix[row] = np.frombuffer(blob, np.float32)
        if rows:
            raise self.damaged(f"{images[next(iter(rows.values()))[0]].path} has no vector")
        for start in range(0, len(matrix), _BLOCK):
            if not np.isfinite(matrix[start : start + _BLOCK]).all():
                raise self.damaged("a vector is not of finite numbers")
        matrix.flush()

    def _rows(self, query: str, *values: object) -> list[tuple]:
        with self._lock, readable_errors(self.path, _BEGIN_ANEW):
            return self._database.execute(query, values).fetchall()


def _put_metadata(database: sqlite3.Connection, values: Mapping[str, str]) -> None:
    put = "INSERT OR REPLACE INTO meta VALUES (?, CAST(? AS TEXT))"  # a value may be the path of a folder
    database.executemany(put, ((name, path_key(value)) for name, value in values.items()))
