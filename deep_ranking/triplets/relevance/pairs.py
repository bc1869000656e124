"""Relevance from scored pairs."""

import csv
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason
from deep_ranking.triplets.relevance.interface import Relevance


class PairRelevance(Relevance):
    """r(i, j) = r(j, i) as scored; a pair without a score has none (0).

    Args:
        categories: integers, shape (n,).
        images, others: positions of the scored images, shape (pairs,).
        scores: their relevance, 0 or more, shape (pairs,).

    Raises:
        DeepRankingError: a score is negative or not finite, a pair is scored twice, or lies in two categories
            and scores above 0.

    Example:
        >>> relevance = PairRelevance([0, 0, 0], images=[0], others=[2], scores=[5])
        >>> relevance(2, [0, 1, 2])
        array([5., 0., 0.])
    """

    def __init__(self, categories: ArrayLike, images: ArrayLike, others: ArrayLike, scores: ArrayLike):
        first, second = np.asarray(images, np.int64), np.asarray(others, np.int64)
        scores = np.asarray(scores, np.float64)
        super().__init__(categories, maximum=scores.max(initial=0))
        for wrong, problem in [
            (~np.isfinite(scores) | (scores < 0), "expected a relevance of 0 or more, found {score}"),
            (first == second, "an image is paired with itself"),
            (
                (self.categories[first] != self.categories[second]) & (scores > 0),
                "the images are of two categories, which have a relevance of 0; found {score}",
            ),
        ]:
            if wrong.any():
                pair = int(wrong.argmax())
                problem = problem.format(score=scores[pair])
                raise DeepRankingError(f"pair {pair} (images {first[pair]} and {second[pair]}): {problem}")
        keys = self._keys(first, second)
        order = np.argsort(keys, kind="stable")
        self._sorted, self._scores = keys[order], scores[order]
        self._list_neighbours()
        twice = np.flatnonzero(np.diff(self._sorted) == 0)
        if len(twice):
            one, two = sorted(order[twice[0] : twice[0] + 2].tolist())
            raise DeepRankingError(
                f"pairs {one} and {two} are the same two images ({first[one]} and {second[one]}); "
                "relevance is symmetric, so give each pair once"
            )

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        names: Sequence[str],
        categories: ArrayLike,
        elsewhere: Iterable[str] = (),
    ) -> "PairRelevance":
        """Make it from a file (see `read_pairs`) about the images `names`, whose positions are theirs.

        Pairs with an image of `elsewhere`, such as the part held out for validation, are left out.

        Raises:
            DeepRankingError: the file is not as it should be, or names an image that is in neither.
        """
        position = {name: number for number, name in enumerate(names)}
        elsewhere = set(elsewhere).difference(position)
        columns: tuple[list[int], list[int], list[float]] = ([], [], [])
        for place, first, second, score in read_pairs(path):
            for name in (first, second):
                if name not in position and name not in elsewhere:
                    raise DeepRankingError(
                        f"{place}: no image {name!r} in the data set; names are relative to its folder"
                    )
            if first in position and second in position:
                columns[0].append(position[first])
                columns[1].append(position[second])
                columns[2].append(score)
        try:
            return cls(categories, *columns)
        except DeepRankingError as error:
            raise DeepRankingError(f"{os.fspath(path)}: {error} (pairs are counted from 0)") from error

    def _keys(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.minimum(first, second) * len(self.categories) + np.maximum(first, second)

    def _within(self, queries: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        keys = self._keys(queries, others)
        if not len(self._sorted):
            return np.zeros(keys.shape)
        place = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[place] == keys, self._scores[place], 0.0)

    def _list_neighbours(self) -> None:
        ends = np.divmod(self._sorted[self._scores > 0], max(len(self.categories), 1))
        one, other = np.concatenate(ends), np.concatenate(ends[::-1])
        self.reach = np.bincount(one, minlength=len(self.categories))
        self._first = np.concatenate([[0], np.cumsum(self.reach)])
        self._neighbours = other[np.lexsort((other, one))]

    def neighbours(self, queries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the images that each query is scored above 0 with, filled up with itself."""
        first, end = self._first[queries, None], self._first[queries + 1, None]
        place = first + np.arange((end - first).max(initial=0))
        filled = np.append(self._neighbours, 0)[np.minimum(place, len(self._neighbours))]
        return np.where(place < end, filled, queries[:, None])

    def smallest(self) -> NDArray[np.float64]:
        """Return the least score above 0 of each image, 0 for an image without one."""
        size = len(self.categories)
        smallest = np.full(size, np.inf)
        above = self._scores > 0
        for ends in np.divmod(self._sorted[above], max(size, 1)):
            np.minimum.at(smallest, ends, self._scores[above])
        return np.where(np.isfinite(smallest), smallest, 0.0)

    def totals(self) -> NDArray[np.float64]:
        """Return the sums of the scores that an image takes part in."""
        size = len(self.categories)
        totals = np.zeros(size)
        for ends in np.divmod(self._sorted, max(size, 1)):
            totals += np.bincount(ends, self._scores, size)
        return totals


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


def _columns(path: Path, header: list[str]) -> list[int]:
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise DeepRankingError(
            f"{path}, line 1: expected the columns {', '.join(_COLUMNS)}, found {', '.join(header) or 'none'}"
        )
    return [header.index(name) for name in _COLUMNS]
