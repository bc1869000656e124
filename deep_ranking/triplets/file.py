"""The triplet file: one `query,positive,negative` a line, as the blog wrote it.

UTF-8 text with CSV quoting where a name needs it; blank lines and lines that begin with `#` are passed
over; compressed where the name ends in `.gz` (in reading, by content too). Reading and writing stream:
memory does not grow with the file. Every file name that an operating system allows comes back as it went in,
those that are not UTF-8 too (kept as surrogate escapes, like `os.fsdecode`).
"""

import codecs
import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import written_whole


class Triplet(NamedTuple):
    """Query, positive and negative: the query is more similar to the positive than to the negative.

    Each is the path of an image, relative to the root of its data set with `/` between folders, or absolute.
    Source: Wang et al. 2014, section 3.

    Example:
        >>> Triplet("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg").negative
        'dogs/1.jpg'
    """

    query: str
    positive: str
    negative: str

    def _repr_html_(self) -> str:
        import deep_ranking  # what draws lies above; it is asked for by its public name, when a notebook asks

        return str(deep_ranking.show(self)._repr_html_())


_LONGEST_RECORD = 100_000  # three paths of 4096 bytes are far below; a quote never closed ends here
_NEEDS_QUOTES = frozenset('",\r\n')
_GZIP = b"\x1f\x8b"
_TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": "\n"}


class TripletFileError(DeepRankingError):
    """A triplet file that cannot be used; the message names the file and the line."""

    def __init__(self, path: str | os.PathLike[str], line: int, problem: str):
        super().__init__(f"{os.fspath(path)}, line {line}: {problem}")


def read_triplets(path: str | os.PathLike[str]) -> Iterator[Triplet]:
    """Yield the triplets of a file, in its order.

    Raises:
        TripletFileError: a line is not three non-empty names; it never shifts the triplets after it.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "triplets.txt"
        ...     _ = path.write_text('# by hand\\na.jpg,"b,1.jpg",c.jpg\\n')
        ...     list(read_triplets(path))
        [Triplet(query='a.jpg', positive='b,1.jpg', negative='c.jpg')]
    """
    for _, triplet in numbered_triplets(path):
        yield triplet


def numbered_triplets(path: str | os.PathLike[str]) -> Iterator[tuple[int, Triplet]]:
    """Yield `(line number, triplet)`, for those who check the images and must name the line."""
    number = 0
    with _opened(Path(path)) as file:
        try:
            for number, record in _records(file):
                if len(record) > _LONGEST_RECORD:
                    problem = "a quote that is not closed in" if '"' in record else "a line of over"
                    problem += f" {_LONGEST_RECORD:,} characters; found {record[:100]!r}"
                    raise TripletFileError(path, number, problem)
                if "\0" in record:
                    raise TripletFileError(
                        path, number, "found bytes that no text has; save the file as UTF-8 text"
                    )
                names = record.split(",") if '"' not in record else _parse_quoted(path, number, record)
                if len(names) != 3 or not all(names):
                    raise TripletFileError(path, number, _what_is_wrong(record, names))
                yield number, Triplet(*names)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            problem = f"not a whole gzip file ({error}); write it again"
            raise TripletFileError(path, number + 1, problem) from error


def write_triplets(path: str | os.PathLike[str], triplets: Iterable[Triplet]) -> int:
    """Write triplets to a file, whole or not at all, and return how many.

    Raises:
        DeepRankingError: a name is empty.
        OSError: the file cannot be written.
    """
    count = 0
    with triplet_writer(path) as file:
        for triplet in triplets:
            file.write(triplet_line(triplet))
            count += 1
    return count


def write_blocks(path: str | os.PathLike[str], images: Sequence[str], blocks: Iterable[np.ndarray]) -> int:
    """Write triplets given as (k, 3) arrays of positions in `images`, as samplers yield them.

    Each name is quoted once, not once a triplet, so millions of lines take seconds.
    """
    names = [quoted(image) for image in images]
    count = 0
    with triplet_writer(path) as file:
        for block in blocks:
            file.write("".join([f"{names[q]},{names[p]},{names[n]}\n" for q, p, n in block.tolist()]))
            count += len(block)
    return count


@contextmanager
def triplet_writer(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a triplet file for writing; it appears under its name, whole, once the block has ended well."""
    with written_whole(path) as temporary, temporary.open("wb") as raw:
        # No time and no name inside the archive: the same triplets give the same bytes.
        binary = gzip.GzipFile("", "wb", 6, raw, mtime=0) if Path(path).suffix == ".gz" else raw
        with io.TextIOWrapper(binary, **_TEXT) as file:  # type: ignore[arg-type]
            yield file


def triplet_line(triplet: Triplet) -> str:
    """Return a triplet as a line of its file, with the line's end."""
    return ",".join(map(quoted, triplet)) + "\n"


def quoted(name: str) -> str:
    """Return a file name as it stands in a triplet file.

    Example:
        >>> print(quoted("a b.jpg"), quoted('say "a",b.jpg'), quoted("#1.jpg"))
        a b.jpg "say ""a"",b.jpg" "#1.jpg"
    """
    if not name:
        raise DeepRankingError("a triplet has an empty file name; every image needs a name")
    if _NEEDS_QUOTES.isdisjoint(name) and not name.startswith(("#", "\ufeff")) and not name.isspace():
        return name
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    with path.open("rb") as raw:
        head = raw.peek(2)[:2]
        if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise TripletFileError(path, 1, "expected UTF-8 text, found UTF-16; save the file as UTF-8 text")
        compressed = path.suffix == ".gz" or head == _GZIP
        with io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if compressed else raw, **_TEXT) as file:  # type: ignore[arg-type]
            yield file


def _records(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield `(number of its first line, record)`; a quoted name may hold line ends."""
    record, start = "", 0
    for number, line in enumerate(_lines(file), 1):
        if record:
            record += line
        else:
            if number == 1:
                line = line.removeprefix("\ufeff")
            if line.startswith("#") or (len(line) <= _LONGEST_RECORD and not line.strip(" \t\r\n")):
                continue
            record, start = line, number
        if record.count('"') % 2 == 0 or len(record) > _LONGEST_RECORD:
            yield start, _without_line_end(record)
            record = ""
    if record:
        yield start, _without_line_end(record)


def _lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines; of one that is longer than a record may be, its beginning alone, to be refused."""
    while line := file.readline(_LONGEST_RECORD + 1):
        part = line
        while len(part) > _LONGEST_RECORD and not part.endswith("\n"):
            part = file.readline(_LONGEST_RECORD + 1)
        yield line


def _without_line_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _parse_quoted(path: str | os.PathLike[str], number: int, record: str) -> list[str]:
    try:
        rows = list(csv.reader([record], strict=True))
    except csv.Error as error:
        raise TripletFileError(
            path, number, f"a quote that is not closed or not doubled ({error}); found {record!r:.200}"
        ) from error
    return rows[0]


def _what_is_wrong(record: str, names: list[str]) -> str:
    found = len(names) if len(names) != 3 else "an empty one"
    problem = f"expected 3 names (query,positive,negative), found {found}"
    marks = {"\t": "tabs", ";": "semicolons", "\r": "line ends of old Macs", "|": "bars", " ": "blanks"}
    for mark, called in marks.items():
        if record.count(mark) >= 2 and (found == 1 or mark not in " |"):  # which names may hold
            return f"{problem} in {record!r:.200}; it has {called} where commas and line ends are wanted"
    return f'{problem} in {record!r:.200}; quote a name that holds a comma: "a,b.jpg"'
