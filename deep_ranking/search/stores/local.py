"""A store in a folder: one SQLite file in write-ahead mode, which survives a kill at any moment."""

import os
import re
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError, made_later
from deep_ranking.files import path_key
from deep_ranking.location import STORE
from deep_ranking.search.cache import Caches, is_sealed
from deep_ranking.search.image import Image
from deep_ranking.search.learned import KEY
from deep_ranking.search.part import Part, merged
from deep_ranking.search.segment import Fill, Segment, read_segment, write_segment
from deep_ranking.search.store import Contents, IndexExistsError, Store, new_mark
from deep_ranking.search.stores import changes
from deep_ranking.search.table import ImageTable
from deep_ranking.sqlite import (
    StoreError,
    check_there,
    connect,
    connect_to_read,
    has_schema,
    place_on_disk,
    readable_errors,
)

SCHEMA = 2
"""The layout's number, in SQLite's `user_version`; 0 is a file that was never finished."""

_FIRST_SCHEMA = 1  # which had no log, and is given one where it may be written

_BEGIN_ANEW = (  # a log is of the very file that it was written for; ratings are in other files of the folder
    f"delete {STORE} with any {STORE}-* beside it, then put it back from a backup or index again"
)
_BLOCK = 4096
_SEGMENT = "vectors.npy"  # the name in the cache of a segment of all images of a version
_LARGE = 10  # a tenth of the images changed: they are written as one segment again
_CHANGED = "SELECT path FROM changes WHERE version > ?"

_METADATA = {
    "version": re.compile("[0-9]{1,18}"),
    "dimension": re.compile("[1-9][0-9]{0,8}"),  # SQLite holds no larger vector
    "identity": re.compile("[0-9a-f]{8}"),
    "state": re.compile("[0-9a-f]{16}"),
    "fingerprint": re.compile(".*", re.DOTALL),
}
"""What every index has, and how it is written."""

_FIRST_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE vectors (hash BLOB PRIMARY KEY, vector BLOB NOT NULL)",
    "CREATE TABLE images (path TEXT PRIMARY KEY, hash BLOB NOT NULL, size INTEGER NOT NULL,"
    " mtime INTEGER NOT NULL, label TEXT NOT NULL)",
    "CREATE INDEX images_by_hash ON images (hash)",
)
_TABLES = (
    *_FIRST_TABLES,
    *changes.TABLES,
    "CREATE TABLE loose (hash BLOB PRIMARY KEY) WITHOUT ROWID",  # that an image had: it may be the last
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
        self._held: list[tuple[str, Segment]] = []  # the last segment that was read, after its version
        with readable_errors(self.path, _BEGIN_ANEW):
            self._open()
            schema = self._database.execute("PRAGMA user_version").fetchone()[0]
            if schema == _FIRST_SCHEMA and has_schema(self._database, _FIRST_TABLES):
                schema = self._with_log()
            elif schema not in (_FIRST_SCHEMA, SCHEMA):
                self._database.close()
                found = "an unfinished one" if schema == 0 else f"layout {schema}"
                raise DeepRankingError(
                    f"{self.path}: expected an index of layout {SCHEMA}, found {found}; "
                    f"{made_later(schema, SCHEMA) or _BEGIN_ANEW}"
                )
            self._has_log = schema == SCHEMA
            if not has_schema(self._database, _TABLES if self._has_log else _FIRST_TABLES):
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

    def _with_log(self) -> int:
        """Give a file of the first layout its log, where it may be written, and return what layout it has."""
        if self._read_only:
            return _FIRST_SCHEMA
        self._database.execute("BEGIN IMMEDIATE")
        if self._database.execute("PRAGMA user_version").fetchone()[0] == _FIRST_SCHEMA:
            for table in _TABLES[len(_FIRST_TABLES) :]:
                self._database.execute(table)
            unused = "SELECT hash FROM vectors WHERE hash NOT IN (SELECT hash FROM images)"
            self._database.execute(f"INSERT INTO loose {unused}")
            state = "(SELECT value FROM meta WHERE key = 'state')"
            version = "(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'version')"
            self._database.execute(f"INSERT INTO history SELECT {version}, {state} WHERE {state} IS NOT NULL")
            self._database.execute(f"PRAGMA user_version = {SCHEMA}")
        self._database.execute("COMMIT")
        return SCHEMA

    @classmethod
    def create(cls, folder: str | os.PathLike[str], metadata: Mapping[str, str]) -> "LocalStore":
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
            _put_metadata(database, {**metadata, "version": "0", "state": (state := new_mark())})
            changes.record(database, 0, state)
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
        return os.fspath(Path(folder))

    @staticmethod
    def folder_of(folder: str | os.PathLike[str]) -> Path:
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
        return Caches(self.path.parent / "cache", self.metadata["identity"], version)

    def contents(self) -> Contents:
        with self._transaction("BEGIN"):
            version = self.version()
            rows = self._rows("SELECT CAST(value AS TEXT) FROM meta WHERE key = ?", KEY)
            return Contents(version, self._parts(version), rows[0][0] if rows else "")

    def _parts(self, version: str) -> list[Part]:
        """Return the segment of this state, or that of an earlier one and what has changed since."""
        if not (found := self._newest_segment(version)):
            images = self.images()
            table = ImageTable.of(images)
            return [Part(self._write_segment(version, table, lambda matrix: self._fill(matrix, images)))]
        segment, paths, start = found
        if not paths:
            return [Part(segment)]
        images = self._images(f"WHERE path IN ({_CHANGED})", start)
        matrix = np.empty((len(images), self.dimension), np.float32)
        own = f"WHERE hash IN (SELECT hash FROM images WHERE path IN ({_CHANGED}))"
        self._fill(matrix, images, own, start)
        gone = [row for path in paths if (row := segment.row(path)) is not None]
        later = [Part(Segment(images, matrix))] if images else []
        parts = [Part(segment, np.array(gone, np.intp)), *later]
        if _LARGE * len(paths) <= len(segment):
            return parts
        return [Part(self._write_segment(version, *merged(parts)))]

    def _newest_segment(self, version: str) -> tuple[Segment, list[str], int] | None:
        """Return the newest segment there is, the paths that changed since, and its version's number."""
        starts: list[tuple[str, Segment | Path]] = [*self._held, *self.caches(version).versions(_SEGMENT)]
        for start, there in starts:
            known = self._has_log or start == version
            if not known or (paths := changes.since(self._database, start, version)) is None:
                continue
            segment = there if isinstance(there, Segment) else self._read_segment(start, there)
            if segment is not None:
                self._held = [(start, segment)]
                return segment, paths, int(start.partition("-")[0])
        return None

    def _read_segment(self, version: str, path: Path) -> Segment | None:
        with suppress(FileNotFoundError):  # another process may have cleaned up just now
            if is_sealed(path):
                return read_segment(path, self.dimension, self.caches(version))
        return None

    def _write_segment(self, version: str, images: ImageTable, fill: Fill) -> Segment:
        if not len(images):
            return Segment(images, np.zeros((0, self.dimension), np.float32))
        caches = self.caches(version)
        segment = caches.get(
            _SEGMENT,
            lambda path: write_segment(path, images, self.dimension, fill),
            lambda path: read_segment(path, self.dimension, caches),
        )
        self._held = [(version, segment)]
        return segment

    def images(self) -> list[Image]:
        return self._images()

    def _images(self, which: str = "", *values: object) -> list[Image]:
        # SQLite keeps any type in any column; a damaged or foreign file may hold others than were declared.
        columns = "CAST(path AS TEXT), CAST(hash AS BLOB), CAST(size AS INTEGER), CAST(mtime AS INTEGER)"
        rows = self._rows(f"SELECT {columns}, CAST(label AS TEXT) FROM images {which} ORDER BY path", *values)
        if any(None in row for row in rows):
            raise self.damaged("a row of an image lacks a part")
        return [Image._make(row) for row in rows]

    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        return {h for h in hashes if self._rows("SELECT 1 FROM vectors WHERE hash = ?", h)}

    def write(
        self,
        images: Iterable[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Collection[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        images, vectors = list(images), vectors or {}
        paths = {*map(path_key, remove), *(path_key(image.path) for image in images)}
        with self._transaction("BEGIN IMMEDIATE") as database:
            loose = "INSERT OR IGNORE INTO loose SELECT hash FROM images WHERE path = CAST(? AS TEXT)"
            database.executemany(loose, ((path,) for path in paths))
            unused = vectors.keys() - {image.hash for image in images}
            database.executemany("INSERT OR IGNORE INTO loose VALUES (?)", ((h,) for h in unused))
            delete = "DELETE FROM images WHERE path = CAST(? AS TEXT)"
            removed = database.executemany(delete, ((path_key(path),) for path in remove)).rowcount
            database.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?)",
                ((h, np.asarray(v, np.float32).tobytes()) for h, v in vectors.items()),
            )
            put = database.executemany(
                "INSERT OR REPLACE INTO images VALUES (CAST(? AS TEXT), ?, ?, ?, CAST(? AS TEXT))",
                ((path_key(i.path), i.hash, i.size, i.mtime, path_key(i.label)) for i in images),
            ).rowcount
            _put_metadata(database, metadata or {})
            if removed > 0 or put > 0 or vectors or KEY in (metadata or {}):
                database.execute("UPDATE meta SET value = value + 1 WHERE key = 'version'")
                ((version,),) = database.execute("SELECT value FROM meta WHERE key = 'version'")
                _put_metadata(database, {"state": (state := new_mark())})
                changes.record(database, int(version), state, paths, vectors)
        self.metadata.update(metadata or {})
        return max(0, removed)

    def sweep(self) -> None:
        used = "SELECT 1 FROM images WHERE images.hash = vectors.hash"
        with self._transaction("BEGIN IMMEDIATE") as database:
            loose = "hash IN (SELECT hash FROM loose)"
            database.execute(f"DELETE FROM vectors WHERE {loose} AND NOT EXISTS ({used})")
            database.execute("DELETE FROM loose")

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

    def _fill(self, matrix: np.ndarray, images: Sequence[Image], which: str = "", *values: object) -> None:
        """Fill a matrix with the vectors of images, which are among `which` rows of the table."""
        rows: dict[bytes, list[int]] = {}
        for row, image in enumerate(images):
            rows.setdefault(image.hash, []).append(row)
        # The sizes of all vectors first: one of another dimension asks for more than there is.
        unfit = "count(*) FILTER (WHERE typeof(vector) != 'blob' OR length(vector) != ?)"
        ((count,),) = self._rows(f"SELECT {unfit} FROM vectors {which}", 4 * self.dimension, *values)
        if count:
            raise self.damaged(f"{count} vectors are not of its {self.dimension} dimensions")
        for content, blob in self._database.execute(f"SELECT hash, vector FROM vectors {which}", values):
            for row in rows.pop(content, ()):  # there is none for a vector whose images are all gone
                matrix[row] = np.frombuffer(blob, np.float32)
        if rows:
            raise self.damaged(f"{images[next(iter(rows.values()))[0]].path} has no vector")
        for start in range(0, len(matrix), _BLOCK):
            if not np.isfinite(matrix[start : start + _BLOCK]).all():
                raise self.damaged("a vector is not of finite numbers")

    def _rows(self, query: str, *values: object) -> list[tuple]:
        with self._lock, readable_errors(self.path, _BEGIN_ANEW):
            return self._database.execute(query, values).fetchall()


def _put_metadata(database: sqlite3.Connection, values: Mapping[str, str]) -> None:
    put = "INSERT OR REPLACE INTO meta VALUES (?, CAST(? AS TEXT))"  # a value may be the path of a folder
    database.executemany(put, ((name, path_key(value)) for name, value in values.items()))
