"""Images named by a table of any columns: CSV, TSV, or JSON lines, as Hugging Face's metadata files are."""

from collections.abc import Iterator
from pathlib import Path

from deep_ranking.datasets.rows import Options, Row, below, file_row, read_records
from deep_ranking.errors import DeepRankingError

_USUAL = {
    "image": ("image", "path", "file_name", "filename", "file", "image_path"),
    "label": ("label", "class", "category"),
    "split": ("split", "partition"),
    "group": ("group",),
}


def read_table(source: Path, options: Options) -> Iterator[Row]:
    """Yield the rows of a table whose images lie below `root`, or beside it.

    Columns that are not given are found by the usual names; a table without one of labels is unlabelled.

    Raises:
        DeepRankingError: there is no such column; the table cannot be read.
    """
    root, columns = Path(options.root or source.parent), None
    for line, row in read_records(source):
        columns = columns or {name: _column(source, row, name, getattr(options, name)) for name in _USUAL}
        about = {name: row.get(column or "", "").strip() for name, column in columns.items()}
        image, place = about.pop("image"), f"{source.name}, line {line}"
        if not image:
            yield Row(place, why="row without an image")
            continue
        yield file_row(f"{place}: {image}", below(root, image.replace("\\", "/")), **about)


def _column(source: Path, row: dict[str, str], name: str, given: str | None) -> str | None:
    found = next((column for column in ((given,) if given else _USUAL[name]) if column in row), None)
    if found is None and (given or name == "image"):
        raise DeepRankingError(
            f"{source}: expected a column {given or 'of images'}, found {', '.join(row)}; say which with "
            f"--{name}"
        )
    return found
