"""Bring an index up to date with a folder: embed what is new, follow what moved, drop what is gone."""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.progress import progress
from deep_ranking.search.index import Embedder, Index, file_hash
from deep_ranking.search.plan import make_plan
from deep_ranking.search.store import Image

CHUNK = 256
"""Images written in one transaction: a kill loses at most the work on so many."""


@dataclass
class Report:
    """What an update did, in images; `skipped` gives the reason for each that could not be read."""

    embedded: int = 0
    renamed: int = 0
    reused: int = 0
    removed: int = 0
    unchanged: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def update_index(
    index: Index,
    root: str | os.PathLike[str],
    paths: Sequence[str],
    embedder: Embedder,
    chunk: int = CHUNK,
    quiet: bool = False,
) -> Report:
    """Make the index hold exactly the readable images among `paths`.

    A file whose size and change time are as they were is not opened. One whose content is known, under
    whatever name, keeps its vector. The others are embedded. Every `chunk` images are written for good, so
    a run that is killed loses no more than that, and the next run goes on. The label of an image is the
    first folder of its path.

    Args:
        index: to change.
        root: the folder of images.
        paths: of the images, relative to `root`, `/` between folders.
        embedder: of the same model as the index.
        chunk: images a transaction.
        quiet: no progress.

    Returns:
        What was done: embedded; renamed; reused (a copy, or a file written again unchanged); removed;
        unchanged; skipped, because the file cannot be read.

    Raises:
        DeepRankingError: another model's index; no images, or none of an index made from another folder
            (a folder that is not mounted must not empty an index).
    """
    index.check_model(embedder.fingerprint, embedder.dimension)
    root = Path(root).resolve()
    stored = {image.path: image for image in index.store.images()}
    _check_folder(index, root, stored.keys(), paths)
    report = Report()
    listed = {}
    for path in paths:
        try:
            status = (root / path).stat()
        except OSError as error:
            report.skipped[path] = error.strerror or str(error)
            continue
        listed[path] = (status.st_size, status.st_mtime_ns)
    plan = make_plan({path: (image.size, image.mtime) for path, image in stored.items()}, listed)
    # Their vectors stay until the sweep below, so what was only renamed finds its own again.
    gone = Counter(stored[path].hash for path in plan.vanished)
    index.write(remove=plan.vanished, metadata={"images": str(root)})
    report.unchanged = len(plan.unchanged)
    pending = sorted(plan.new + plan.changed)
    with progress([], "indexing", "images", len(pending), quiet or not pending) as bar:
        for start in range(0, len(pending), chunk):
            some = pending[start : start + chunk]
            _write_chunk(index, root, {path: listed[path] for path in some}, embedder, gone, report)
            bar.update(len(some))
    report.removed = len(plan.vanished) - report.renamed
    index.store.sweep()
    return report


def require_images(root: str | os.PathLike[str], paths: Sequence[str]) -> None:
    """Raise DeepRankingError if there are no paths of images in the folder `root`."""
    if not paths:
        raise DeepRankingError(f"{os.fspath(root)}: expected images, found none; nothing was changed")


def _write_chunk(
    index: Index,
    root: Path,
    stamps: dict[str, tuple[int, int]],
    embedder: Embedder,
    gone: Counter[bytes],
    report: Report,
) -> None:
    hashes: dict[str, bytes] = {}
    for path in stamps:
        try:
            hashes[path] = file_hash(root / path)
        except OSError as error:
            report.skipped[path] = error.strerror or str(error)
    known = index.store.known(set(hashes.values()))
    first = {content: path for path, content in reversed(hashes.items()) if content not in known}
    vectors, errors = _embed(embedder, root, first)
    images = []
    for path, content in hashes.items():
        if content in errors:
            report.skipped[path] = errors[content]
            continue
        images.append(
            Image(path, content, *stamps[path], label=path.partition("/")[0] if "/" in path else "")
        )
        if first.get(content) == path:
            report.embedded += 1
        elif gone[content]:
            gone[content] -= 1
            report.renamed += 1
        else:
            report.reused += 1
    unreadable = [path for path in stamps if path in report.skipped]  # an older content of theirs is gone
    index.write(images, vectors, remove=unreadable)


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


def _check_folder(index: Index, root: Path, stored: Collection[str], paths: Sequence[str]) -> None:
    require_images(root, paths)
    earlier = index.metadata.get("images", str(root))
    if stored and earlier != str(root) and not set(paths) & set(stored):
        raise DeepRankingError(
            f"{index.store.path.parent}: made from the images in {earlier}, none of which is in {root}; "
            "use another folder for this index, or the same images"
        )
