"""The file of scored pairs: CSV or Parquet."""

import csv
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason

_COLUMNS = ("image", "other", "relevance")


def read_pairs(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, str, float]]:
    """Yield `(place, image, other, relevance)` from a CSV or, by its ending, a Parquet file.

    Columns `image`, `other` and `relevance`, in any order, named by the CSV's first line; others are passed
    over. `place` says where the pair stands, for messages.

    Raises:
        DeepRankingError: a column is missing, a name is empty, or a relevance is not a number of 0 or more.
        MissingExtraError: Parquet without pyarrow.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "pairs.csv"
        ...     _ = path.write_text("image,other,relevance\\na/1.jpg,a/2.jpg,0.5\\n")
        ...     [pair[1:] for pair in read_pairs(path)]
        [('a/1.jpg', 'a/2.jpg', 0.5)]
    """
    rows = _parquet_rows(Path(path)) if Path(path).suffix == ".parquet" else _csv_rows(Path(path))
    for place, first, second, score in rows:
        try:
            relevance = float(score)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            relevance = math.nan
        if not 0 <= relevance < math.inf:
            raise DeepRankingError(f"{place}: expected a relevance of 0 or more, found {score!r}")
        if not first or not second:
            raise DeepRankingError(f"{place}: expected the names of two images, found an empty one")
        yield place, str(first), str(second), relevance


def _csv_rows(path: Path) -> Iterator[tuple[str, object, object, object]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            columns = _columns(path, header)
            for row in reader:
                if row:
                    place = f"{path}, line {reader.line_num}"
                    if len(row) != len(header):
                        raise DeepRankingError(
                            f"{place}: expected {len(header)} fields as in the first line, found {len(row)}"
                        )
                    first, second, score = (row[column] for column in columns)
                    yield place, first, second, score
        except csv.Error as error:
            raise DeepRankingError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, object, object, object]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "features", "reading scored pairs from Parquet") from error
    with path.open("rb") as opened:
        try:
            file = pyarrow.parquet.ParquetFile(opened)
            _columns(path, file.schema_arrow.names)
            row = 0
            for batch in file.iter_batches(columns=list(_COLUMNS)):
                for values in zip(*(batch.column(name).to_pylist() for name in _COLUMNS), strict=True):
                    row += 1
                    yield f"{path}, row {row}", *values
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # Arrow's own are OSErrors too
            raise DeepRankingError(
                f"{path}: not a Parquet file that can be read ({reason(error)})"
            ) from error


def _columns(path: Path, header: Iterable[str]) -> list[int]:
    header = list(header)
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise DeepRankingError(
            f"{path}, line 1: expected the columns {', '.join(_COLUMNS)}, found {', '.join(header) or 'none'}"
        )
    return [header.index(name) for name in _COLUMNS]
