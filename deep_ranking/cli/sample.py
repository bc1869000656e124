"""Write a triplet file from a folder of images, one sub-folder a class.

By --method uniform, every image is a query; it gets positives of its own class and, for each, negatives of
other classes. By --method importance, queries, positives and negatives are drawn by their relevance, as in
the paper, negatives of the query's own category among them. Paths in the file are relative to the input
directory.
"""

import argparse
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_ranking.cli import checks, image_folders, places, shared, training_data
from deep_ranking.errors import DeepRankingError, expect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deep_ranking.triplets.uniform import UniformSampler

    Classes = dict[str, list[str]]

logger = logging.getLogger(__name__)

EXAMPLES = {
    "dataset": "one sub-folder a class, into triplets.txt",
    "dataset --validation_split 0.2": "and validation_triplets.txt of images that are held out",
    "dataset --method importance": "drawn by relevance, as in the paper",
}
MAIN = ("input_directory", "output_directory", "num_pos_images", "num_neg_images", "validation_split")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("folder", nargs="?", metavar="FOLDER", help="the folder of classes (default: dataset)")
    add("--input_directory", metavar="DIR", help="the same by a flag")
    about = "where triplets.txt is written; made if missing (default: .)"
    add("--output_directory", default=".", help=about)
    about = "how triplets are chosen (default: uniform)"
    add("--method", choices=("uniform", "importance"), default="uniform", help=about)
    about = "triplets a file by importance (default: as many as by uniform)"
    add("--count", type=int, metavar="N", help=about)
    add("--num_pos_images", type=int, default=10, help="positives a query (default: 10)")
    add("--num_neg_images", type=int, default=5, help="negatives a positive (default: 5)")
    about = (
        "uniform: whether each image is a query as often, or each class, of as many triplets in all "
        "(default: images)"
    )
    add("--balance", choices=("images", "classes"), default="images", help=about)
    add(
        "--validation_split",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="hold this share of each class's images out of triplets.txt and write triplets among them to "
        "validation_triplets.txt (default: 0)",
    )
    add("--gzip", action="store_true", help="compress: write triplets.txt.gz")
    image_folders.add_class_folders(parser)
    shared.add_seed(parser, "the same seed gives the same file", metavar=None)
    shared.add_json(parser, "the counts as JSON")
    training_data.add_importance(parser)


def run(args: argparse.Namespace) -> None:
    """Sample and write."""
    args.input_directory = image_folders.one_folder(args.folder, args.input_directory, "--input_directory")
    checks.folder(args.input_directory)
    from deep_ranking.files import check_writable
    from deep_ranking.images.find import look_into
    from deep_ranking.triplets.uniform import UniformSampler, split_images

    _refuse_what_has_no_effect(args)
    found = look_into(args.input_directory, args.exclude)
    try:
        classes = found.classes(args.splits_are_classes)
    finally:
        image_folders.tell_left_out(found)

    ending = ".txt.gz" if args.gzip else ".txt"
    parts = {"triplets" + ending: classes}
    if args.validation_split:
        training, validation = split_images(classes, args.validation_split, args.seed)
        parts = {"triplets" + ending: training, "validation_triplets" + ending: validation}
    # All samplers first: a part that cannot be sampled must not leave the other's file behind.
    samplers = {
        name: UniformSampler(part, args.num_pos_images, args.num_neg_images, args.seed, args.balance)
        for name, part in parts.items()
    }
    drawn = {name: (len(sampler), sampler.blocks()) for name, sampler in samplers.items()}
    if args.method == "importance":
        for name, (count, _) in drawn.items():
            drawn[name] = _by_importance(args, parts[name], classes, count)
    folder = Path(args.output_directory)
    check_writable(folder / next(iter(parts)))
    stale = folder / f"validation_triplets{ending}"
    if not args.validation_split and stale.exists():
        logger.warning(
            "%s is of an earlier run; the images it holds out are now among the triplets too", stale
        )
    written = [_write(args, folder / name, sampler, *drawn[name]) for name, sampler in samplers.items()]
    _tell_copies(args.input_directory, classes)
    if args.json:
        told = {"files": written, "seed": args.seed, "skipped_files": len(found.left_out)}
        print(json.dumps(told | {"left_out": found.counts()}))
    else:
        for file in written:
            print(
                f"{file['path']}: {file['triplets']:,} triplets over {file['images']:,} images "
                f"of {file['classes']} classes"
            )
            if shared_out := _balance(args, file):
                print(shared_out)
        which = [f"--triplets {places.typed(written[0]['path'])}"]
        which += [f"--validation_triplets {places.typed(file['path'])}" for file in written[1:]]
        shared.tell_next(args, " ".join(["train --dataset", places.typed(args.input_directory), *which]))


def _balance(args: argparse.Namespace, file: dict[str, Any]) -> str:
    """Return in a line how queries are shared out, where a class has many or the user has chosen."""
    if args.method == "importance":
        return ""
    name, images, triplets = file["largest"].values()
    if args.balance == "images" and triplets * file["classes"] < 1.5:
        return ""
    told = f"of {name}, the largest class, are {images:.0%} of the images and the queries of {triplets:.0%}"
    others = "" if args.balance == "classes" else "; --balance classes has as many of each class"
    return f"balanced by {args.balance}: {told} of the triplets{others}"


def _tell_copies(root: str, classes: "Classes") -> None:
    """Warn of images that hold the same bytes: negatives that teach what is wrong, or held out and easy."""
    from deep_ranking.files import first_of_same_content

    images = [(name, Path(root) / image) for name, members in classes.items() for image in members]
    first = first_of_same_content([path for _, path in images])
    copies = [(place, of) for place, of in enumerate(first) if place != of]
    if copies:
        astray = sum(images[place][0] != images[of][0] for place, of in copies)
        one, other = (images[place][1] for place in copies[0])
        logger.warning(
            "%d images are others once more, byte for byte, %d of them in another class; the first: %s is "
            "%s. As negatives they teach what is wrong, and held out they flatter; `duplicates` lists them",
            *(len(copies), astray, one, other),
        )


def _refuse_what_has_no_effect(args: argparse.Namespace) -> None:
    given = training_data.changed_importance(args) + ["count"] * (args.count is not None)
    if args.method == "importance" and args.balance != "images":
        raise DeepRankingError("--balance: without effect; it needs --method uniform")
    if args.method == "uniform" and given:
        flags = ", ".join(f"--{name}" for name in given)
        raise DeepRankingError(f"{flags}: without effect; these need --method importance")
    expect("--count", args.count is None or args.count >= 1, "1 or more", args.count)


def _by_importance(
    args: argparse.Namespace, part: "Classes", classes: "Classes", count: int
) -> "tuple[int, Iterator[NDArray]]":
    """Return how many triplets of a part of the images are drawn by importance, and these."""
    from deep_ranking.triplets.importance import ImportanceSampler

    everything = [image for images in classes.values() for image in images]
    relevance = training_data.relevance_of(args, part, everything)
    sampler = ImportanceSampler(relevance, training_data.importance_settings(args), args.seed)
    sampler.check()  # before a file is written
    count = args.count or count
    return count, sampler.blocks(count)


def _write(
    args: argparse.Namespace, path: Path, sampler: "UniformSampler", count: int, blocks: "Iterator[NDArray]"
) -> dict[str, Any]:
    """Write a file of triplets, and return what it is in numbers."""
    from deep_ranking.progress import progress
    from deep_ranking.triplets.file import write_blocks

    if (single := sampler.single_image_classes) and args.relevance != "hierarchy":
        logger.warning(
            f"{len(single)} classes have one image, which has no positive and is used as a negative only: "
            f"{', '.join(single[:5])}"
        )
    with progress((), f"writing {path.name}", "triplets", total=count) as bar:

        def counted() -> "Iterator[NDArray]":
            for block in blocks:
                bar.update(len(block))
                yield block

        written = write_blocks(path, sampler.images, counted())
    told: dict[str, Any] = {
        "triplets": written,
        "images": len(sampler.images),
        "classes": len(sampler.classes),
    }
    if args.method == "uniform":
        name = max(sampler.classes, key=lambda name: len(sampler.classes[name]))
        share = len(sampler.classes[name]) / len(sampler.images)
        told["largest"] = {"class": name, "images": share, "triplets": sampler.triplets[name] / written}
    return {"path": str(path), **told}
