"""Bring an index up to date with a folder: embed what is new, follow what moved, drop what is gone."""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.containers import CONTAINERS, status
from deep_ranking.errors import DeepRankingError
from deep_ranking.files import file_hash
from deep_ranking.progress import progress
from deep_ranking.search.image import Image
from deep_ranking.search.labels import label_rule
from deep_ranking.search.query import Embedder

if TYPE_CHECKING:
    from deep_ranking.search.index import Index

Stamp = tuple[int, int]
"""Size in bytes and change time in ns; while both stay the same, a file is taken to be the same."""


@dataclass(frozen=True)
class Plan:
    """Paths by what has to be done with them; each path of either listing is in exactly one.

    Whether a new path is a rename or a copy is told by its content later, without embedding it again.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    vanished: tuple[str, ...]


def make_plan(stored: Mapping[str, Stamp], listed: Mapping[str, Stamp]) -> Plan:
    """Compare what is stored with what is listed now.

    Example:
        >>> make_plan({"a": (1, 5), "b": (1, 5), "c": (1, 5)}, {"b": (1, 5), "c": (1, 6), "d": (1, 5)})
        Plan(new=('d',), changed=('c',), unchanged=('b',), vanished=('a',))
    """
    both = [path for path in listed if path in stored]
    return Plan(
        new=tuple(path for path in listed if path not in stored),
        changed=tuple(path for path in both if stored[path] != listed[path]),
        unchanged=tuple(path for path in both if stored[path] == listed[path]),
        vanished=tuple(path for path in stored if path not in listed),
    )


CHUNK = 256
"""Images written in one transaction: a kill loses at most the work on so many."""


@dataclass
class Report:
    """What an update did, in images.

    `skipped` gives the reason for each that could not be read; `missing` names those that were kept although
    their files are not there; `left_out` counts all files of the folder that are no images, by the reason;
    `moved` gives for paths that hold their content no more the path where it is.
    """

    embedded: int = 0
    renamed: int = 0
    reused: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)


SEEN = "seen"
"""Of an index's metadata: the latest time (ns) at which a file was changed or renamed, as the system told."""

LEFT = "left"
"""Of an index's metadata: what paths held before they were removed or changed, until ratings are told."""


def noted(left: Mapping[str, bytes]) -> dict[str, str]:
    """Return metadata by which the content that paths held is known, also where the update is killed.

    Example:
        >>> noted({"a": b"1"}), left_in(noted({"a": b"1"})), left_in({})
        ({'left': '{"a": "31"}'}, {'a': b'1'}, {})
    """
    return {LEFT: json.dumps({path: content.hex() for path, content in left.items()})}


def left_in(metadata: Mapping[str, str]) -> dict[str, bytes]:
    """Return the content that paths held before updates that ratings were not told of."""
    return {path: bytes.fromhex(held) for path, held in json.loads(metadata.get(LEFT, "{}")).items()}


def _swapped(
    root: str, stored: Mapping[str, Image], stamps: Mapping[str, Stamp], touched: Collection[str]
) -> list[str]:
    """Return the paths that hold another content now, although size and change time may be as they were.

    Two files that trade names take their times with them. Where these are equal, as of frames that were
    unpacked together, the content decides; only such files are read.
    """
    shared = Counter(stamps.values()) if touched else Counter[Stamp]()
    found = []
    for path in touched:
        if path in stamps and shared[stamps[path]] > 1:
            with suppress(OSError):  # what cannot be opened is told of later
                if file_hash(Path(root) / path) != stored[path].hash:
                    found.append(path)
    return found


class Update:
    """An update under way: what has to be embedded, and where the results are written.

    Made, it removes the images that are no longer listed; `finish` ends it. A run that is killed in between
    is taken up by the next one, whatever of it was written.

    Args:
        index: to change.
        root: where the images are: a folder, or a URL.
        listed: size and change time of each image that is to be in the index.
        keep: tells of an image that is not listed whether it stays all the same, since its folder is not
            there now; one whose content is found elsewhere has moved, and does not.
        labels: that containers give to their images.
        touched: paths of files that were changed or renamed in whatever way since the last update.

    Attributes:
        pending: the paths that are new or changed, in the order of those listed.
        report: what was done so far.
    """

    def __init__(
        self,
        index: "Index",
        root: str,
        listed: Mapping[str, Stamp],
        keep: Callable[[str], bool] = lambda path: False,
        labels: Mapping[str, str] = MappingProxyType({}),
        touched: Collection[str] = (),
    ):
        stored = {image.path: image for image in index.store.images()}
        stamps = {path: (image.size, image.mtime) for path, image in stored.items()}
        for path in _swapped(root, stored, stamps, touched):
            del stamps[path]
        plan = make_plan(stamps, listed)
        self.index = index
        wanted = {*plan.new, *plan.changed}
        self.pending = [path for path in listed if path in wanted]
        self.report = Report(unchanged=len(plan.unchanged))
        # Their vectors stay until the sweep at the end, so what was only renamed finds its own again.
        self._gone = Counter(stored[path].hash for path in plan.vanished)
        self._kept = {path for path in plan.vanished if keep(path)}
        left = {path: stored[path].hash for path in (*plan.vanished, *self.pending) if path in stored}
        self._left = left | left_in(index.metadata)  # ratings are about what a path held first
        self._had = stored.keys()
        vanished = [path for path in plan.vanished if path not in self._kept]
        self._removed = len(vanished)
        self._own = labels
        self._rule = index.metadata.get("labels", "folders")
        self._label = label_rule(self._rule, json.loads(index.metadata.get("folders", '[""]')))
        known = (stored[path] for path in plan.unchanged)
        labelled = [(image, self._labelled(image)) for image in known]
        changed = [new for old, new in labelled if new.label != old.label]
        note = noted(self._left) if self._left else {}
        index.write(changed, remove=vanished, metadata={"images": root, **note})

    def _labelled(self, image: Image) -> Image:
        """Return an image with the label that the index gives it; one in a container may bring its own."""
        label = self._label(image.path)
        if any(f"{ending}/" in image.path for ending in CONTAINERS):
            own = self._own.get(image.path, image.label)
            own = own if self._rule == "folders" or f"/{own}/" not in f"/{image.path}" else ""
            label = own if self._rule in ("none", "folders") else label or own
        return image._replace(label=label)

    def write(
        self, images: Sequence[Image], vectors: Mapping[bytes, np.ndarray], errors: Mapping[str, str]
    ) -> None:
        """Write images for good, and count them.

        Args:
            images: those that could be read.
            vectors: by content hash; those of known content are not taken.
            errors: why others could not be read, by path; an older content of theirs is removed.
        """
        known = self.index.store.known({image.hash for image in images})
        new = {content: vector for content, vector in vectors.items() if content not in known}
        for image in images:
            if image.hash not in known:
                known.add(image.hash)
                self.report.embedded += 1
            elif self._gone[image.hash]:
                self._gone[image.hash] -= 1
                self.report.renamed += 1
            else:
                self.report.reused += 1
        self.report.skipped |= errors
        self.index.write([self._labelled(image) for image in images], new, remove=list(errors))

    def finish(self, metadata: Mapping[str, str] | None = None) -> Report:
        """Delete the vectors that no image has any more, keep the metadata, and return what was done."""
        there: dict[bytes, list[str]] = {}
        for image in self.index.store.images() if self._left else ():
            if image.path not in self._kept:
                there.setdefault(image.hash, []).append(image.path)
        moved = [path for path in sorted(self._kept) if self._left[path] in there]
        self._removed += len(moved)
        self.report.missing = sorted(self._kept.difference(moved))
        taken: set[str] = set()
        for path, content in self._left.items():
            if path not in (found := there.get(content, [path])):
                free = [other for other in found if other not in taken]
                new = [other for other in free if other not in self._had]
                self.report.moved[path] = (new or free or found)[0]
                taken.add(self.report.moved[path])
        if self._left:
            metadata = {**(metadata or {}), **noted({path: self._left[path] for path in self.report.moved})}
        if moved or metadata:
            self.index.write(remove=moved, metadata=metadata)
        self.report.removed = self._removed - self.report.renamed
        self.index.store.sweep()
        return self.report


def update_index(
    index: "Index",
    root: str | os.PathLike[str],
    paths: Sequence[str],
    embedder: Embedder,
    chunk: int = CHUNK,
    quiet: bool = False,
    keep: Callable[[str], bool] = lambda path: False,
    labels: Mapping[str, str] = MappingProxyType({}),
) -> Report:
    """Make the index hold exactly the readable images among `paths`, and what `keep` keeps.

    A file whose size and change time are as they were is not opened. One whose content is known, under
    whatever name, keeps its vector. The others are embedded. Every `chunk` images are written for good, so
    a run that is killed loses no more than that, and the next run goes on. Labels are made as the index
    remembers it (`labels` in its metadata): none, those of a table, or, in an index that does not say, the
    first folder of the path.

    Args:
        index: to change.
        root: the folder of images.
        paths: of the images, relative to `root`, `/` between folders.
        embedder: of the same model as the index.
        chunk: images a transaction.
        quiet: no progress.
        keep: as of `Update`; none by default.
        labels: that containers give to their images.

    Returns:
        What was done: embedded; renamed; reused (a copy, or a file written again unchanged); removed;
        unchanged; skipped, because the file cannot be read.

    Raises:
        DeepRankingError: another model's index; no images, or none of an index made from another folder
            (a folder that is not mounted must not empty an index).
    """
    index.check_model(embedder.fingerprint, embedder.dimension)
    root = Path(root).resolve()
    check_same_images(index, str(root), paths)
    began = time.time_ns()  # a file of a clock that was ahead is looked at again until then
    listed, gone, times = {}, {}, {}
    for path in paths:
        try:
            found = status(root / path)
        except OSError as error:
            gone[path] = error.strerror or str(error)
            continue
        listed[path], times[path] = (found.st_size, found.st_mtime_ns), found.st_ctime_ns
    seen = int(told) if re.fullmatch("[0-9]{1,19}", told := index.metadata.get(SEEN, "")) else 0
    touched = [path for path, changed in times.items() if changed > seen]
    update = Update(index, str(root), listed, keep, labels, touched)
    update.report.skipped |= gone
    pending = update.pending
    with progress([], "indexing", "images", len(pending), quiet or not pending) as bar:
        for start in range(0, len(pending), chunk):
            some = pending[start : start + chunk]
            _write_chunk(update, root, {path: listed[path] for path in some}, embedder, labels)
            bar.update(len(some))
    return update.finish({SEEN: str(min(began, max(times.values(), default=seen)))})


def require_images(root: str | os.PathLike[str], paths: Collection[str]) -> None:
    """Raise DeepRankingError if there are no paths of images in the folder `root`."""
    if not paths:
        raise DeepRankingError(f"{os.fspath(root)}: expected images, found none; nothing was changed")


def check_same_images(index: "Index", root: str, paths: Collection[str]) -> None:
    """Raise DeepRankingError if there are no images, or hardly those of an index made from elsewhere.

    Two cards of one camera have names in common, so one name does not make the same images: half do.
    """
    require_images(root, paths)
    earlier = index.metadata.get("images", root)
    if earlier != root:
        stored = {image.path for image in index.store.images()}
        common = len(stored.intersection(paths))
        if 2 * common < len(stored):
            which = f"{common:,} of {len(stored):,}" if common else "none"
            raise DeepRankingError(
                f"{index.store.name}: made from the images in {earlier}, {which} of which is in {root}; "
                "use another place for this index, or the same images"
            )


def _write_chunk(
    update: Update, root: Path, stamps: Mapping[str, Stamp], embedder: Embedder, labels: Mapping[str, str]
) -> None:
    hashes: dict[str, bytes] = {}
    errors: dict[str, str] = {}
    for path in stamps:
        try:
            hashes[path] = file_hash(root / path)
        except OSError as error:
            errors[path] = error.strerror or str(error)
    known = update.index.store.known(set(hashes.values()))
    first = {content: path for path, content in reversed(hashes.items()) if content not in known}
    vectors, unreadable = _embed(embedder, root, first)
    for content in list(vectors):
        if not _still_holds(root / first[content], content):  # its vector may be of other bytes
            del vectors[content]
            unreadable[content] = "it changed while it was read; the next run takes it in"
    errors |= {path: unreadable[content] for path, content in hashes.items() if content in unreadable}
    readable = (path for path in hashes if path not in errors)
    images = [Image(path, hashes[path], *stamps[path], labels.get(path, "")) for path in readable]
    update.write(images, vectors, errors)


def _still_holds(path: Path, content: bytes) -> bool:
    try:
        return file_hash(path) == content
    except OSError:
        return False


def _embed(
    embedder: Embedder, root: Path, first: dict[bytes, str]
) -> tuple[dict[bytes, np.ndarray], dict[bytes, str]]:
    """Return the vectors and the errors of new contents, given a path of each."""
    if not first:
        return {}, {}
    contents = {str(root / path): content for content, path in first.items()}
    vectors, failures = embedder.embed(list(contents), quiet=True)
    errors = {contents.pop(path): str(error).removeprefix(f"{path}: ") for path, error in failures}
    if vectors.shape != (len(contents), embedder.dimension):
        raise DeepRankingError(
            f"expected the embedder to return vectors of the shape {(len(contents), embedder.dimension)}, "
            f"found {vectors.shape}"
        )
    found = {}
    for content, vector in zip(contents.values(), vectors, strict=True):
        if np.isfinite(vector).all():
            found[content] = vector
        else:
            errors[content] = "the model gives NaN or infinity for it"
    return found, errors
