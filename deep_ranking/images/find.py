"""Finding the images of a folder, and telling what is left out and why; one sub-folder a class."""

import errno
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deep_ranking.containers import CONTAINERS, is_named_as_image, listing
from deep_ranking.containers.member import NO_IMAGE_BESIDE
from deep_ranking.errors import DeepRankingError, expect, reason
from deep_ranking.files import as_on_disk
from deep_ranking.images.content import BROKEN_LINK, EMPTY, GONE, NO_IMAGE, NO_PERMISSION, NOT_NOW
from deep_ranking.images.walk import HIDDEN, SECOND_LINK, Walk, excluder

OUTSIDE = "in no folder, so of no class"
UNLABELLED = "unlabelled, so of no class"
BY_DESIGN = HIDDEN, "excluded by"
_NOT_MEANT = *BY_DESIGN, BROKEN_LINK, GONE, "link"

SPLITS = frozenset(["train", "training", "val", "valid", "validation", "dev", "test", "testing"])
_SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(sorted(SPLITS, reverse=True))})(?=\.|\d|[-_]\d|$)")
_ENDS = "|".join(map(re.escape, CONTAINERS))


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        folder: as it was given, spelled as on the disk.
        images: sorted paths relative to it, with `/` between folders.
        left_out: the reason for each path that is none of the images; a folder's ends with `/`, and stands
            for all that is below it.
        labels: of the images in tar and Parquet files, which bring their own; "" for none.
    """

    folder: str
    images: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def unread(self) -> dict[str, str]:
        """What was meant to be read, as it seems: not what is hidden, excluded or named as something else."""
        return {
            path: why
            for path, why in self.left_out.items()
            if not why.startswith(BY_DESIGN)
            and (why not in (NO_IMAGE, NO_IMAGE_BESIDE) or is_named_as_image(path))
        }

    def passes_over(self, path: str) -> bool:
        """Tell whether a path is left out although it is there: by name, by content or as a second link."""
        if path in self.left_out:
            return True
        parts = path.split("/")
        above = ("/".join(parts[:number]) + "/" for number in range(1, len(parts)))
        return any(self.left_out.get(folder, "").startswith((*BY_DESIGN, SECOND_LINK)) for folder in above)

    def may_be_as_it_was(self, path: str) -> bool:
        """Tell whether a file is left out because the system does not open it now."""
        return self.left_out.get(path) in NOT_NOW

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

        In tar and Parquet files a class is a label. Images beside the class folders and without a label are
        left out from now on; a README or a table there is no concern.

        Raises:
            DeepRankingError: no folder holds an image; or the folders look like the parts of a data set
                (train, val, ...) with classes in them, and `splits_are_classes` is not said; or tar
                and Parquet files do, by their names.
        """
        classes: dict[str, list[str]] = {}
        for image in self.images:
            name, below, _ = image.partition("/")
            name = self.labels.get(image, name if below else "")
            if name:
                classes.setdefault(name, []).append(image)
            else:
                self.left_out[image] = UNLABELLED if image in self.labels else OUTSIDE
        for path, why in list(self.left_out.items()):
            if why == NO_IMAGE and "/" not in path:
                del self.left_out[path]
        if not classes:
            raise DeepRankingError(f"{self.folder}: {_no_classes(self)}")
        self.images = [image for image in self.images if image not in self.left_out]
        if not splits_are_classes:
            refuse_splits(self.folder, classes, self.labels)
        self._refuse_containers_of_splits()
        return classes

    def in_words(self) -> str:
        """Return what the tar and Parquet files hold, as 12 classes, 1,200 images, first: cat / 0001.png."""
        first = next(iter(self.labels))
        return told_first(len({*self.labels.values()} - {""}), len(self.labels), self.labels[first], first)

    def _take_containers(self) -> None:
        """Take the images of tar and Parquet files, in their own order, where the files stand."""
        held: dict[str, list[str]] = {}
        for path in [path for path in self.left_out if path.endswith(CONTAINERS)]:
            if self.left_out[path].startswith((*_NOT_MEANT, EMPTY, NO_PERMISSION)):
                continue
            place = os.path.join(self.folder, path)  # noqa: PTH118
            try:
                found = listing(place)
            except (DeepRankingError, OSError) as error:
                self.left_out[path] = reason(error).removeprefix(f"{place}: ")
                continue
            if not found.members:
                self.left_out[path] += " without images"
                continue
            del self.left_out[path]
            held[path] = [f"{path}/{name}" for name in found.members]
            self.labels |= {f"{path}/{name}": member.label for name, member in found.members.items()}
            self.left_out |= {f"{path}/{name}": why for name, why in found.left_out.items()}
        if held:
            self.images = [i for path in sorted([*self.images, *held]) for i in held.get(path, [path])]

    def _refuse_containers_of_splits(self) -> None:
        held = {re.match(rf".*?({_ENDS})(?=/)", image)[0] for image in self.images if image in self.labels}  # type: ignore[index]
        parts = {split for path in held if (split := split_of(path))}
        if len(parts) > 1:
            names = " and ".join(sorted(parts))
            one = next(path for path in sorted(held) if split_of(path) == min(parts - {"train"}))
            raise DeepRankingError(
                f"{self.folder}: expected one part of a data set, found tar or Parquet files of {names}; "
                f"leave some out, as --exclude '{one}', or give each part a folder of its own"
            )


def split_of(path: str) -> str:
    """Return the part of a data set that a file's name tells of, "" for none.

    Example:
        >>> [split_of(name) for name in ("train-00000-of-00002.parquet", "mnist-test.tfrecord", "test_tube")]
        ['train', 'test', '']
    """
    found = _SPLIT.search(path.rpartition("/")[2].lower())
    return found[1] if found else ""


def told_first(classes: int, images: int, label: str, first: str) -> str:
    """Return in words what was found, with its first image, so that a wrong reading is seen at once.

    Example:
        >>> told_first(12, 1200, "cat", "x.tar/0001.png")
        '12 classes, 1,200 images, first: cat / 0001.png'
    """
    name = first.rpartition("/")[2]
    return f"{classes:,} classes, {images:,} images, first: {label or 'no label'} / {name}"


def look_into(folder: str | os.PathLike[str], exclude: Iterable[str] = (), containers: bool = True) -> Found:
    """Find the images below a folder, and the reason for each file that is left out.

    A file counts by its content, not by its ending. A linked file is taken as the file that it leads to. A
    linked folder is walked once, unless it is walked anyway, by its own name or another link: so a loop of
    links ends. Folders are known by device and inode.

    Args:
        folder: where to look.
        exclude: patterns as in a shell (`*`, `?`, `[...]`), each compared with the path relative to the
            folder and with every name of it, beside `ALWAYS_EXCLUDED`; the case of letters counts.
        containers: look into tar and Parquet files too; their images' paths lead into them.

    Raises:
        DeepRankingError: the folder is missing, or is not a folder, or a pattern is empty.
        OSError: it cannot be listed; of one below it, this is the reason for which it is left out.
    """
    expect("folder", isinstance(folder, str | os.PathLike), "the path of a folder", folder)
    root = as_on_disk(os.fspath(folder))
    if not root or not Path(root).is_dir():  # an empty path would be the current folder
        found = "a file" if root and Path(root).exists() else "nothing"
        raise DeepRankingError(f"{root}: expected a folder of images, found {found}; check the path")
    looked = Found(root)
    walk = Walk(root, looked.images, looked.left_out, excluder(exclude))
    walk.below(root, "", as_link=False)
    walk.follow_links()
    looked.images.sort()
    if containers:
        looked._take_containers()
    return looked


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
        splits_are_classes: folders named train and val, with folders of classes in them, are two classes.

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
            if not why.startswith(BY_DESIGN):
                on_skip(path)
        elif path.endswith("/") and not why.startswith(_NOT_MEANT):
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


def refuse_splits(
    folder: str, classes: Mapping[str, Collection[str]], contained: Container[str] = ()
) -> None:
    """Ask, where all folders are named as the parts of a data set, and look like them inside.

    Two of them hold a folder of the same name, or several folders each, as parts do that share no class. A
    part that holds none, as test images without labels, changes nothing of that.

    Raises:
        DeepRankingError: they do; of the images that are `contained` in tar files, the folders therein.
    """
    if len(classes) < 2 or not {name.lower() for name in classes} <= SPLITS:
        return
    held = any(image in contained for images in classes.values() for image in images)
    inside = re.compile(rf"^.*?({_ENDS})/" if held else "^")
    below = [
        {f"/{inside.sub('', i)}".rpartition("/")[0].partition(f"/{name}/")[2].split("/")[0] for i in images}
        - {""}
        for name, images in classes.items()
    ]
    parts_of = Counter(folder for part in below for folder in part)
    common = sorted(folder for folder, parts in parts_of.items() if parts > 1)
    if not common and sum(len(part) > 1 for part in below) < 2:
        return
    names = " and ".join(f"{name}/" for name in sorted(classes))
    shown, kind = (common, "the same folders") if common else (sorted(parts_of), "folders themselves")
    same = f"which hold {kind} ({', '.join(shown[:3])}{', ...' if len(shown) > 3 else ''})"
    if held:
        raise DeepRankingError(
            f"{folder}: expected one folder a class in a tar file, found {names}, {same}; unpack it, and say "
            "what they are: deep-ranking prepare imagefolder --levels split/class, or class/*"
        )
    first = next((name for name in sorted(classes) if name.lower().startswith("train")), min(classes))
    raise DeepRankingError(
        f"{folder}: expected one sub-folder a class, found {names}, {same}: parts of a data set? then give "
        f"{os.path.join(folder, first)} instead; classes? then add --splits_are_classes"  # noqa: PTH118
    )
