"""Ratings in one SQLite file in write-ahead mode: whole after a kill, and open to several processes."""

import math
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from deep_ranking.errors import DeepRankingError, expect, made_later
from deep_ranking.files import path_key
from deep_ranking.location import RATINGS
from deep_ranking.search.stores.registry import folder_of, place_name
from deep_ranking.sqlite import check_there, connect, has_schema, place_on_disk, readable_errors

Answer = Literal["both_similar", "both_dissimilar", "a", "b"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
"""The four answers that the paper's raters could give."""

SCHEMA = 2
LONGEST_NAME = 64

# The two candidates may be shown in either order, so a question is its query and the set of both.
_ONE_ANSWER = "CREATE UNIQUE INDEX one_answer ON ratings (rater, query, min(a, b), max(a, b))"
_UNWEIGHTED = (  # schema 1
    "CREATE TABLE ratings (id INTEGER PRIMARY KEY AUTOINCREMENT, rater TEXT NOT NULL, query TEXT NOT NULL,"
    " a TEXT NOT NULL, b TEXT NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL)",
    _ONE_ANSWER,
)
_WEIGHT = "weight REAL NOT NULL DEFAULT 1"
_TABLES = f"{_UNWEIGHTED[0][:-1]}, {_WEIGHT})", _ONE_ANSWER  # as ALTER TABLE leaves it, to the letter
_COLUMNS = (
    "id, CAST(rater AS TEXT), CAST(query AS TEXT), CAST(a AS TEXT), CAST(b AS TEXT), CAST(answer AS TEXT),"
    " CAST(at AS REAL), CAST(weight AS REAL)"
)
_GIVEN, _VALUES = (
    "rater, query, a, b, answer, at, weight",
    f"?, {', '.join(3 * ['CAST(? AS TEXT)'])}, ?, ?, ?",
)
_INSERT = f"INSERT INTO ratings ({_GIVEN}) VALUES ({_VALUES})"
_PUT_BACK = f"INSERT OR IGNORE INTO ratings (id, {_GIVEN}) VALUES (?, {_VALUES})"
_BEGIN_ANEW = "move it away to begin anew"


def ratings_file(index: str | os.PathLike[str], ratings: str | os.PathLike[str] | None) -> Path:
    """Return the file of an index's ratings: the one that is named, or the one in the index's folder.

    Raises:
        DeepRankingError: neither, since the index is on a server.
    """
    if ratings is not None:
        return Path(ratings)
    if folder := folder_of(index):
        return folder / RATINGS
    raise DeepRankingError(
        f"{place_name(index)}: expected --ratings FILE, where ratings are kept, since it is no folder"
    )


class Rating(NamedTuple):
    """One answer.

    Attributes:
        id: its number, which grows with time.
        rater: who gave it.
        query, a, b: paths, as the index has them, in the order in which they were shown.
        answer: one of `ANSWERS`.
        at: when, in seconds since 1970.
        weight: above 0; 1 for a person's answer, n where n people who are not told apart gave it.
    """

    id: int
    rater: str
    query: str
    a: str
    b: str
    answer: Answer
    at: float
    weight: float = 1.0


class Given(NamedTuple):
    """An answer to be kept by `RatingStore.add_all`; its parts are as of `Rating`."""

    rater: str
    query: str
    a: str
    b: str
    answer: Answer
    weight: float = 1.0


class AnsweredError(DeepRankingError):
    """A rater has answered the question already."""


class RatingStore:
    """The ratings of one index.

    Args:
        path: the file; made if missing.

    Raises:
        DeepRankingError: it is no such file, or cannot be read or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, RatingStore(Path(folder) / "r.sqlite") as store:
        ...     _ = store.add("Ann", "q.jpg", "1.jpg", "2.jpg", "b")
        ...     [(r.rater, r.answer) for r in store.ratings()], store.undo("Ann").b, store.count()
        ([('Ann', 'b')], '2.jpg', 0)
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._lock = threading.Lock()
        if not self.path.parent.is_dir():
            raise DeepRankingError(f"{self.path}: expected a folder to keep it in, found none; make it first")
        with readable_errors(self.path, _BEGIN_ANEW):
            self._database = connect(self.path)
            self._database.execute("BEGIN IMMEDIATE")
            schema = self._database.execute("PRAGMA user_version").fetchone()[0]
            tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if not schema and not tables:
                for table in _TABLES:
                    self._database.execute(table)
                self._database.execute(f"PRAGMA user_version = {SCHEMA}")
                schema = SCHEMA
            elif schema == 1 and has_schema(self._database, _UNWEIGHTED):
                self._database.execute(f"ALTER TABLE ratings ADD COLUMN {_WEIGHT}")
                self._database.execute(f"PRAGMA user_version = {SCHEMA}")
                schema = SCHEMA
            self._database.execute("COMMIT")
            self._place = place_on_disk(self.path)
            sound = schema == SCHEMA and has_schema(self._database, _TABLES)
            ours = self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'ratings'").fetchone()
        if not sound:
            self.close()
            later = made_later(schema, SCHEMA) if ours else ""
            raise DeepRankingError(
                f"{self.path}: expected a file of ratings{f' of layout {SCHEMA}' if later else ''}, found "
                f"{f'layout {schema}; {later}' if later else 'another; choose a new name'}"
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> "RatingStore":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def add(self, rater: str, query: str, a: str, b: str, answer: Answer) -> int:
        """Keep an answer for good, and return its number.

        Raises:
            AnsweredError: this rater has answered the question; `undo` takes answers back.
            StoreError: the file was deleted or replaced meanwhile, or cannot be written.
            DeepRankingError: no name, no such answer, or an image compared with itself.
        """
        check_rater(rater)
        values = _checked(Given(rater, query, a, b, answer), time.time())
        try:
            with self._in_use():
                (number,) = self._database.execute(f"{_INSERT} RETURNING id", values).fetchone()
                return int(number)
        except sqlite3.IntegrityError:
            raise AnsweredError(
                f"{rater} has answered this question already; take the answer back first, or go on"
            ) from None

    def add_all(self, answers: Iterable[Given]) -> int:
        """Keep many answers, or none of them if an error is raised, and return how many were new.

        One that is there already, by the same rater, is passed over.

        Raises:
            AnsweredError: a rater has answered one of the questions otherwise.
            StoreError, DeepRankingError: as of `add`; whatever `answers` raises.
        """
        now, kept, raters = time.time(), 0, set[str]()
        with self._in_use():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for given in answers:
                    if given.rater not in raters:
                        check_rater(given.rater)
                        raters.add(given.rater)
                    values = _checked(given, now)
                    if self._database.execute(f"{_INSERT} ON CONFLICT DO NOTHING", values).rowcount:
                        kept += 1
                    else:
                        self._check_same(given)
            except BaseException:
                if self._database.in_transaction:  # a full disk has ended it already
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        return kept

    def _check_same(self, given: Given) -> None:
        """Raise AnsweredError if the answer that is there already is another."""
        question = (given.rater, path_key(given.query), *sorted(map(path_key, (given.a, given.b))))
        where = " AND ".join(
            f"{name} = CAST(? AS TEXT)" for name in ("rater", "query", "min(a, b)", "max(a, b)")
        )
        found = self._database.execute(f"SELECT {_COLUMNS} FROM ratings WHERE {where}", question).fetchone()
        there = Rating._make(found)
        if preferred(there) != preferred(given) or there.weight != given.weight:
            raise AnsweredError(
                f"{given.rater} has answered about {given.query}, {given.a} and {given.b} otherwise before; "
                "nothing was kept: give these another name, or keep them in another file"
            )

    def has_followed(self, mark: str) -> bool:
        """Tell whether the last `rename` was given this mark."""
        with self._in_use():
            return bool(self._database.execute("PRAGMA application_id").fetchone()[0] == _number(mark))

    def rename(self, moved: Mapping[str, str], mark: str = "") -> int:
        """Let answers name images by the paths that they have now; return how many do that did not.

        An answer that would then compare an image with itself, or be a rater's second to one question,
        stays as it was.

        Args:
            moved: the new path of each old one; names may be traded.
            mark: kept with the change, wholly or not at all; `has_followed` knows it.

        Raises:
            StoreError: as of `add`; nothing is changed.
        """
        find = f"SELECT {_COLUMNS} FROM ratings"
        changed = 0
        with self._in_use():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                named = [r for r in map(Rating._make, self._database.execute(find)) if moved.keys() & r[2:5]]
                staying: set[int] = set()
                before = -1
                while before < len(staying):  # what stays may be in the way of what was renamed
                    before, changed = len(staying), 0
                    drop = ((rating.id,) for rating in named)
                    self._database.executemany("DELETE FROM ratings WHERE id = ?", drop)
                    for rating in sorted(named, key=lambda rating: rating.id not in staying):
                        stays = rating.id in staying
                        names = [name if stays else moved.get(name, name) for name in rating[2:5]]
                        values = rating.id, rating.rater, *map(path_key, names), *rating[5:]
                        put = len({*names}) == 3 and self._database.execute(_PUT_BACK, values).rowcount == 1
                        changed += put and not stays
                        staying |= set() if put else {rating.id}
                self._database.execute(f"PRAGMA application_id = {_number(mark)}")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        return changed

    def undo(self, rater: str) -> Rating | None:
        """Delete a rater's last answer and return it; None if there is none.

        Raises:
            StoreError: as of `add`; so do `ratings`, `stream` and `count`.
        """
        last = "SELECT max(id) FROM ratings WHERE rater = ?"
        found = self._rows(f"DELETE FROM ratings WHERE id = ({last}) RETURNING {_COLUMNS}", rater)
        return found[0] if found else None

    def ratings(self, rater: str | None = None, offset: int = 0, limit: int = -1) -> list[Rating]:
        """Return ratings in the order of time, of one rater or of all."""
        query = f"SELECT {_COLUMNS} FROM ratings WHERE ? IS NULL OR rater = ? ORDER BY id LIMIT ? OFFSET ?"
        return self._rows(query, rater, rater, limit, offset)

    def stream(self) -> Iterator[Rating]:
        """Yield all ratings in the order of time, a thousand in memory at once."""
        last = 0
        while some := self._rows(f"SELECT {_COLUMNS} FROM ratings WHERE id > ? ORDER BY id LIMIT 1000", last):
            yield from some
            if some[-1].id <= last:
                raise DeepRankingError(f"{self.path}: damaged, ratings are out of order; {_BEGIN_ANEW}")
            last = some[-1].id

    def count(self, rater: str | None = None) -> int:
        """Return the number of ratings, of one rater or of all."""
        with self._in_use():
            query = "SELECT count(*) FROM ratings WHERE ? IS NULL OR rater = ?"
            return int(self._database.execute(query, (rater, rater)).fetchone()[0])

    def _rows(self, query: str, *values: object) -> list[Rating]:
        with self._in_use():
            rows = self._database.execute(query, values).fetchall()
        if any(None in row or not 0 < row[-1] < math.inf for row in rows):
            raise DeepRankingError(f"{self.path}: damaged, a rating lacks a part; {_BEGIN_ANEW}")
        return [Rating._make(row) for row in rows]

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._lock, readable_errors(self.path, _BEGIN_ANEW):
            check_there(self.path, self._place)
            yield


def _number(mark: str) -> int:
    """Return a number from 0 to 2^31 - 1 for a text, which SQLite keeps without a table."""
    return zlib.crc32(mark.encode()) >> 1


def preferred(rating: Rating | Given) -> str | None:
    """Return the path of the candidate that a rater found more similar; None for an answer without order."""
    return {"a": rating.a, "b": rating.b}.get(rating.answer)


def _checked(given: Given, now: float) -> tuple[object, ...]:
    """Return what is written of an answer, after a look at it."""
    rater, query, a, b, answer, weight = given
    expect("answer", answer in ANSWERS, f"one of {', '.join(ANSWERS)}", answer)
    expect("weight", 0 < weight < math.inf, "a finite number above 0", weight)
    if query in (a, b) or a == b:
        raise DeepRankingError("a question has three different images, its query and two candidates")
    return (rater, *map(path_key, (query, a, b)), answer, now, weight)


def check_rater(name: str) -> None:
    """Raise DeepRankingError unless a rater's name is 1 to 64 printable characters without blank ends."""
    fits = 0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()
    expected = f"a name of 1 to {LONGEST_NAME} printable characters, without blanks around it"
    expect("rater", fits, expected, name)
