"""Tiny ImageNet: 200 classes of 64 x 64 pixel photographs, 500 a class to train with and 50 to validate."""

import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from deep_ranking.datasets.archive import ArchiveError, open_archive, unpack
from deep_ranking.datasets.download import download
from deep_ranking.datasets.folder import check_free, folder_written_whole
from deep_ranking.errors import DeepRankingError
from deep_ranking.progress import quietly

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
"""The official address (Stanford CS231n)."""

MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
"""The archive's checksum, 248,100,043 bytes, as the Avalanche library's loader (among others) states it:
ContinualAI/avalanche, avalanche/benchmarks/datasets/tiny_imagenet/tiny_imagenet.py."""

_ANNOTATIONS = "val/val_annotations.txt"
_TRAIN = re.compile(r"train/(?P<wnid>n\d+)/images/(?P<file>[^/\\]+)")


def prepare_tiny_imagenet(
    output: str | os.PathLike[str],
    archive: str | os.PathLike[str] | None = None,
    classes: int | None = None,
    quiet: bool = False,
) -> dict[str, int]:
    """Unpack Tiny ImageNet into one folder a class: `train/WNID/*.JPEG` and `val/WNID/*.JPEG`.

    Beside them, `classes.tsv` names the classes: WordNet identity, tab, words. The unlabelled test images are
    left in the archive.

    Args:
        output: a folder that is not there yet, or is empty.
        archive: the official ZIP archive; None downloads it into the folder that holds `output`, and keeps
            it there.
        classes: take the first so many of the classes, in the order of the archive's `wnids.txt`.
        quiet: show no progress.

    Returns:
        counts: classes, train images, val images.

    Raises:
        DeepRankingError: the archive cannot be downloaded, is unsafe, damaged, or laid out otherwise;
            `classes` is more than it has, or less than 1; the folder holds something already.
        OSError: a file cannot be written.
    """
    check_free(output)  # before a long download
    if archive is None:
        with quietly(quiet):
            archive = download(URL, Path(output).resolve().parent / URL.rpartition("/")[2], MD5)
    with quietly(quiet), open_archive(archive) as opened, folder_written_whole(output) as folder:
        root = _root(opened)
        wnids = _first_classes(opened, root, classes)
        train, val = _train_targets(opened, root, wnids), _val_targets(opened, root, wnids)
        unpack(opened, train | val, folder, "unpacking Tiny ImageNet")
        words = dict(line.split("\t", 1) for line in _lines(opened, root + "words.txt") if "\t" in line)
        names = "".join(f"{wnid}\t{words.get(wnid, wnid)}\n" for wnid in wnids)
        (folder / "classes.tsv").write_text(names, encoding="utf-8")
    return {"classes": len(wnids), "train": len(train), "val": len(val)}


def _root(archive: zipfile.ZipFile) -> str:
    """Return the folder inside the archive that holds everything, with its `/`, or ''."""
    for name in archive.namelist():
        if name == _ANNOTATIONS or name.endswith("/" + _ANNOTATIONS):
            return name.removesuffix(_ANNOTATIONS)
    raise ArchiveError(
        f"{archive.filename}: expected the official Tiny ImageNet layout (wnids.txt, train/WNID/images/*, "
        f"{_ANNOTATIONS}), found no {_ANNOTATIONS}; get it from {URL}"
    )


def _lines(archive: zipfile.ZipFile, member: str) -> list[str]:
    try:
        return archive.read(member).decode("utf-8").splitlines()
    except (KeyError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"{archive.filename}: expected a text file {member!r} in it, found none; get it from {URL}"
        ) from error


def _first_classes(archive: zipfile.ZipFile, root: str, count: int | None) -> Sequence[str]:
    wnids = [line.strip() for line in _lines(archive, root + "wnids.txt") if line.strip()]
    if count is None:
        return wnids
    if not 1 <= count <= len(wnids):
        raise DeepRankingError(f"classes: expected 1 to {len(wnids)}, which the archive has, found {count}")
    return wnids[:count]


def _train_targets(archive: zipfile.ZipFile, root: str, wnids: Sequence[str]) -> dict[str, str]:
    wanted, targets = set(wnids), {}
    for name in archive.namelist():
        match = _TRAIN.fullmatch(name.removeprefix(root))
        if match and match["wnid"] in wanted:
            targets[name] = f"train/{match['wnid']}/{match['file']}"
    missing = wanted - {target.split("/")[1] for target in targets.values()}
    if missing:
        raise ArchiveError(
            f"{archive.filename}: expected images of each class in wnids.txt, found none of {min(missing)} "
            f"in {root}train/{min(missing)}/images/; get it from {URL}"
        )
    return targets


def _val_targets(archive: zipfile.ZipFile, root: str, wnids: Sequence[str]) -> dict[str, str]:
    wanted, members, targets = set(wnids), set(archive.namelist()), {}
    for number, line in enumerate(_lines(archive, root + _ANNOTATIONS), 1):
        file, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        member = f"{root}val/images/{file}"
        if not wnid or member not in members:
            raise ArchiveError(
                f"{archive.filename}, {root}{_ANNOTATIONS}, line {number}: expected an image of the archive, "
                f"a tab and its class, found {line!r:.100}; get it from {URL}"
            )
        if wnid in wanted:
            targets[member] = f"val/{wnid}/{file}"
    return targets
