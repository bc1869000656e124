"""Images in files of many: Hugging Face's Parquet files and WebDataset's tar files."""

from collections.abc import Iterator
from pathlib import Path

from deep_ranking.containers import Columns, listing, read_member
from deep_ranking.datasets.rows import MISSING, Options, Row, files_of
from deep_ranking.errors import reason
from deep_ranking.images.content import NO_IMAGE, what_else
from deep_ranking.images.find import refuse_splits, split_of


def read_parquet(source: Path, options: Options) -> Iterator[Row]:
    """Yield the rows of Parquet files; class names are those of Hugging Face's metadata, -1 is unlabelled."""
    yield from _read(source, r"\.parquet$", "Parquet files, .parquet", options)


def read_tars(source: Path, options: Options) -> Iterator[Row]:
    """Yield the images of tar files; the label is the text of `NAME.cls` beside `NAME.jpg`, or the folder."""
    yield from _read(source, r"\.tar$", "tar files, .tar, not compressed", options)


def _read(source: Path, named: str, expected: str, options: Options) -> Iterator[Row]:
    files = files_of(source, named, expected)
    for path in files_of(source, ".", expected) if source.is_dir() else []:
        if path not in files and (why := what_else(b" ", str(path))) != NO_IMAGE:
            yield Row(str(path.relative_to(source)), why=why)
    columns = Columns(options.image, options.label, options.group, ask=True)
    for path in files:
        split = split_of(path.name) or (split_of(path.parent.name) if path.parent != source else "")
        found, classes = listing(path, columns), dict[str, list[str]]()
        for name, member in found.members.items():
            classes.setdefault(member.label, []).append(name)
        refuse_splits(str(path), classes, found.members)
        for member in found.members.values():
            name = (member.given or member.name).replace("\\", "/").rpartition("/")[2]
            try:
                content = read_member(str(path), member, columns) or None
                why = "" if content else MISSING if member.file else "empty"
            except OSError as error:
                content, why = None, error.strerror or reason(error)
            place = f"{path.name}/{member.name}"
            yield Row(place, content, name, member.label, split, member.group, why)
        yield from (Row(f"{path.name}/{name}", why=why) for name, why in found.left_out.items())
