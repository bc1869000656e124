"""Rows of a data set written as one folder a class, `DIR/SPLIT/CLASS/NAME`, and divided into parts."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deep_ranking.containers import free_name, is_named_as_image
from deep_ranking.datasets.folder import folder_written_whole
from deep_ranking.datasets.rows import Row
from deep_ranking.errors import DeepRankingError, expect, reason
from deep_ranking.files import composed
from deep_ranking.images import forms
from deep_ranking.images.content import why_no_image
from deep_ranking.images.find import Found, told_first
from deep_ranking.images.walk import ALWAYS_EXCLUDED
from deep_ranking.progress import progress

UNLABELLED = "unlabelled"
"""The folder beside those of the parts, for images without a class."""

SPLIT_BY = ("content", "class", "group")

_ENDINGS = {"JPEG": ".jpg", "WEBP": ".webp", "HEIF": ".heic", "RAW": ".raw"}
_LONGEST = 200  # bytes of a name, which file systems limit to 255


@dataclass(frozen=True)
class Division:
    """How the images of a data set are divided anew into `train` and `val`.

    Attributes:
        by: "content": an image is on one side with its copies, byte for byte; "class": all of a class;
            "group": all of a group, with the copies of its images.
        share: of the images that go to `val`, about, above 0 and below 1.
        seed: of the choice.
    """

    by: str = "content"
    share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        expect("--split_by", self.by in SPLIT_BY, f"one of {', '.join(SPLIT_BY)}", self.by)
        expect("--validation_split", 0 < self.share < 1, "a share above 0 and below 1", self.share)
        expect("--seed", self.seed >= 0, "0 or more", self.seed)


class Written(NamedTuple):
    """One image that is written: its part, the names of its class and file, and what keeps it with others."""

    split: str
    folder: str
    name: str
    content: bytes
    group: str


def write_rows(
    rows: Iterable[Row], output: str | os.PathLike[str], source: str, division: Division | None = None
) -> tuple[dict[str, Any], Found]:
    """Write the images of a data set into a folder, whole or not at all.

    Class names become those of folders, with what no folder may have in its name as `%2F`; `classes.tsv` then
    tells them. Of two images of a class with one name, and of two classes, also if letters differ in case
    alone, the second is `NAME~2`. Rows without a part are `train`; unlabelled ones go to `unlabelled/SPLIT`.

    Args:
        rows: as a reader yields them.
        output: a folder that is not there yet, or is empty.
        source: what messages call the data set.
        division: into parts of its own; None: as the rows have it.

    Returns:
        The counts, and what was found and left out, with the reasons.

    Raises:
        DeepRankingError: no row has an image that can be read; the folder holds something already.
    """
    found, names, written = Found(source), _Names(), list[Written]()
    with folder_written_whole(output) as folder:
        count, dropped = 0, dict[str, int]()
        for count, row in enumerate(progress(rows, f"preparing {output}", "images"), 1):
            split = folder_name("train" if division else row.split or "train")
            told = _write(row, folder, split, names, count)
            if isinstance(told, str):
                found.left_out[free_name(row.place, dropped)] = told
            else:
                written.append(told)
        if not written:
            left_out = found.by_reason().items()
            told = "; ".join(f"{len(paths):,} {why}, the first {paths[0]}" for why, paths in left_out)
            why = f"{count:,} rows without one: {told}" if count else "no row"
            raise DeepRankingError(f"{source}: expected images, found {why}")
        labelled = [image for image in written if image.folder]
        if division and not labelled:
            raise DeepRankingError(
                f"--split_by: expected images with classes, found none in {source}; leave it out"
            )
        if division:
            moved = _moved(labelled, division)
            for image in moved:
                (folder / "val" / image.folder).mkdir(parents=True, exist_ok=True)
                (folder / image.split / image.folder / image.name).rename(
                    folder / "val" / image.folder / image.name
                )
            apart = set(moved)
            written = [image._replace(split="val") if image in apart else image for image in written]
        if names.changed:
            lines = (f"{name}\t{' '.join(label.split())}\n" for label, name in sorted(names.classes.items()))
            text = "".join(lines)
            (folder / "classes.tsv").write_text(text, encoding="utf-8", errors="surrogateescape")
    found.images = [image.name for image in written]
    return _counts(count, written, found, names), found


def folder_name(label: str) -> str:
    """Return a label as the name of a folder that is found again; no two labels have the same.

    Example:
        >>> [folder_name(label) for label in ("cat", "Ram C/V", "100%", "..", "lost+found")]
        ['cat', 'Ram C%2FV', '100%', '%2E.', '%6Cost+found']
    """
    bad = '<>:"|?*' if os.name == "nt" else ""
    text = re.sub(rf"[/\\\0-\x1f\x7f{bad}]|%(?=[0-9A-Fa-f]{{2}})", lambda one: f"%{ord(one[0]):02X}", label)
    if text.startswith(".") or text in ALWAYS_EXCLUDED:
        text = f"%{ord(text[0]):02X}{text[1:]}"
    encoded = text.encode("utf-8", "surrogateescape")
    if len(encoded) <= _LONGEST:
        return text
    return f"{_cut(text, _LONGEST - 9)}~{hashlib.sha256(encoded).hexdigest()[:8]}"


def _cut(text: str, most: int) -> str:
    return text.encode("utf-8", "surrogateescape")[:most].decode("utf-8", "ignore")


def _as_one(name: str) -> str:
    """Return what a name is to systems that take letters for one in either case, or form of Unicode."""
    return composed(name).casefold()


class _Names:
    """The names that are taken: of classes, and in each folder of files."""

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}
        self._taken: dict[str, dict[str, int]] = defaultdict(dict)

    @property
    def changed(self) -> bool:
        return any(label != name for label, name in self.classes.items())

    def of_class(self, label: str) -> str:
        if label not in self.classes:
            self.classes[label] = free_name(folder_name(label), self._taken[""], _as_one)
        return self.classes[label]

    def of_file(self, folder: str, name: str, number: int, content: bytes) -> str:
        name = re.sub(r"[/\\\0-\x1f\x7f]", "_", name) or f"{number:06}"
        if name.startswith("."):
            name = f"_{name[1:]}"
        if not is_named_as_image(name):
            kind = forms.kind(content[:64]) or ""
            name += _ENDINGS.get(kind, f".{kind.lower()}")
        if len(name.encode("utf-8", "surrogateescape")) > _LONGEST:
            name = _cut(name, _LONGEST - 10) + Path(name).suffix[-10:]
        return free_name(name, self._taken[folder], _as_one)


def _write(row: Row, folder: Path, split: str, names: _Names, number: int) -> Written | str:
    """Write the image of a row; return the reason instead where there is none."""
    if row.why or row.image is None:
        return row.why or "row without an image"
    try:
        content = row.image if isinstance(row.image, bytes) else row.image.read_bytes()
    except OSError as error:
        return error.strerror or reason(error)
    below = f"{split}/{names.of_class(row.label)}" if row.label else f"{UNLABELLED}/{split}"
    ending = Path(row.name).suffix  # by which a camera's raw file is known
    probe = folder / f".{number}{ending if ending[1:].isalnum() and len(ending) < 10 else ''}"
    probe.write_bytes(content)
    if why := why_no_image(str(probe)):
        probe.unlink()
        return why
    name = names.of_file(below, row.name, number, content)
    path = folder / below / name
    path.parent.mkdir(parents=True, exist_ok=True)
    probe.rename(path)
    label = names.of_class(row.label) if row.label else ""
    return Written(split, label, name, hashlib.sha256(content).digest(), row.group)


def _moved(images: list[Written], division: Division) -> list[Written]:
    """Return the images that go to the other part.

    What has to stay together is one: images of a class, or of a group and their copies, and theirs in turn.
    Of each class about the share is taken, and one such unit at least stays.
    """
    one = _Joined()
    for place, image in enumerate(images):
        if division.by == "class":
            one.join(place, ("class", image.folder))
        else:
            one.join(place, ("content", image.content))
            if division.by == "group" and image.group:
                one.join(place, ("group", image.group))
    units: dict[Any, list[int]] = defaultdict(list)
    for place in range(len(images)):
        units[one.root(place)].append(place)
    strata: dict[str, list[Any]] = defaultdict(list)
    for unit, members in units.items():
        for stratum in sorted({"" if division.by == "class" else images[place].folder for place in members}):
            strata[stratum].append(unit)
    random, chosen = np.random.default_rng(division.seed), set[Any]()
    for stratum in sorted(strata):
        sizes = {
            unit: sum(stratum in ("", images[place].folder) for place in units[unit])
            for unit in strata[stratum]
        }
        wanted = division.share * sum(sizes.values()) - sum(sizes[u] for u in sizes if u in chosen)
        free = [u for u in strata[stratum] if u not in chosen]
        for unit in [free[i] for i in random.permutation(len(free))][: len(sizes) - 1]:
            if sizes[unit] / 2 <= wanted and len(chosen) < len(units) - 1:
                chosen.add(unit)
                wanted -= sizes[unit]
    if not chosen:
        raise DeepRankingError(
            f"--split_by {division.by}: expected two or more to divide, of which about {division.share:.0%} "
            f"can go to val, found {len(units):,} in {len(images):,} images; choose another"
        )
    return [images[place] for unit in sorted(chosen, key=str) for place in units[unit]]


class _Joined:
    """Things that belong together, each known by one of them."""

    def __init__(self) -> None:
        self._above: dict[Any, Any] = {}

    def root(self, thing: Any) -> Any:
        path = [thing]
        while (above := self._above.setdefault(path[-1], path[-1])) != path[-1]:
            path.append(above)
        for one in path:
            self._above[one] = path[-1]
        return path[-1]

    def join(self, one: Any, other: Any) -> None:
        self._above[self.root(one)] = self.root(other)


def _counts(rows: int, written: list[Written], found: Found, names: _Names) -> dict[str, Any]:
    labels = {folder: label for label, folder in names.classes.items()}
    parts = Counter(image.split for image in written if image.folder)
    sides: dict[bytes, set[str]] = defaultdict(set)
    labels_of: dict[bytes, set[str]] = defaultdict(set)
    for image in written:
        sides[image.content].add(image.split)
        labels_of[image.content].add(image.folder)
    classes, first = len({image.folder for image in written} - {""}), written[0]
    return {
        "rows": rows,
        "images": len(written),
        "classes": classes,
        **{part: parts[part] for part in sorted(parts) if part not in ("rows", "images", "classes")},
        UNLABELLED: sum(not image.folder for image in written),
        "dropped": len(found.left_out),
        "copies_in_several_parts": sum(len(parts) > 1 for parts in sides.values()),
        "copies_in_several_classes": sum(len(labels - {""}) > 1 for labels in labels_of.values()),
        "first": told_first(classes, len(written), labels.get(first.folder, ""), first.name),
        "left_out": found.counts(),
    }
