"""Write a triplet file from a folder of images, one sub-folder a class.

By --method uniform, every image is a query; it gets positives of its own class and, for each, negatives of
other classes. By --method importance, queries, positives and negatives are drawn by their relevance, as in
the paper, negatives of the query's own category among them. Paths in the file are relative to the input
directory.
"""

import argparse
import json
import logging
from pathlib import Path

from deep_ranking.cli import relevance_flags

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--input_directory", default="dataset", help="the folder of classes (default: dataset)"
    )
    parser.add_argument(
        "--output_directory", default=".", help="where triplets.txt is written; made if missing (default: .)"
    )
    parser.add_argument(
        "--method",
        choices=("uniform", "importance"),
        default="uniform",
        help="how triplets are chosen (default: uniform)",
    )
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help="triplets a file by importance (default: as many as by uniform)",
    )
    parser.add_argument("--num_pos_images", type=int, default=10, help="positives a query (default: 10)")
    parser.add_argument("--num_neg_images", type=int, default=5, help="negatives a positive (default: 5)")
    parser.add_argument(
        "--validation_split",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="hold this share of each class's images out of triplets.txt and write triplets among them to "
        "validation_triplets.txt (default: 0)",
    )
    parser.add_argument("--gzip", action="store_true", help="compress: write triplets.txt.gz")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same file (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    relevance_flags.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Sample and write."""
    from deep_ranking.cli.shared import warn_of_skipped
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.files import check_writable
    from deep_ranking.images.find import find_classes
    from deep_ranking.progress import progress
    from deep_ranking.triplets.file import write_blocks
    from deep_ranking.triplets.uniform import UniformSampler, split_images

    without_effect = relevance_flags.changed(args) + ["--count"] * (args.count is not None)
    if args.method == "uniform" and without_effect:
        raise DeepRankingError(f"{', '.join(without_effect)}: without effect; these need --method importance")
    if args.count is not None and args.count < 1:
        raise DeepRankingError(f"--count: expected 1 or more, found {args.count}")
    skipped: list[str] = []
    classes = find_classes(args.input_directory, on_skip=skipped.append)
    warn_of_skipped(skipped)

    ending = ".txt.gz" if args.gzip else ".txt"
    parts = {"triplets" + ending: classes}
    if args.validation_split:
        training, validation = split_images(classes, args.validation_split, args.seed)
        parts = {"triplets" + ending: training, "validation_triplets" + ending: validation}
    # All samplers first: a part that cannot be sampled must not leave the other's file behind.
    samplers = {
        name: UniformSampler(part, args.num_pos_images, args.num_neg_images, args.seed)
        for name, part in parts.items()
    }
    counts = {name: len(sampler) for name, sampler in samplers.items()}
    drawn = {name: sampler.blocks() for name, sampler in samplers.items()}
    if args.method == "importance":
        from deep_ranking.triplets.importance import ImportanceSampler

        everything = [image for images in classes.values() for image in images]
        for name, part in parts.items():
            relevance = relevance_flags.relevance_of(args, part, everything)
            importance = ImportanceSampler(relevance, relevance_flags.settings_of(args), args.seed)
            importance.draw(100)  # where there is nothing to draw, this says so before a file is written
            importance.drawn = 0
            counts[name] = counts[name] if args.count is None else args.count
            drawn[name] = importance.blocks(counts[name])
    folder = Path(args.output_directory)
    check_writable(folder / next(iter(parts)))
    stale = folder / f"validation_triplets{ending}"
    if not args.validation_split and stale.exists():
        logger.warning(
            f"{stale} is of an earlier run; the images it holds out are now among the triplets too"
        )
    written = []
    for name, sampler in samplers.items():
        if sampler.single_image_classes and args.relevance != "hierarchy":
            logger.warning(
                f"{len(sampler.single_image_classes)} classes have one image, which has no positive and is "
                f"used as a negative only: {', '.join(sampler.single_image_classes[:5])}"
            )
        bar = progress((), f"writing {name}", "triplets", total=counts[name], quiet=args.quiet)
        with bar:
            blocks = (_counted(block, bar) for block in drawn[name])
            count = write_blocks(folder / name, sampler.images, blocks)
        written.append(
            {
                "path": str(folder / name),
                "triplets": count,
                "images": len(sampler.images),
                "classes": len(sampler.classes),
            }
        )
    if args.json:
        print(json.dumps({"files": written, "seed": args.seed, "skipped_files": len(skipped)}))
    else:
        for file in written:
            print(
                f"{file['path']}: {file['triplets']:,} triplets over {file['images']:,} images "
                f"of {file['classes']} classes"
            )


def _counted(block, bar):
    bar.update(len(block))
    return block
