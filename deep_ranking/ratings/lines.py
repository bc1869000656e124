"""Text files of judgements, line by line; what is wrong is told by path and line."""

import csv
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from deep_ranking.errors import DeepRankingError
from deep_ranking.ratings.settings import Reading

_TEXT = {"encoding": "utf-8-sig", "errors": "surrogateescape"}


def bad(where: str, expected: str, found: str) -> DeepRankingError:
    """Return the error of a part of a file that is not as expected."""
    return DeepRankingError(f"{where}: expected {expected}; found {found:.200}; mend it, or take it out")


def opened(path: Path) -> IO[str]:
    """Open a text; names that are not UTF-8 come back as they went in."""
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise bad(str(path), "UTF-8 text", "bytes that no text has")
    return path.open(newline="", **_TEXT)  # type: ignore[call-overload,no-any-return]


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield `(where it stands, line without its end)`; blank lines are passed over."""
    with opened(path) as file:
        for count, line in enumerate(file, 1):
            if line.strip():
                yield f"{path}, line {count}", line.rstrip("\r\n")


def lists(path: Path, counts: Collection[int], expected: str) -> Iterator[tuple[str, list[str]]]:
    """Yield `(where it stands, names)` of each line, parted by tabs, or as in a csv, or by blanks."""
    for where, line in lines(path):
        if "\t" in line:
            names = line.split("\t")
        else:
            names = _fields(where, line) if "," in line else [name for name in line.split(" ") if name]
        if len(names) not in counts or not all(names):
            raise bad(where, expected, repr(line))
        yield where, names


def rows(path: Path, delimiter: str = ",") -> Iterator[tuple[str, list[str]]]:
    """Yield `(where it ends, fields)` of each row of a csv that is not empty, a header too."""
    with opened(path) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise bad(f"{path}, line {reader.line_num}", "a row of a csv", str(error)) from error
            if row is None:
                return
            if row:
                yield f"{path}, line {reader.line_num}", row


def columns(reading: Reading, roles: Mapping[str, str]) -> dict[str, str]:
    """Return the name of the column that has each role: as `--columns` says, else as by default."""
    given = dict(roles)
    for part in (reading.columns or "").split(","):
        role, equals, column = (text.strip() for text in part.partition("="))
        if part and not (role in roles and equals and column):
            raise bad("--columns", f"WHAT=COLUMN of {', '.join(roles)}", repr(part))
        if part:
            given[role] = column
    return given


def table(
    path: Path, given: Mapping[str, str], needs: Sequence[str], delimiter: str = ","
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield `(where it ends, role -> value)` of each row of a csv with a header.

    Args:
        path: the file.
        given: role -> name of its column. One that is not there is "" in each row.
        needs: roles whose columns have to be there.
        delimiter: between columns.
    """
    found = rows(path, delimiter)
    where, header = next(found, (f"{path}, line 1", []))
    places = {role: header.index(name) for role, name in given.items() if name in header}
    for role in needs:
        if role not in places:
            raise bad(
                where,
                f"a column {given[role]!r} ({role})",
                f"{', '.join(header) or 'nothing'}; name it with --columns {role}=COLUMN",
            )
    for where, row in found:
        if len(row) != len(header):
            raise bad(where, f"{len(header)} columns, as in the header", f"{len(row)}: {row}")
        yield where, dict.fromkeys(given, "") | {role: row[place] for role, place in places.items()}


def number(where: str, name: str, text: str, least: float = -math.inf) -> float:
    """Return a finite number that a field says."""
    word = text.strip().lower()
    try:
        value = float({"true": "1", "false": "0"}.get(word, word))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= least):
        raise bad(
            where, f"a number{f' of {least} or more' if math.isfinite(least) else ''} as {name}", repr(text)
        )
    return value


def base36(where: str, text: str) -> int:
    """Return a number that is written with digits and letters."""
    try:
        return int(text, 36)
    except ValueError:
        raise bad(where, "a number in base 36", repr(text)) from None


def parsed(path: Path) -> Any:
    """Return what a file of JSON holds."""
    try:
        with opened(path) as file:
            return json.load(file)
    except (json.JSONDecodeError, RecursionError) as error:
        raise bad(str(path), "JSON", str(error)) from error


def _fields(where: str, line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise bad(where, "names parted by commas", f"{line!r} ({error})") from error
