"""Labels of indexed images: none, the first folder of their path, or a table's; an index remembers which."""

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from deep_ranking.containers import CONTAINERS
from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.files import composed

Rule = Callable[[str], str]
"""From the path of an image to its label, "" for none."""


def label_of(path: str) -> str:
    """Return the first folder of a relative path, "" where there is none; in a container, the first therein.

    Example:
        >>> label_of("cats/young/1.jpg"), label_of("1.jpg"), label_of("a/00.tar/cats/1.jpg")
        ('cats', '', 'cats')
    """
    folders = path.split("/")[:-1]
    for place, folder in enumerate(folders):
        if folder.endswith(CONTAINERS):
            folders = folders[place + 1 :]
            break
    return folders[0] if folders else ""


def checked_rule(labels: str | os.PathLike[str] | None) -> str | None:
    """Return how labels are made as an index remembers it; None, for what it remembers, stays so.

    Raises:
        DeepRankingError: it is neither `none` nor `folders` nor a table that can be read.
    """
    if labels is None or labels in ("none", "folders"):
        return labels  # type: ignore[return-value]
    read_labels(labels)
    return str(Path(labels).resolve())


def label_rule(labels: str, folders: Sequence[str] = ("",)) -> Rule:
    """Return what gives each image its label.

    Args:
        labels: as `checked_rule` returns it.
        folders: that the index follows, relative to what paths are relative to. Of several, an image that
            lies in none of their sub-folders has the name of its folder itself.

    Raises:
        DeepRankingError: the table is gone, or is none.
    """
    if labels == "none":
        return lambda path: ""
    if labels != "folders":
        table = read_labels(labels)
        return lambda path: table.get(path) or table.get(composed(path), "")
    if len(folders) < 2:
        return label_of

    def below(path: str) -> str:
        folder = next((folder for folder in folders if path.startswith(f"{folder}/")), "")
        return label_of(path[len(folder) + 1 :]) or folder.rpartition("/")[2]

    return below


def read_labels(table: str | os.PathLike[str]) -> dict[str, str]:
    """Read a table of labels: a path and its label a line, with a comma (CSV) or a tab between them.

    Paths are those of the index, in either form of Unicode. A first line `path,label` is a heading; further
    columns are not looked at.

    Returns:
        path -> label, each path as it stands there and in its composed form.

    Raises:
        DeepRankingError: it cannot be read; a line has no two columns, or another label for the same path.
    """
    name, labels = os.fspath(table), dict[str, str]()
    try:
        with Path(table).open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
            first = file.readline()
            file.seek(0)
            for row in (rows := csv.reader(file, delimiter="\t" if "\t" in first else ",", strict=True)):
                if not row or (rows.line_num == 1 and row[0].strip().lower() == "path"):
                    continue
                if len(row) < 2 or not row[0]:
                    told = f"{name}, line {rows.line_num}"
                    raise DeepRankingError(
                        f"{told}: expected a path and its label, found {','.join(row)[:60]!r}"
                    )
                path, label = row[0].replace(os.sep, "/").removeprefix("./"), row[1].strip()
                if labels.setdefault(path, label) != label:
                    told = f"{name}, line {rows.line_num}: {path!r} has the label {labels[path]!r} already"
                    raise DeepRankingError(f"{told}, found {label!r}; give each image one")
    except (OSError, csv.Error) as error:
        raise DeepRankingError(
            f"labels: expected none, folders, or a table of paths and labels, found {name} ({reason(error)})"
        ) from error
    return {composed(path): label for path, label in labels.items()} | labels
