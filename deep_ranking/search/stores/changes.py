"""What has changed since which state of a store, so that a reader need not read all again."""

import sqlite3
from collections.abc import Collection, Iterable

TABLES = (
    "CREATE TABLE history (version INTEGER PRIMARY KEY, state TEXT NOT NULL)",
    "CREATE TABLE changes (version INTEGER NOT NULL, path TEXT NOT NULL, PRIMARY KEY (version, path))"
    " WITHOUT ROWID",
)

KEPT = 1 << 16
"""Changed paths that are remembered; who saw an older state reads everything."""


def record(
    database: sqlite3.Connection,
    version: int,
    state: str,
    paths: Collection[bytes] = (),
    hashes: Iterable[bytes] = (),
) -> None:
    """Write down, in the transaction that makes it, what a change was of, and forget the oldest.

    Args:
        database: of the store.
        version, state: the number and the mark after the change.
        paths: of the images that were put or removed, as `path_key` gives them.
        hashes: of contents whose vectors were put.
    """
    if len(paths) > KEPT:  # as when all are new
        database.execute("DELETE FROM changes")
        database.execute("DELETE FROM history")
    else:
        put = "INSERT OR IGNORE INTO changes VALUES (?, CAST(? AS TEXT))"
        database.executemany(put, ((version, path) for path in paths))
        of_content = "INSERT OR IGNORE INTO changes SELECT ?, path FROM images WHERE hash = ?"
        database.executemany(of_content, ((version, content) for content in hashes))
        oldest = f"SELECT version FROM changes ORDER BY version DESC LIMIT 1 OFFSET {KEPT}"
        if forgotten := database.execute(oldest).fetchone():
            database.execute("DELETE FROM changes WHERE version <= ?", forgotten)
            database.execute("DELETE FROM history WHERE version < ?", forgotten)
    database.execute("INSERT OR REPLACE INTO history VALUES (?, ?)", (version, state))


def since(database: sqlite3.Connection, start: str, end: str) -> list[str] | None:
    """Return the paths that were put or removed between two states, in order; None where that is not known.

    A state is another than the one of its number where the store was put back to an earlier one meanwhile.

    Args:
        database: of the store, in a transaction that sees the later state.
        start, end: as `Store.version` gives them.
    """
    if start == end:
        return []
    # The file of an index that was made before there were marks has a number alone, and so is of no state.
    (first, _, first_state), (last, _, last_state) = (state.partition("-") for state in (start, end))
    known = "SELECT version, CAST(state AS TEXT) FROM history WHERE version BETWEEN ? AND ? ORDER BY version"
    states = database.execute(known, (int(first), int(last))).fetchall()
    whole = len(states) == int(last) - int(first) + 1
    if not whole or states[0][1] != first_state or states[-1][1] != last_state:
        return None
    changed = "SELECT DISTINCT CAST(path AS TEXT) FROM changes WHERE version > ? ORDER BY path"
    return [path for (path,) in database.execute(changed, (int(first),))]
