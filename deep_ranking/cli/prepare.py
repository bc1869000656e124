"""Draw a small data set, or unpack a real one, into one folder a class."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from deep_ranking.cli import shared
from deep_ranking.errors import DeepRankingError

EXAMPLES = {
    "demo --output dataset": "200 drawn images of eight classes",
    "tiny-imagenet --output tiny": "small photographs of 200 classes (downloads 248 MB)",
}

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
    tiny.add_argument("--archive", metavar="FILE", help="the official archive; left out, it is downloaded")
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
    human.add_argument("--archive", metavar="FILE", help="ZIP archive of images/QUERY/* and triplets.txt")
    human.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    return human


def run(args: argparse.Namespace) -> None:
    """Prepare the data set and say what was written."""
    summary = args.prepare(args)
    if args.json:
        print(json.dumps({"data_set": args.data_set, "output": args.output, **summary}))
    else:
        counts = ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in summary.items() if value)
        print(f"{args.output}: {counts}")
        print(f"next: {args.next_step.format(output=args.output)}")


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


def _tiny_imagenet(args: argparse.Namespace) -> dict[str, Any]:
    from deep_ranking.datasets.tiny_imagenet import prepare_tiny_imagenet

    return prepare_tiny_imagenet(args.output, args.archive, args.classes)


def _human_triplets(args: argparse.Namespace) -> dict[str, Any]:
    from deep_ranking.datasets.human_triplets import prepare_human_triplets

    return prepare_human_triplets(args.output, args.archive)
