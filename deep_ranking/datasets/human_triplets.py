"""Human-rated triplets: the evaluation data of Wang et al. 2014 (section 6), one folder a text query."""

import os
import zipfile
from pathlib import Path, PurePosixPath

from deep_ranking.datasets.archive import ArchiveError, open_archive, unpack
from deep_ranking.datasets.folder import folder_written_whole
from deep_ranking.errors import DeepRankingError
from deep_ranking.progress import quietly
from deep_ranking.triplets import Triplet, write_triplets
from deep_ranking.triplets.file import numbered_triplets

SOURCE = "https://sites.google.com/site/imagesimilaritydata/"
"""The paper's own page. It gives the triplets as addresses of images on the web, not the images."""

TRIPLETS = "triplets.txt"
TWICE = "left_out_for_naming_an_image_twice"


def prepare_human_triplets(
    output: str | os.PathLike[str], archive: str | os.PathLike[str] | None, quiet: bool = False
) -> dict[str, int]:
    """Unpack an archive of rated triplets into one folder a text query, and `triplets.txt` beside them.

    The archive holds `images/<query>/<file>` and a `triplets.txt` with names relative to its root; in the
    folder, names are relative to the folder: `--dataset DIR --triplets DIR/triplets.txt`.

    Args:
        output: a folder that is not there yet, or is empty.
        archive: the ZIP archive.
        quiet: show no progress.

    Returns:
        counts: queries, images, triplets, and those left out since two of their three images are one.

    Raises:
        DeepRankingError: no archive is given; it is unsafe, damaged, or laid out otherwise; a triplet
            names an image that is not in it; the folder holds something already.
        OSError: a file cannot be written.
    """
    if archive is None:
        raise DeepRankingError(
            "expected --archive FILE: a ZIP archive with images/<query>/<file> and triplets.txt "
            "(query,positive,negative, a line each). "
            f"The paper's triplets are listed at {SOURCE} as addresses of images on the web, which cannot be "
            "downloaded as one file: fetch the images, and pack them so"
        )
    with quietly(quiet), open_archive(archive) as opened, folder_written_whole(output) as folder:
        root = _root(opened)
        images = _image_targets(opened, root)
        with quietly():
            unpack(opened, {root + TRIPLETS: TRIPLETS}, folder, "")
        unpack(opened, images, folder, "unpacking the rated triplets")
        triplets = _relative_to_folder(folder / TRIPLETS, f"{archive}, {root}{TRIPLETS}", root, images)
        usable = [triplet for triplet in triplets if len(set(triplet)) == 3]
        write_triplets(folder / TRIPLETS, usable)
    queries = {target.partition("/")[0] for target in images.values()}
    counts = {"queries": len(queries), "images": len(images), "triplets": len(usable)}
    return counts | {TWICE: len(triplets) - len(usable)}


def _root(archive: zipfile.ZipFile) -> str:
    found = [name for name in archive.namelist() if PurePosixPath(name).name == TRIPLETS]
    if not found:
        raise ArchiveError(
            f"{archive.filename}: expected images/<query>/<file> and {TRIPLETS} in it, found no {TRIPLETS}; "
            "check that it is the archive of rated triplets"
        )
    return min(found, key=len).removesuffix(TRIPLETS)


def _image_targets(archive: zipfile.ZipFile, root: str) -> dict[str, str]:
    prefix = f"{root}images/"
    targets = {
        name: name.removeprefix(prefix)
        for name in archive.namelist()
        if name.startswith(prefix) and not name.endswith("/")
    }
    for name, target in targets.items():
        if "/" not in target:
            raise ArchiveError(
                f"{archive.filename}: expected {prefix}<query>/<file>, found {name!r}, which has no query"
            )
    return targets


def _relative_to_folder(path: Path, name: str, root: str, images: dict[str, str]) -> list[Triplet]:
    triplets = []
    for number, triplet in numbered_triplets(path):
        for image in triplet:
            if root + image not in images:
                raise ArchiveError(
                    f"{name}, line {number}: expected an image of the archive, found {image!r}; get it again"
                )
        triplets.append(Triplet(*(images[root + image] for image in triplet)))
    return triplets
