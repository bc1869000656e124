"""Walking a folder: what is excluded by name, links followed once, and for each file what it is."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate

from deep_ranking.errors import expect
from deep_ranking.files import composed, is_sqlite
from deep_ranking.images.content import SPECIAL, why_no_image, why_not_opened
from deep_ranking.location import RATINGS, STORE

ALWAYS_EXCLUDED = (
    "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX",
    ".thumbnails", "Thumbs.db", "desktop.ini",
)  # fmt: skip
"""Names that a NAS or a system puts among the images; hidden files and folders are left out beside them."""

HIDDEN = "hidden"
OF_AN_INDEX = "excluded by content: of an index"
_ITS_NAMES = {"cache", *(base + end for base in (STORE, RATINGS) for end in ("", "-journal", "-shm", "-wal"))}
SECOND_LINK = "linked folder that is taken under its own name or another link"


class Walk:
    """A walk under way; `walked` are the folders so far, by path, `links` the linked ones still to walk.

    Args:
        root: where it begins.
        images: takes the paths of images.
        left_out: takes why other paths are none.
        excluded: as of `excluder`.
    """

    def __init__(
        self,
        root: str,
        images: list[str],
        left_out: dict[str, str],
        excluded: Callable[[str, str], str | None],
    ):
        self.root, self.images, self.left_out, self.excluded = root, images, left_out, excluded
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
                self.left_out[prefix] = why_not_opened(error)
                continue
            self.walked.append(directory)
            waiting += self._sort(entries, prefix)

    def _sort(self, entries: "list[os.DirEntry[str]]", prefix: str) -> Iterator[tuple[str, str]]:
        """Take the files of a folder, and yield the folders below it."""
        images, left_out = self.images, self.left_out
        of_index = any(entry.name == STORE and is_sqlite(entry.path) for entry in entries)
        for entry in entries:
            name = entry.name
            path = prefix + name
            if of_index and name in _ITS_NAMES:
                left_out[path + "/" if entry.is_dir(follow_symlinks=False) else path] = OF_AN_INDEX
            elif (why := HIDDEN if name[0] == "." else self.excluded(path, name)) is not None:
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
            self.left_out[path] = "link that leads to itself" if looped else why_not_opened(error)
            return
        if stat.S_ISDIR(mode):
            self.links.append((entry.path, path + "/"))
        elif (why := why_no_image(entry.path) if stat.S_ISREG(mode) else SPECIAL) is None:
            self.images.append(path)
        else:
            self.left_out[path] = why

    def follow_links(self) -> None:
        """Walk the linked folders, once what is there without them is known; links below them come after."""
        if self.links:
            for folder in self.walked:
                self.known[_identity(folder)] = os.path.relpath(folder, self.root)
        while self.links:
            links, self.links = sorted(self.links), []
            for folder, prefix in links:
                self.below(folder, prefix, as_link=True)

    def _is_new(self, folder: str, prefix: str) -> bool:
        try:
            here = _identity(folder)
        except OSError as error:
            self.left_out[prefix] = why_not_opened(error)
            return False
        known = self.known.setdefault(here, prefix.rstrip("/"))
        if known == prefix.rstrip("/"):
            return True
        self.left_out[prefix] = SECOND_LINK
        return False


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def excluder(patterns: Iterable[str]) -> Callable[[str, str], str | None]:
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
