"""An SQLite file: opened so that what is committed is on the disk, and its errors in words."""

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
}


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


def place_on_disk(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another under the same name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_there(path: Path, opened: tuple[int, int] | None) -> None:
    """Raise a `StoreError` unless the file is the one that was opened, at `place_on_disk`.

    SQLite goes on writing to a file that has been deleted, and what it keeps there is lost.
    """
    if place_on_disk(path) != opened:
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
    except sqlite3.IntegrityError:
        raise
    except sqlite3.OperationalError as error:
        advice = _ADVICE.get(error.sqlite_errorcode & 0xFF, "check that the folder can be written")
        raise StoreError(f"{path}: SQLite cannot use it now ({error}); {advice}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the second: its message quotes the damage
        raise DeepRankingError(f"{path}: damaged, or no SQLite file ({error}); {begin_anew}") from error
