"""Finding the images of a folder, and telling what is left out and why; one sub-folder a class."""

import errno
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Any

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import as_on_disk, composed
from deep_ranking.images.content import BROKEN_LINK, NO_IMAGE, SPECIAL, why_no_image, why_not_opened
from deep_ranking.search.image import is_named_as_image

ALWAYS_EXCLUDED = (
    "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX",
    ".thumbnails", "Thumbs.db", "desktop.ini",
)  # fmt: skip
"""Names that a NAS or a system puts among the images; hidden files and folders are left out beside them."""

HIDDEN = "hidden"
OUTSIDE = "in no folder, so of no class"
SECOND_LINK = "linked folder that is taken under its own name or another link"
_BY_DESIGN = HIDDEN, "excluded by"

SPLITS = frozenset(["train", "training", "val", "valid", "validation", "dev", "test", "testing"])


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        folder: as it was given, spelled as on the disk.
        images: sorted paths relative to it, with `/` between folders.
        left_out: the reason for each path that is none of the images; a folder's ends with `/`, and stands
            for all that is below it.
    """

    folder: str
    images: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def unread(self) -> dict[str, str]:
        """What was meant to be read, as it seems: not what is hidden, excluded or named as something else."""
        return {
            path: why
            for path, why in self.left_out.items()
            if not why.startswith(_BY_DESIGN) and (why != NO_IMAGE or is_named_as_image(path))
        }

    def passes_over(self, path: str) -> bool:
        """Tell whether a path is left out although it is there: by name, by content or as a second link."""
        if path in self.left_out:
            return True
        parts = path.split("/")
        above = ("/".join(parts[:number]) + "/" for number in range(1, len(parts)))
        return any(self.left_out.get(folder, "").startswith((*_BY_DESIGN, SECOND_LINK)) for folder in above)

    def by_reason(self) -> dict[str, list[str]]:
        """Return the sorted paths that were left out for each reason, the most frequent first."""
        paths: dict[str, list[str]] = {}
        for path in sorted(self.left_out):
            paths.setdefault(self.left_out[path], []).append(path)
        return dict(sorted(paths.items(), key=lambda reason: -len(reason[1])))

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return what was left out as it stands in JSON: for each reason a count and the first names."""
        return {why: {"count": len(paths), "first": paths[:3]} for why, paths in self.by_reason().items()}

    def classes(self, splits_are_classes: bool = False) -> dict[str, list[str]]:
        """Return the images of each class: a class is a folder directly below, its images all those in it.

        Images beside the class folders are left out from now on; a README or a table there is no concern.

        Raises:
            DeepRankingError: no folder holds an image; or the folders look like the parts of a data set
                (train, val, ...) with the same classes in each, and `splits_are_classes` is not said.
        """
        classes: dict[str, list[str]] = {}
        for image in self.images:
            name, below, _ = image.partition("/")
            if below:
                classes.setdefault(name, []).append(image)
            else:
                self.left_out[image] = OUTSIDE
        for path, why in list(self.left_out.items()):
            if why == NO_IMAGE and "/" not in path:
                del self.left_out[path]
        if not classes:
            raise DeepRankingError(f"{self.folder}: {_no_classes(self)}")
        self.images = [image for image in self.images if "/" in image]
        if not splits_are_classes:
            _refuse_splits(self.folder, classes)
        return classes


def look_into(folder: str | os.PathLike[str], exclude: Iterable[str] = ()) -> Found:
    """Find the images below a folder, and the reason for each file that is left out.

    A file counts by its content, not by its ending. A linked file is taken as the file that it leads to. A
    linked folder is walked once, unless it is walked anyway, by its own name or another link: so a loop of
    links ends. Folders are known by device and inode.

    Args:
        folder: where to look.
        exclude: patterns as in a shell (`*`, `?`, `[...]`), each compared with the path relative to the
            folder and with every name of it, beside `ALWAYS_EXCLUDED`; the case of letters counts.

    Raises:
        DeepRankingError: the folder is missing, or is not a folder, or a pattern is empty.
        OSError: it cannot be listed; of one below it, this is the reason for which it is left out.
    """
    root = as_on_disk(os.fspath(folder))
    if not Path(root).is_dir():
        found = "a file" if Path(root).exists() else "nothing"
        raise DeepRankingError(f"{root}: expected a folder of images, found {found}; check the path")
    walk = _Walk(Found(root), _excluder(exclude))
    walk.below(root, "", as_link=False)
    walk.follow_links()
    walk.found.images.sort()
    return walk.found


class _Walk:
    """A walk under way; `walked` are the folders so far, by path, `links` the linked ones still to walk."""

    def __init__(self, found: Found, excluded: Callable[[str, str], str | None]):
        self.found, self.excluded = found, excluded
        self.walked: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.known: dict[tuple[int, int], str] = {}

    def below(self, folder: str, prefix: str, as_link: bool) -> None:
        """Take what is in a folder and below; `prefix` is its path from the root, with `/` at the end."""
        waiting = [(folder, prefix)]
        while waiting:
            directory, prefix = waiting.pop()
            if as_link and not self._is_new(directory, prefix):
                continue
            try:
                with os.scandir(directory) as listing:
                    entries = list(listing)
            except OSError as error:
                if not prefix:
                    raise
                self.found.left_out[prefix] = why_not_opened(error)
                continue
            self.walked.append(directory)
            waiting += self._sort(entries, prefix)

    def _sort(self, entries: "list[os.DirEntry[str]]", prefix: str) -> Iterator[tuple[str, str]]:
        """Take the files of a folder, and yield the folders below it."""
        images, left_out = self.found.images, self.found.left_out
        for entry in entries:
            name = entry.name
            path = prefix + name
            if (why := HIDDEN if name[0] == "." else self.excluded(path, name)) is not None:
                left_out[path + "/" if entry.is_dir(follow_symlinks=False) else path] = why
            elif entry.is_file(follow_symlinks=False):
                if (why := why_no_image(entry.path)) is None:
                    images.append(path)
                else:
                    left_out[path] = why
            elif entry.is_dir(follow_symlinks=False):
                yield entry.path, path + "/"
            else:
                self._take_other(entry, path)

    def _take_other(self, entry: "os.DirEntry[str]", path: str) -> None:
        try:
            mode = os.stat(entry.path).st_mode  # noqa: PTH116
        except OSError as error:
            looped = error.errno == errno.ELOOP
            self.found.left_out[path] = "link that leads to itself" if looped else why_not_opened(error)
            return
        if stat.S_ISDIR(mode):
            self.links.append((entry.path, path + "/"))
        elif (why := why_no_image(entry.path) if stat.S_ISREG(mode) else SPECIAL) is None:
            self.found.images.append(path)
        else:
            self.found.left_out[path] = why

    def follow_links(self) -> None:
        """Walk the linked folders, once what is there without them is known; links below them come after."""
        if self.links:
            for folder in self.walked:
                self.known[_identity(folder)] = os.path.relpath(folder, self.found.folder)
        while self.links:
            links, self.links = sorted(self.links), []
            for folder, prefix in links:
                self.below(folder, prefix, as_link=True)

    def _is_new(self, folder: str, prefix: str) -> bool:
        try:
            here = _identity(folder)
        except OSError as error:
            self.found.left_out[prefix] = why_not_opened(error)
            return False
        known = self.known.setdefault(here, prefix.rstrip("/"))
        if known == prefix.rstrip("/"):
            return True
        self.found.left_out[prefix] = SECOND_LINK
        return False


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _excluder(patterns: Iterable[str]) -> Callable[[str, str], str | None]:
    """Return what tells, of a path and its last name, by which pattern it is excluded; None: by none."""
    own = list(patterns)
    for pattern in own:
        named = isinstance(pattern, str) and bool(pattern.strip("/"))
        expect("--exclude", named, "a pattern of names", pattern)
    always = frozenset(ALWAYS_EXCLUDED)
    told = {pattern: re.compile(translate(composed(pattern.rstrip("/")))) for pattern in own}

    def excluded(path: str, name: str) -> str | None:
        if name in always:
            return f"excluded by name: {name}"
        for pattern, regex in told.items():
            if regex.match(composed(name)) or regex.match(composed(path)):
                return f"excluded by --exclude {pattern}"
        return None

    return excluded


def find_images(
    folder: str | os.PathLike[str],
    on_skip: Callable[[str], None] | None = None,
    exclude: Iterable[str] = (),
) -> list[str]:
    """Return the images below a folder, as sorted paths relative to it with `/` between folders.

    Args:
        folder: where to look.
        on_skip: called with the relative path of each file that is left out, neither hidden nor excluded.
        exclude: patterns of names to leave out; see `look_into`, which gives the reasons too.

    Raises:
        DeepRankingError: the folder is missing or is not a folder.
        OSError: a folder below it cannot be listed, and there is no `on_skip` to be told.
    """
    found = look_into(folder, exclude)
    _tell(found, on_skip)
    return found.images


def find_classes(
    folder: str | os.PathLike[str],
    on_skip: Callable[[str], None] | None = None,
    exclude: Iterable[str] = (),
    splits_are_classes: bool = False,
) -> dict[str, list[str]]:
    """Return the images of each class: a class is a sub-folder of `folder`, its images all those below it.

    Paths are relative to `folder`. Images that lie in `folder` itself belong to no class and are left out;
    `on_skip` is told of them, and of the files in class folders that are no images, but not of a README or a
    table beside the class folders.

    Args:
        folder: of the classes.
        on_skip: called with each path that is left out, neither hidden nor excluded.
        exclude: patterns of names to leave out; see `look_into`.
        splits_are_classes: folders named train and val, with the same folders in each, are two classes.

    Raises:
        DeepRankingError: the folder is missing, or no sub-folder holds an image; or those that do look like
            the parts of a data set and not like classes.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "red").mkdir()
        ...     Image.new("RGB", (4, 4), "red").save(Path(root) / "red/1.png")
        ...     find_classes(root)
        {'red': ['red/1.png']}
    """
    found = look_into(folder, exclude)
    classes = found.classes(splits_are_classes)
    _tell(found, on_skip)
    return classes


def _tell(found: Found, on_skip: Callable[[str], None] | None) -> None:
    for path, why in sorted(found.left_out.items()):
        if on_skip is not None:
            if not why.startswith(_BY_DESIGN):
                on_skip(path)
        elif path.endswith("/") and why not in (BROKEN_LINK,) and not why.startswith((*_BY_DESIGN, "link")):
            raise PermissionError(errno.EACCES, why, os.path.join(found.folder, path))  # noqa: PTH118


def _no_classes(found: Found) -> str:
    how = (
        "put each class's images into a folder of its own, or draw a small set with: "
        "deep-ranking prepare demo --output dataset"
    )
    if not found.images:
        return f"expected one sub-folder a class with images in it, found none; {how}"
    return (
        f"expected one sub-folder a class with images in it, found {len(found.images):,} images in none. "
        f"To search them no classes are needed: deep-ranking index {found.folder}, then deep-ranking search, "
        "duplicates and serve; what is rated on the page is learned from without classes too: deep-ranking "
        f"learn. For classes, {how}"
    )


def _refuse_splits(folder: str, classes: Collection[str] | dict[str, list[str]]) -> None:
    """Ask, where all folders are named as the parts of a data set and hold the same folders."""
    assert isinstance(classes, dict)
    if len(classes) < 2 or not {name.lower() for name in classes} <= SPLITS:
        return
    below = [{image.split("/")[1] for image in images if image.count("/") > 1} for images in classes.values()]
    common = sorted(set.intersection(*below))
    if not common:
        return
    names = " and ".join(f"{name}/" for name in sorted(classes))
    first = next((name for name in sorted(classes) if name.lower().startswith("train")), min(classes))
    raise DeepRankingError(
        f"{folder}: expected one sub-folder a class, found {names}, which hold the same folders "
        f"({', '.join(common[:3])}{', ...' if len(common) > 3 else ''}): parts of a data set? then give "
        f"{os.path.join(folder, first)} instead; classes? then add --splits_are_classes"  # noqa: PTH118
    )
