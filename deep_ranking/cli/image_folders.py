"""Folders of images as commands read them: which files are left out, and what is told of those."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deep_ranking.cli.parser import UsageError

if TYPE_CHECKING:
    from deep_ranking.images.find import Found

logger = logging.getLogger(__name__)

Flags = argparse._ActionsContainer


def add_exclude(parser: Flags, more: str = "") -> None:
    """Add `--exclude`, which every command that reads a folder has."""
    about = (
        "leave out what has such a name or path, as 'raw', '*_thumb.jpg' or '2019/*'; may be given again"
        f"{more and f' ({more})'}. Always left out: hidden files, and what a NAS or a system puts there "
        "(@eaDir, $RECYCLE.BIN, ...)"
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help=about)


def add_class_folders(parser: Flags) -> None:
    """Add `--exclude` and `--splits_are_classes`, of the commands whose classes are folders."""
    add_exclude(parser)
    about = "folders named train, val and test are classes, though they hold folders of classes"
    parser.add_argument("--splits_are_classes", action="store_true", help=about)


def classes_below(
    folder: str, root: str = "", exclude: Sequence[str] = (), splits_are_classes: bool = False
) -> dict[str, list[str]]:
    """Return class name -> its images, as `os.path.join(root, image)` opens them; tell what was left out.

    Raises:
        DeepRankingError: the folder is missing, or no sub-folder holds an image.
    """
    from deep_ranking.images.find import look_into

    found = look_into(folder, exclude)
    try:
        classes = found.classes(splits_are_classes)
    finally:
        tell_left_out(found)
    below = relative_name(found.folder, root)
    prefix = "" if below == os.curdir else f"{below.rstrip('/')}/"
    return {name: [prefix + image for image in images] for name, images in classes.items()}


def relative_name(path: str, root: str) -> str:
    """Return a path relative to a root, with `/` between folders; without a root, the path itself."""
    return os.path.relpath(path, root).replace(os.sep, "/") if root else path


def tell_left_out(found: "Found") -> None:
    """Say what tar and Parquet files of a folder hold; and which files were left out, in a table by reason.

    Hidden files are counted there, but are no reason for a table: they are meant to be passed over. Nor are
    files that nobody took for images, such as a README or the table of a data set: of these a line says so.
    """
    from deep_ranking.images.content import NO_IMAGE
    from deep_ranking.images.walk import HIDDEN, OF_AN_INDEX
    from deep_ranking.progress import is_quiet

    if found.labels and not is_quiet():
        print(f"{names_of([found.folder])}: in tar and Parquet files {found.in_words()}", file=sys.stderr)
    by_reason = found.by_reason()
    if by_reason.keys() <= {HIDDEN, NO_IMAGE, OF_AN_INDEX} and not found.unread:
        if (others := by_reason.get(NO_IMAGE)) and not is_quiet():
            many = "another file" if len(others) == 1 else f"{len(others):,} other files"
            there = f"{names_of([found.folder])}: {len(found.images):,} images"
            print(f"{there}; beside them {many}: {names_of(others)}", file=sys.stderr)
        return
    rows = [(f"{len(paths):,}", why, names_of(paths)) for why, paths in by_reason.items()]
    wide, wider = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = "".join(f"\n  {count:>{wide}}  {why:<{wider}}  {names}" for count, why, names in rows)
    total = len(found.left_out)
    told = f"{names_of([found.folder])}: {len(found.images):,} images; {total:,} left out:{lines}"
    logger.warning("%s", told, extra={"is_table": True})


def names_of(paths: Sequence[str], first: int = 3) -> str:
    """Return the first of some paths for people to read, each in one piece on one line."""
    shown = (path if path.isprintable() else repr(path)[1:-1] for path in paths[:first])
    return ", ".join(shown) + ", ..." * (len(paths) > first)


def one_folder(place: str | None, given: str | None, flag: str, default: str = "dataset") -> str:
    """Return the folder that is typed alone or by its flag, or the default.

    Raises:
        UsageError: both are given.
    """
    if place is not None and given is not None:
        raise UsageError(f"expected one folder, found two: {place} and {flag} {given}")
    return place or given or default
