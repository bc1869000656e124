"""Images in files of many: Hugging Face's Parquet files and WebDataset's tar files."""

from collections.abc import Iterator
from pathlib import Path

from deep_ranking.containers import Columns, listing, read_member
from deep_ranking.datasets.rows import MISSING, Options, Row, files_of
from deep_ranking.images.find import refuse_splits, split_of


def read_parquet(source: Path, options: Options) -> Iterator[Row]:
    """Yield the rows of Parquet files; class names are those of Hugging Face's metadata, -1 is unlabelled."""
    yield from _read(source, files_of(source, r"\.parquet$", "Parquet files, .parquet"), options)


def read_tars(source: Path, options: Options) -> Iterator[Row]:
    """Yield the images of tar files; the label is the text of `NAME.cls` beside `NAME.jpg`, or the folder."""
    yield from _read(source, files_of(source, r"\.tar$", "tar files, .tar, not compressed"), options)


def _read(source: Path, files: list[Path], options: Options) -> Iterator[Row]:
    columns = Columns(options.image, options.label, options.group, ask=True)
    for path in files:
        split = split_of(path.name) or (split_of(path.parent.name) if path.parent != source else "")
        found, classes = listing(path, columns), dict[str, list[str]]()
        for name, member in found.members.items():
            classes.setdefault(member.label, []).append(name)
        refuse_splits(str(path), classes, found.members)
        for member in found.members.values():
            name = (member.given or member.name).replace("\\", "/").rpartition("/")[2]
            content = read_member(str(path), member, columns) or None
            why = "" if content else MISSING if member.file else "empty"
            place = f"{path.name}/{member.name}"
            yield Row(place, content, name, member.label, split, member.group, why)
        yield from (Row(f"{path.name}/{name}", why=why) for name, why in found.left_out.items())
