"""An SQLite file: opened so that what is committed is on the disk, and its errors in words."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import as_text

_PATIENCE = 60  # seconds to wait for other processes

_ADVICE = {
    sqlite3.SQLITE_BUSY: "another process is writing; wait for it",
    sqlite3.SQLITE_LOCKED: "another process is writing; wait for it",
    sqlite3.SQLITE_FULL: "make room",
    sqlite3.SQLITE_READONLY: "it may only be read here; write where its folder can be written",
}
_NOT_WRITABLE = sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN


class StoreError(DeepRankingError):
    """The file cannot be used now; nothing was kept."""


def connect(path: Path) -> sqlite3.Connection:
    """Open an SQLite file so that a commit is on the disk, processes wait for each other, any path fits."""
    database = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    database.text_factory = as_text
    try:
        _use_write_ahead(database)
        database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk, not only with the system
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def connect_to_read(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Open an SQLite file, also where it or its folder may only be read; tell whether it is so.

    Write-ahead mode keeps two more files beside it. Where they neither are nor can be made, nobody writes
    here, and SQLite is told that the file stays as it is (`immutable`).
    """
    try:
        database = connect(path)
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
        return database, False
    except sqlite3.OperationalError as error:
        log = path.with_name(f"{path.name}-wal")
        if error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE or not os.access(path, os.R_OK):
            raise
        if log.is_file() and log.stat().st_size:
            raise StoreError(
                f"{path}: its last changes are in {log.name}, which cannot be used in a folder that may only "
                "be read; open the index once where it can be written"
            ) from error
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?immutable=1", uri=True, isolation_level=None, check_same_thread=False
    )
    database.text_factory = as_text
    return database, True


def _use_write_ahead(database: sqlite3.Connection) -> None:
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:  # SQLite does not wait itself where two switch a new file
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def place_on_disk(path: Path, unchanged: bool = False) -> tuple[int, ...] | None:
    """Return what tells a file from another under its name, or from its `unchanged` self; None: no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    place = status.st_dev, status.st_ino
    return (*place, status.st_size, status.st_mtime_ns) if unchanged else place


def check_there(path: Path, opened: tuple[int, ...] | None) -> None:
    """Raise a `StoreError` unless the file is the one that was opened, at `place_on_disk`.

    SQLite goes on writing to a file that has been deleted, and what it keeps there is lost.
    """
    if place_on_disk(path, unchanged=opened is not None and len(opened) > 2) != opened:
        raise StoreError(f"{path}: it was deleted or replaced while it was open; start again")


def has_schema(database: sqlite3.Connection, made_by: tuple[str, ...]) -> bool:
    """Tell whether a file holds these tables and no others: a view or a trigger would do what it likes."""
    found = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'"
    return {sql for (sql,) in database.execute(found)} == set(made_by)


@contextmanager
def readable_errors(path: Path, begin_anew: str) -> Iterator[None]:
    """Turn SQLite's errors in the block into those of this project.

    Args:
        path: the file.
        begin_anew: what to do about one that is damaged.

    Raises:
        StoreError: it cannot be read or written now.
        DeepRankingError: it is damaged, or no SQLite file.
    """
    try:
        yield
    except (sqlite3.IntegrityError, StoreError):
        raise
    except sqlite3.ProgrammingError as error:
        if "closed" not in str(error):
            raise
        raise StoreError(f"{path}: it was closed here; open it again") from None
    except sqlite3.OperationalError as error:
        advice = _ADVICE.get(error.sqlite_errorcode & 0xFF, "check that the folder can be written")
        raise StoreError(f"{path}: SQLite cannot use it now ({error}); {advice}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the second: its message quotes the damage
        raise DeepRankingError(f"{path}: damaged, or no SQLite file ({error}); {begin_anew}") from error
