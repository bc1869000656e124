"""What a reader of a data set gives, the formats that there are, and what they read alike."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from deep_ranking.errors import DeepRankingError, reason


class Row(NamedTuple):
    """One image of a data set.

    Attributes:
        place: where it stands, for people: `train.parquet, row 17`, or a path.
        image: its file, or its encoded bytes; None, where `why` says why there is none.
        name: of its file to be, "" for none.
        label: the name of its class; "" where it is unlabelled.
        split: the part of the data set that it belongs to, "" where the source does not say.
        group: what has to stay on one side of a split, "" where nothing is known.
        why: the reason for which it is left out, "" where it is not.
    """

    place: str
    image: Path | bytes | None = None
    name: str = ""
    label: str = ""
    split: str = ""
    group: str = ""
    why: str = ""


@dataclass(frozen=True)
class Options:
    """What a person says of a data set beside its place; what is None is as the source has it.

    Attributes:
        root: the folder of the images, where the source names them.
        image, label, split, group: names of columns; of a tar file, the endings of a sample's members.
        levels: of a folder, what each folder on the way to an image says, as `split/class`.
        boxes: of COCO, each box is an image of its own.
    """

    root: str | None = None
    image: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    levels: str | None = None
    boxes: bool = False


Reader = Callable[[Path, Options], Iterator[Row]]


class Format(NamedTuple):
    """A format of data sets: what it is in a line, who reads it, and the options that it knows."""

    about: str
    reader: str
    options: tuple[str, ...] = ()

    def read(self, source: str | os.PathLike[str], options: Options) -> Iterator[Row]:
        """Yield the rows of a data set.

        Raises:
            DeepRankingError: there is no such source, it is laid out otherwise, or an option has no effect.
        """
        path = Path(source)
        if not path.exists():
            raise DeepRankingError(f"{path}: expected {self.about}, found nothing; check the path")
        for name, value in vars(options).items():
            if value and name not in self.options:
                raise DeepRankingError(f"--{name}: no effect on this format; leave it out")
        module, _, function = self.reader.partition(":")
        read: Reader = getattr(import_module(f"deep_ranking.datasets.{module}"), function)
        return read(path, options)


_TABLE = ("image", "label", "group")
FORMATS = {
    "imagefolder": Format("a folder of class folders", "image_folders:read_folder", ("levels",)),
    "hf-parquet": Format(
        "Hugging Face's Parquet file, or a folder of them", "image_files:read_parquet", _TABLE
    ),
    "webdataset": Format("a tar file, or a folder of them", "image_files:read_tars", ("image", "label")),
    "tfrecord": Format("TensorFlow's records, or a folder of them", "tfrecord:read_tfrecords", _TABLE),
    "table": Format("a CSV, TSV or JSON lines file", "tables:read_table", (*_TABLE, "split", "root")),
    "coco": Format("COCO's JSON file of annotations", "annotations:read_coco", ("root", "boxes")),
    "fiftyone": Format(
        "FiftyOne's folder with data/ and labels.json", "annotations:read_fiftyone", ("root",)
    ),
    "sop": Format("the folder of Stanford Online Products", "published:read_sop"),
    "cub": Format("the folder CUB_200_2011", "published:read_cub"),
    "cars": Format("the folder of Cars196 with its .mat files", "published:read_cars"),
    "in-shop": Format("the folder of In-Shop Clothes Retrieval", "published:read_in_shop"),
}
"""Name -> format; a new one is a line here, and a function that yields rows."""

MISSING = "its file is not there"


def files_of(source: Path, named: str, expected: str) -> list[Path]:
    """Return a file, or those below a folder, sorted, in whose names an expression is found; none hidden.

    What lies beside them (`a.tar.idx`, the folder `.cache` of a download) is no such file.

    Raises:
        DeepRankingError: there is none.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*"))
    seen = (file for file in files if not any(part[0] == "." for part in file.relative_to(source).parts))
    found = [file for file in seen if re.search(named, file.name) and file.is_file()]
    if not found:
        raise DeepRankingError(f"{source}: expected {expected}, found none; check the path")
    return found


def below(root: Path, name: str, *folders: str) -> Path | None:
    """Return the file of a name in a folder, or in one of some folders of it; None: it is in none."""
    places = (root / folder / name for folder in ("", *folders))
    try:
        return next((path for path in places if path.is_file()), None)
    except ValueError:  # a name with a null byte
        return None


def file_row(place: str, path: Path | None, **known: Any) -> Row:
    """Return the row of a file, which may be missing."""
    return Row(place, path, path.name if path else "", why="" if path else MISSING, **known)


def text_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a text file that are not blank, with their numbers from 1.

    Raises:
        DeepRankingError: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DeepRankingError(f"{path}: expected a text file of this data set ({reason(error)})") from error
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        again = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{again!r} stands twice in one object")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises:
        DeepRankingError: it cannot be read, or is no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
    except (OSError, ValueError, RecursionError) as error:
        raise DeepRankingError(f"{path}: expected a JSON file, whole ({reason(error)})") from error
    if not isinstance(found, dict):
        raise DeepRankingError(f"{path}: expected a JSON object, found {type(found).__name__}")
    return found


def read_records(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    """Return the columns, and line and values by column, of CSV or TSV with a heading, or of JSON lines.

    The columns are those of the heading, repeated ones too, or of any object.

    Raises:
        DeepRankingError: it cannot be read, or a line is none.
    """
    if path.suffix.lower() not in (".jsonl", ".ndjson", ".json"):
        rows = _table_rows(path)
        names = [name.strip() for name in next(rows, (0, []))[1]]
        return names, ((line, dict(zip(names, row, strict=True))) for line, row in rows)
    records: list[tuple[int, dict[str, Any]]] = []
    for number, line in text_lines(path):
        try:
            found = json.loads(line, object_pairs_hook=_each_once)
        except (ValueError, RecursionError) as error:
            raise DeepRankingError(f"{path}, line {number}: expected JSON ({reason(error)})") from error
        if not isinstance(found, dict):
            raise DeepRankingError(f"{path}, line {number}: expected a JSON object, found {line[:40]!r}")
        records.append((number, found))
    return list({column: None for _, record in records for column in record}), iter(records)


def _table_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
            first, count = file.readline(), 0
            if first.startswith(("\udcff\udcfe", "\udcfe\udcff")):
                raise DeepRankingError(f"{path}: expected UTF-8 text, found UTF-16; save it as UTF-8")
            file.seek(0)
            rows = csv.reader(file, delimiter=max("\t,;", key=first.count), strict=True)
            for row in filter(None, rows):
                count = count or len(row)
                if len(row) != count:
                    told = f"expected {count} columns, as in the heading, found {len(row)}"
                    raise DeepRankingError(f"{path}, line {rows.line_num}: {told}")
                yield rows.line_num, row
    except (OSError, csv.Error) as error:
        raise DeepRankingError(f"{path}: expected a table ({reason(error)})") from error
