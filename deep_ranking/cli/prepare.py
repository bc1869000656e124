"""Draw a small data set, unpack a known one, or bring one's own, of any usual format, into class folders."""

import argparse
import json
import logging
from typing import TYPE_CHECKING, Any

from deep_ranking.cli import image_folders, places, shared
from deep_ranking.errors import DeepRankingError, one_line

EXAMPLES = {
    "demo --output dataset": "200 drawn images of eight classes",
    "hf-parquet --source data --output cats": "Parquet files, into cats/train/CLASS/NAME and so on",
    "tiny-imagenet --output tiny": "small photographs of 200 classes (downloads 248 MB)",
}

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    Sets = argparse._SubParsersAction[argparse.ArgumentParser]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the data sets and their flags."""
    sets = parser.add_subparsers(dest="data_set", metavar="DATA_SET", required=True)
    sample = "deep-ranking sample {output}%s"
    evaluate = "deep-ranking evaluate --dataset {output} --triplets {output}/triplets.txt"
    for data_set, prepare, next_step in (
        (_add_demo(sets), _demo, sample % ""),
        (_add_tiny_imagenet(sets), _tiny_imagenet, sample % "/train"),
        (_add_human_triplets(sets), _human_triplets, evaluate),
    ):
        data_set.set_defaults(prepare=prepare, next_step=next_step)
        shared.add_json(data_set, "the counts as JSON")
        # Also read from the command itself, where its absence is a False that must not be undone here.
        shared.add_quiet(data_set, default=argparse.SUPPRESS)
    _add_formats(sets)


def _add_formats(sets: "Sets") -> None:
    from deep_ranking.datasets.rows import FORMATS

    for name, known in FORMATS.items():
        parser: argparse.ArgumentParser = sets.add_parser(
            name,
            help=known.about,
            description=f"Read {known.about}, and write DIR/SPLIT/CLASS/NAME: class names are kept, "
            "unlabelled images go to DIR/unlabelled, what is left out is named with the reason.",
        )
        add = parser.add_argument
        add("--source", required=True, metavar="PATH", help=known.about)
        add("--output", required=True, metavar="DIR", help="folder to make, whole or not at all")
        for option in known.options:
            about, metavar = _OPTIONS[option]
            if metavar:
                add(f"--{option}", metavar=metavar, help=about)
            else:
                add(f"--{option}", action="store_true", help=about)
        add("--split_by", choices=("content", "class", "group"), help=_SPLIT_BY)
        about = "divide the images anew: about this share goes to DIR/val, the others to DIR/train"
        add("--validation_split", type=float, metavar="SHARE", help=f"{about} (0.2 with --split_by alone)")
        shared.add_seed(parser)
        parser.set_defaults(prepare=_format, next_step="deep-ranking {step}")
        shared.add_json(parser, "the counts as JSON")
        shared.add_quiet(parser, default=argparse.SUPPRESS)


_OPTIONS = {
    "root": ("the folder of the images that are named (default: beside the source)", "DIR"),
    "image": ("the column of images; of a tar file, their ending, as jpg", "COLUMN"),
    "label": ("the column of labels; of a tar file, their ending (default: cls)", "COLUMN"),
    "split": ("the column that says the part: train, test ...", "COLUMN"),
    "group": ("the column of what stays together: product, patient, photographer", "COLUMN"),
    "levels": (
        "what the folders on the way to an image are: class, split/class, class/group, */class ...; * is any "
        "number of folders that say nothing",
        "PATTERN",
    ),
    "boxes": ("each box is an image of its own", ""),
}
_SPLIT_BY = (
    "what stays on one side: content, an image and its copies byte for byte; class, so that val has classes "
    "that train has not; group, as of --group (of boxes, their image), with copies (default: content)"
)


def _add_demo(sets: "Sets") -> argparse.ArgumentParser:
    demo: argparse.ArgumentParser = sets.add_parser(
        "demo",
        help="draw a small fine-grained set by code: eight classes, graded hue, size and angle",
        description="Draw a small fine-grained data set: four shapes and four textures, each in graded hue, "
        "size and angle. relevance.csv, beside the class folders, says how each image looks, so that the "
        "order within a class is known too. The same seed draws the same files.",
    )
    add = demo.add_argument
    add("--output", default="dataset", metavar="DIR", help="folder to fill (default: dataset)")
    add("--images_per_class", type=int, default=25, metavar="N", help="(default: 25)")
    add("--size", type=int, default=96, metavar="PX", help="side of an image (default: 96)")
    shared.add_seed(demo)
    add("--triplets", metavar="FILE", help="also write triplets within a class, by known relevance, here")
    add("--validation_output", metavar="DIR", help="also draw as many images, none of them the same, here")
    about = "also write triplets within a class of the images in --validation_output here"
    add("--validation_triplets", metavar="FILE", help=about)
    return demo


def _add_tiny_imagenet(sets: "Sets") -> argparse.ArgumentParser:
    tiny: argparse.ArgumentParser = sets.add_parser(
        "tiny-imagenet",
        help="200 classes of small photographs (downloads 248 MB without --archive)",
        description="Unpack Tiny ImageNet into DIR/train/CLASS/ and DIR/val/CLASS/, with the names of the "
        "classes in DIR/classes.tsv. To train: --input_directory DIR/train for the sampler.",
    )
    tiny.add_argument(
        "--archive", "--source", metavar="FILE", help="the official archive; left out, it is downloaded"
    )
    tiny.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    tiny.add_argument("--classes", type=int, metavar="N", help="take only the first N classes (default: all)")
    return tiny


def _add_human_triplets(sets: "Sets") -> argparse.ArgumentParser:
    human: argparse.ArgumentParser = sets.add_parser(
        "human-triplets",
        help="triplets rated by people, one folder a text query",
        description="Unpack the paper's human-rated triplets into DIR/QUERY/ and DIR/triplets.txt. To "
        "evaluate: --dataset DIR --triplets DIR/triplets.txt.",
    )
    human.add_argument(
        "--archive", "--source", metavar="FILE", help="ZIP archive of images/QUERY/* and triplets.txt"
    )
    human.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    return human


def run(args: argparse.Namespace) -> None:
    """Prepare the data set and say what was written."""
    summary = args.prepare(args)
    if args.json:
        print(json.dumps({"data_set": args.data_set, "output": args.output, **summary}))
    else:
        numbers = {key: value for key, value in summary.items() if isinstance(value, int)}
        counts = ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in numbers.items() if value)
        print(f"{args.output}: {counts}")
        if "first" in summary:
            print(one_line(summary["first"]))
        step = ("sample {}/train" if "train" in summary else "index {}").format(places.typed(args.output))
        print(f"next: {args.next_step.format(output=args.output, step=step)}")


def _demo(args: argparse.Namespace) -> dict[str, Any]:
    from deep_ranking.datasets.demo import CATEGORIES, DemoSettings, draw_demo, within_class_triplets
    from deep_ranking.datasets.folder import check_free
    from deep_ranking.triplets import write_triplets

    if args.validation_triplets and not args.validation_output:
        raise DeepRankingError(
            "--validation_triplets needs --validation_output, the folder of the images it is about"
        )
    summary = {"classes": len(CATEGORIES)}
    sets = [("", args.output, args.triplets)]
    if args.validation_output:
        sets.append(("validation_", args.validation_output, args.validation_triplets))
    for _, output, _ in sets:
        check_free(output)
    for part, (prefix, output, triplets) in enumerate(sets):
        settings = DemoSettings(args.images_per_class, args.size, args.seed, part)
        items = draw_demo(output, settings)
        summary[f"{prefix}images"] = len(items)
        if triplets:
            within = within_class_triplets(items, seed=args.seed)
            summary[f"{prefix}triplets"] = write_triplets(triplets, within)
    return summary


def _format(args: argparse.Namespace) -> dict[str, Any]:
    from deep_ranking.datasets.folder import check_free
    from deep_ranking.datasets.rows import FORMATS, Options
    from deep_ranking.datasets.write import Division, write_rows
    from deep_ranking.progress import quietly

    check_free(args.output)
    division = None
    if args.split_by or args.validation_split is not None:
        share = 0.2 if args.validation_split is None else args.validation_split
        division = Division(args.split_by or "content", share, args.seed)
    known = FORMATS[args.data_set]
    given = {name: getattr(args, name) for name in known.options}
    with quietly(args.quiet):
        rows = known.read(args.source, Options(**given))
        summary, found = write_rows(rows, args.output, args.source, division)
    image_folders.tell_left_out(found)
    if copies := summary["copies_in_several_parts"]:
        logger.warning("%d images lie in more than one part (the same bytes), so measuring flatters", copies)
    if copies := summary["copies_in_several_classes"]:
        logger.warning("%d images lie in more than one class (the same bytes): which is true?", copies)
    return summary


def _tiny_imagenet(args: argparse.Namespace) -> dict[str, Any]:
    from deep_ranking.datasets.tiny_imagenet import prepare_tiny_imagenet

    return prepare_tiny_imagenet(args.output, args.archive, args.classes)


def _human_triplets(args: argparse.Namespace) -> dict[str, Any]:
    from deep_ranking.datasets.human_triplets import prepare_human_triplets

    return prepare_human_triplets(args.output, args.archive)
