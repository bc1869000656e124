"""The folders that an index follows: several of them, some not there now, others in their place."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_ranking.containers import CONTAINERS, status
from deep_ranking.errors import DeepRankingError
from deep_ranking.files import as_on_disk, file_hash
from deep_ranking.location import STORE
from deep_ranking.search.image import Image
from deep_ranking.search.labels import checked_rule, label_rule
from deep_ranking.search.query import Embedder
from deep_ranking.search.stores.local import LocalStore
from deep_ranking.search.update import Report, left_in, noted, update_index

if TYPE_CHECKING:
    from deep_ranking.search.index import Index

Found = Any
"""What `deep_ranking.look_into` gives; its type lies above this."""


class Following:
    """The folders that an index follows, looked into: what it is brought up to date from.

    Paths in an index are relative to the folder that it follows; if it follows several, to the nearest folder
    above them all. So an image is known by where it lies, and two cards of one camera, whose names are alike,
    keep apart. A folder given beside those that the index has is added; one that holds the images of a folder
    that is gone takes its place.

    Args:
        folders: given now; none, for those that the index remembers.
        images: gives what the index holds; asked where a folder is gone.
        metadata: of the index; none, if it is to be made.
        exclude: patterns of names to leave out, as of `find_images`; None: as remembered.
        labels: `none`, `folders` or a table, as of `Index.from_folder`; None: as remembered, else none.
        forget_missing: images whose folder is not there now, or holds none, go too.

    Attributes:
        found: the images, relative to `base`, and what was left out.
        base: what paths are relative to.
        metadata: that the index is to have.
        notes: what should be said: folders that were added, have moved or are not there now.

    Raises:
        DeepRankingError: a folder is missing; there are no images; labels that cannot be made.
    """

    def __init__(
        self,
        folders: Sequence[str | os.PathLike[str]],
        images: Callable[[], Sequence[Image]] = tuple,
        metadata: Mapping[str, str] | None = None,
        exclude: Iterable[str] | None = None,
        labels: str | os.PathLike[str] | None = None,
        forget_missing: bool = False,
    ):
        metadata = metadata or {}
        exclude = json.loads(metadata.get("exclude", "[]")) if exclude is None else list(exclude)
        labels = checked_rule(labels) or metadata.get("labels", "folders" if "images" in metadata else "none")
        self.notes: list[str] = []
        self._images, self._forget_missing = images, forget_missing
        self._old_base, self._old = _remembered(metadata)
        self._looks = self._look(folders, exclude)
        self._moved = self._tell_moved()
        kept = self._looks if forget_missing else [old for old in self._old if old not in self._moved]
        self._folders = _outermost([*kept, *self._looks])
        # What is above several folders stays when one of them goes, so that paths stay.
        above = [self._old_base] if self._old_base and self._old_base not in self._old else []
        self.base = _base([*self._folders, *above])
        self.found = self._together()
        self._require_images()
        self._match(labels)
        below = [_relative(folder, self.base) for folder in self._folders]
        self.metadata = {
            "images": self.base,
            "folders": json.dumps(below),
            "exclude": json.dumps(exclude),
            "labels": labels,
        }

    @property
    def paths(self) -> list[str]:
        """The images as they are opened."""
        return [os.path.join(self.base, path) for path in self.found.images]  # noqa: PTH118 - many

    def update(self, index: "Index", embedder: Embedder, quiet: bool = False) -> Report:
        """Bring an index up to date.

        Raises:
            DeepRankingError: as by `update_index`; or a folder holds only other images than it did.
        """
        index.check_model(embedder.fingerprint, embedder.dimension)
        renamed = self._renamed(index.store.images())
        now = [image._replace(path=path) for image, path in renamed]
        keep = (lambda path: False) if self._forget_missing else self._keeper(now)
        put = [image for image, (old, _) in zip(now, renamed, strict=True) if image.path != old.path]
        based = {old.path: path for old, path in renamed if path != old.path}
        gone = based.keys() - {image.path for image in put}
        left = {old.path: old.hash for old, _ in renamed if old.path in based} | left_in(index.metadata)
        note = noted(left) if left else {}
        index.write(put, remove=sorted(gone), metadata={**self.metadata, **note})
        images, labels = self.found.images, self.found.labels
        report = update_index(index, self.base, images, embedder, quiet=quiet, keep=keep, labels=labels)
        since = {old: new for old, new in report.moved.items() if old not in based.values()}
        report.moved = since | {old: report.moved.get(path, path) for old, path in based.items()}
        return told(report, self.found)

    def _match(self, labels: str) -> None:
        """Tell where a table of labels says nothing of images, whose paths it may write otherwise."""
        if labels in ("none", "folders"):
            return
        rule, images = label_rule(labels), self.found.images
        without = [path for path in images if not rule(path)]
        if len(without) == len(images) and not self.found.labels:
            raise DeepRankingError(
                f"{labels}: expected labels of the index's paths, as {images[0]!r}, found none of them in it"
            )
        if without:
            self.notes.append(f"{labels}: {len(without):,} images have no label there, as {without[0]}")

    def _look(self, given: Sequence[str | os.PathLike[str]], exclude: list[str]) -> dict[str, Found]:
        """Look into the folders given and those remembered; one of these may be gone."""
        import deep_ranking  # what finds images lies above; it is asked for by its public name

        now = [str(Path(as_on_disk(os.fspath(folder))).resolve()) for folder in given]
        looks = {}
        for folder in _outermost([*now, *self._old]):
            if folder in now or Path(folder).is_dir() or not (now or len(self._old) > 1):
                looks[folder] = deep_ranking.look_into(folder, exclude)
        return looks

    def _tell_moved(self) -> dict[str, str]:
        """Return where each folder went that is not there any more, as far as its images tell."""
        looks = self._looks
        gone = [folder for folder in self._old if folder not in looks and not Path(folder).is_dir()]
        gone += [folder for folder in self._old if folder in looks and not looks[folder].images]
        new = [folder for folder in looks if not any(_is_in(folder, old) for old in self._old)]
        moved: dict[str, str] = {}
        for old in gone:
            prefix = _prefix(old, self._old_base)
            held = [image for image in self._images() if image.path.startswith(prefix)]
            sizes = {image.path[len(prefix) :]: image.size for image in held}
            for folder in new:
                there = sizes.keys() & looks[folder].images
                same = sum(status(Path(folder) / path).st_size == sizes[path] for path in there)
                if folder not in moved.values() and 2 * same >= max(1, len(sizes)):
                    moved[old] = folder
                    self.notes.append(f"{old} has moved to {folder}")
                    break
            else:
                if not self._forget_missing:
                    self.notes.append(f"{old}: is not there, or empty; its images stay in the index")
        self.notes += [f"{folder} is added" for folder in new if self._old and folder not in moved.values()]
        return moved

    def _together(self) -> Found:
        looks = list(self._looks.items())
        first = looks[0][1] if looks else None
        if first is None:
            raise DeepRankingError(f"{', '.join(self._old)}: expected folders of images, found none of them")
        images, left_out, labels = list[str](), dict[str, str](), dict[str, str]()
        for folder, found in looks:
            prefix = _prefix(folder, self.base)
            images += [prefix + path for path in found.images] if prefix else found.images
            left_out |= {prefix + path: why for path, why in found.left_out.items()}
            labels |= {prefix + path: label for path, label in found.labels.items()}
        where = first.folder if len(looks) == 1 else self.base
        return replace(first, folder=where, images=images, left_out=left_out, labels=labels)

    def _require_images(self) -> None:
        if self.found.images:
            return
        reasons = [f"{len(paths):,} {why} ({paths[0]})" for why, paths in self.found.by_reason().items()]
        found = f"only {', '.join(reasons)}" if reasons else "none"
        raise DeepRankingError(
            f"{', '.join(self._looks)}: expected images, found {found}; nothing was changed"
        )

    def _renamed(self, stored: Sequence[Image]) -> list[tuple[Image, str]]:
        """Return the images that an index holds, with the paths that they have from now on."""
        ways = []
        for old in self._old:
            to = self._moved.get(old, old)
            if any(_is_in(to, folder) for folder in self._folders):  # else it is forgotten, with its images
                ways.append((_prefix(old, self._old_base), _prefix(to, self.base)))
        ways = [way for way in ways if way[0] != way[1]]

        def path_of(path: str) -> str:
            found = next(((old, new) for old, new in ways if path.startswith(old)), ("", ""))
            return found[1] + path[len(found[0]) :]

        return [(image, path_of(image.path)) for image in stored]

    def _keeper(self, stored: Sequence[Image]) -> Callable[[str], bool]:
        """Return what tells whether an image that is not found stays: it, or its folder, cannot be
        opened now, or the folder is not there or is empty.

        Raises:
            DeepRankingError: a folder holds images, and none of those that it held.
        """
        for folder in self._looks:
            prefix = _prefix(folder, self.base)
            listed = [path for path in self.found.images if path.startswith(prefix)]
            self._check_not_another(folder, [i for i in stored if i.path.startswith(prefix)], listed)
        alive = {folder for path in self.found.images for folder in _folders_above(path)}

        def keep(path: str) -> bool:
            if self.found.may_be_as_it_was(path):
                return True
            above = _folders_above(path)
            container = next((folder for folder in above if folder.endswith(CONTAINERS)), above[0])
            return container not in alive and not self.found.passes_over(path)

        return keep

    def _check_not_another(self, folder: str, stored: list[Image], listed: list[str]) -> None:
        before = {image.path: image for image in stored}
        lost = [path for path in before.keys() - listed if not self.found.passes_over(path)]
        if not lost or not listed:
            return
        sizes, contents = {image.size for image in stored}, {image.hash for image in stored}
        alike = []  # only what has the size of one of them is read
        for path in listed:
            found = status(Path(self.base) / path)
            if found.st_size in sizes:
                alike.append(path)
                if path in before and before[path].mtime == found.st_mtime_ns:
                    return
        if any(file_hash(Path(self.base) / path) in contents for path in alike):
            return
        raise DeepRankingError(
            f"{folder}: expected the {len(stored):,} images that the index has of it, found {len(listed):,} "
            "others and none of them: another card or disk in the same place? Make an index of its own; or, "
            "if these are to take their place, add --forget_missing"
        )


def changed_since(index: "Index", most: int = 5_000) -> tuple[int, int]:
    """Return how many images are new in the folders that an index follows, and how many are gone from there.

    New is what has come, or was renamed, after the index was last written to; what could not be read before
    is not looked at again.

    Args:
        index: of more images than `most`, or of no folder that is there, nothing is looked at: (0, 0).
        most: images.
    """
    store = index.store
    there = any(map(os.path.isdir, _remembered(index.metadata)[1]))
    if not isinstance(store, LocalStore) or len(index) > most or not there:
        return 0, 0
    log = store.path.with_name(f"{STORE}-wal")  # SQLite makes an empty one for each reader
    files = [store.path, *([log] if log.exists() and log.stat().st_size else [])]
    written = max(path.stat().st_mtime for path in files)
    held, base = {image.path for image in index.snapshot.images}, Path(index.metadata["images"])
    folders = [base / above for above in {above for path in held for above in _folders_above(path)}]
    if all(folder.is_dir() and folder.stat().st_mtime <= written for folder in folders):
        return 0, 0
    following = Following([], store.images, index.metadata)
    listed = set(following.found.images)
    new = [Path(following.base) / path for path in listed - held]
    gone = [path for path in held - listed if not (Path(following.base) / path).exists()]
    return sum(status(path).st_ctime > written for path in new), len(gone)


def told(report: Report, found: Found) -> Report:
    """Return a report that tells too what else the folder holds, and why it is not read."""
    report.skipped = {**found.unread, **report.skipped}
    report.left_out = found.counts()
    return report


def _remembered(metadata: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return what an index's paths are relative to, and the folders that it follows; none at a URL."""
    base = metadata.get("images")
    if not base or "://" in base:
        return "", []
    return base, [str(Path(base) / folder) for folder in json.loads(metadata.get("folders", '[""]'))]


def _outermost(folders: Iterable[str]) -> list[str]:
    """Return the folders that lie in no other of them, sorted."""
    once = sorted(set(folders))
    return [folder for folder in once if not any(folder != other and _is_in(folder, other) for other in once)]


def _is_in(folder: str, other: str) -> bool:
    return Path(folder).is_relative_to(other)


def _base(folders: Sequence[str]) -> str:
    """Return the nearest folder above all, or the only one.

    Raises:
        DeepRankingError: there is none.
    """
    try:
        return os.path.commonpath(folders) if folders else os.curdir
    except ValueError:
        raise DeepRankingError(
            f"expected folders on one drive, found {', '.join(folders)}; make an index of each"
        ) from None


def _relative(folder: str, base: str) -> str:
    found = Path(os.path.relpath(folder, base)).as_posix()
    return "" if found == os.curdir else found


def _prefix(folder: str, base: str) -> str:
    below = _relative(folder, base)
    return f"{below}/" if below else ""


def _folders_above(path: str) -> list[str]:
    """Return the folders that a path lies in, the nearest first, "" the last.

    Example:
        >>> _folders_above("a/b/1.jpg")
        ['a/b', 'a', '']
    """
    parts = path.split("/")[:-1]
    return ["/".join(parts[:number]) for number in range(len(parts), -1, -1)]
