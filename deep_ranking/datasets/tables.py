"""Images named by a table of any columns: CSV, TSV, or JSON lines, as Hugging Face's metadata files are."""

from collections.abc import Iterator
from pathlib import Path

from deep_ranking.containers.member import ContainerError, as_label
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
    root, (names, records) = Path(options.root or source.parent), read_records(source)
    columns = {name: _column(source, names, name, getattr(options, name)) for name in _USUAL}
    for line, row in records:
        try:
            values = {name: column and row.get(column) for name, column in columns.items()}
            about = {name: as_label(v.strip() if isinstance(v, str) else v) for name, v in values.items()}
        except ContainerError as error:
            raise DeepRankingError(f"{source}, line {line}: {error}") from error
        image, place = about.pop("image"), f"{source.name}, line {line}"
        if not image:
            yield Row(place, why="row without an image")
            continue
        yield file_row(f"{place}: {image}", below(root, image.replace("\\", "/")), **about)


def _column(source: Path, names: list[str], name: str, given: str | None) -> str | None:
    usual = {column.lower(): column for column in reversed(names)}
    found = next((usual[column] for column in _USUAL[name] if column in usual), None)
    found = found if given is None else given if given in names else None
    if found is None and (given or name == "image"):
        columns = ", ".join(names) or "no heading"
        raise DeepRankingError(
            f"{source}: expected a column {given or 'of images'}, found {columns}; say which with --{name}"
        )
    if found and (count := names.count(found)) > 1:
        raise DeepRankingError(f"{source}: expected one column {found!r}, found {count}")
    return found
