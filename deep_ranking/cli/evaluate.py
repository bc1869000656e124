"""Measure how well a model, or vectors from elsewhere, rank images.

With --triplets: the share of triplets ranked right, and the score at top 30 within a text query or class.
With folders of one sub-folder a class: retrieval, each image of --queries in --gallery, or each of --dataset
among the others. docs/metrics.md defines the metrics; the intervals are 95% bootstrap intervals.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, image_folders, places, shared
from deep_ranking.errors import DeepRankingError

if TYPE_CHECKING:
    from deep_ranking.embedding.encoder import Encoder
    from deep_ranking.evaluation.evaluation import Evaluation
    from deep_ranking.vectors import Embeddings


EXAMPLES = {
    "photos": "one sub-folder a class: do its images find each other?",
    "photos --triplets rated.txt": "how many triplets are ranked right",
    "--model deepranking.h5 --gallery dataset --queries held_out": "a model of your own",
}
MAIN = ("model", "triplets", "gallery", "queries", "baselines")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    about = "root of the images, one sub-folder a class or query"
    parser.add_argument("folder", nargs="?", metavar="FOLDER", help=about)
    vectors = parser.add_argument_group("what is measured")
    add = vectors.add_argument
    add(
        "--model",
        metavar="FILE",
        help=f"a trained model (default: {shared.MODEL} if it is there, else one that needs no training)",
    )
    add(
        "--embeddings",
        metavar="FILE",
        help=".npz with `paths`, relative to --dataset (without it: to the folder that holds --gallery and "
        "--queries), and `vectors`",
    )
    about = "beside the model: the untrained network, its ConvNet path alone, a colour histogram"
    add("--baselines", action="store_true", help=about)
    shared.add_look(vectors)
    shared.add_weights(vectors)
    shared.add_engine(vectors)

    which = parser.add_argument_group("on which images")
    add = which.add_argument
    add("--dataset", metavar="DIR", help="the same by a flag (default: dataset)")
    add("--triplets", metavar="FILE", help="triplets of images of --dataset")
    add("--gallery", metavar="DIR", help="what --queries are looked up in, one sub-folder a class")
    add("--queries", metavar="DIR", help="one sub-folder a class, named as in --gallery")
    image_folders.add_class_folders(which)

    add = parser.add_argument
    about = "only these, such as recall@4 (default: all)"
    add("--metrics", nargs="+", default=[], metavar="NAME", help=about)
    add("--output_embeddings", metavar="FILE", help="keep the model's vectors as .npz")
    shared.add_json(parser, "the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Measure and print, a column for each that is measured."""
    _check(args)
    from deep_ranking.evaluation.metrics.measure import table
    from deep_ranking.vectors import read_embeddings

    # The data first: what is missing is said before Keras has taken its seconds.
    given = read_embeddings(args.embeddings) if args.embeddings else None
    root, evaluation = _evaluation(args, [] if given is None or args.model else given.paths.tolist())
    results = {}
    if given is not None:
        results["embeddings"] = evaluation.measure(given)
    if args.model or not args.embeddings:
        for name, embeddings in _embedded(args, root, evaluation.images):
            results[name] = evaluation.measure(embeddings)
    if args.json:
        print(json.dumps({name: measured.as_dict() for name, measured in results.items()}))
        return
    counts = next(iter(results.values())).counts
    print(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()), end="\n\n")
    print(table(results))
    if not args.baselines and args.model:
        shared.tell(args, "next: the same with --baselines, to see what the model has learned")
    elif not args.model:
        shared.tell_next(args, f"sample {places.typed(root)}", f"train --dataset {places.typed(root)}")


def _check(args: argparse.Namespace) -> None:
    """Refuse what is wrong before anything slow is imported; fill in which model and folder are meant."""
    of_a_model = args.baselines or args.output_embeddings or args.engine != "auto"
    if args.embeddings and not args.model and of_a_model:
        raise DeepRankingError(
            "--baselines, --output_embeddings and --engine are of a model; give --model too"
        )
    checks.output(args.output_embeddings)
    if args.folder is not None or args.dataset is not None:
        args.dataset = image_folders.one_folder(args.folder, args.dataset, "--dataset")
    for folder in filter(None, (args.dataset, args.gallery, args.queries)):
        if not args.embeddings or args.model:  # given vectors need no images
            checks.folder(folder)
    for file, what in ((args.triplets, "a triplet file"), (args.embeddings, "an .npz file")):
        if file and not Path(file).is_file():
            raise DeepRankingError(f"{file}: expected {what}, found none")
    if not args.embeddings and not args.model and Path(shared.MODEL).is_file():
        args.model = shared.MODEL
    if args.model or not args.embeddings:
        checks.network(args.model, args.weights)
    if args.look and (args.model or args.embeddings):
        raise DeepRankingError("--look: it is of the default network; leave it out, or what is measured")
    if not args.model and not args.embeddings:
        shared.tell(args, f"no {shared.MODEL} here, nor --model: by a description of these images")


def _evaluation(args: argparse.Namespace, given: list[str]) -> "tuple[str, Evaluation]":
    """Return the root of all images, and what is asked of them, named relative to it.

    Args:
        args: of the command.
        given: images that have vectors already; they are not looked for on the disk.
    """
    from deep_ranking.evaluation.evaluation import Evaluation
    from deep_ranking.evaluation.tasks import (
        RetrievalTask,
        TripletTask,
        class_of_each,
        distinct_images,
        images_of,
    )
    from deep_ranking.triplets.table import Triplets

    folders = [args.gallery, args.queries]
    if any(folders) and not all(folders):
        raise DeepRankingError(
            "expected --gallery and --queries together, found one; or give --dataset alone"
        )
    root = args.dataset or "dataset"
    if all(folders) and not args.dataset and not args.triplets:
        root = os.path.commonpath(map(os.path.abspath, folders))
    table = Triplets.load(args.triplets, root, set(given)) if args.triplets else None

    def classes_of(folder: str) -> dict[str, list[str]]:
        if given and not Path(folder).is_dir():
            among = _classes_among(given, image_folders.relative_name(folder, root))
            if not args.splits_are_classes:
                _refuse_splits(folder, among)
            return among
        return image_folders.classes_below(folder, root, args.exclude, args.splits_are_classes)

    classes: dict[str, list[str]] = {}
    if table or not all(folders):
        try:
            classes = classes_of(root)
        except DeepRankingError:
            if table is None:
                raise
            # Triplets need no folders of classes; they only have no score at top K then.
    triplets = retrieval = None
    if table:
        table = replace(table, images=[image_folders.relative_name(image, root) for image in table.images])
        triplets = TripletTask.of_table(table, classes)
    if all(folders):
        gallery, queries = map(classes_of, folders)
        if all(Path(folder).is_dir() for folder in folders):
            retrieval = RetrievalTask.of_files(queries, gallery, root)
        else:
            retrieval = RetrievalTask(queries, gallery)
    elif not table or any(len(images) > 1 for images in classes.values()):
        retrieval = RetrievalTask(classes, classes)
        if not given:
            told = "they find each other, which flatters: deep-ranking duplicates lists them"
            distinct_images(images_of(classes), class_of_each(classes), told, root)
    return root, Evaluation(triplets, retrieval, args.metrics)


def _classes_among(images: list[str], folder: str) -> dict[str, list[str]]:
    """Return class name -> its images, of those below a folder, by their names alone."""
    classes: dict[str, list[str]] = {}
    start = "" if folder == "." else f"{folder}/"
    for image in sorted(images):
        name, below, _ = image.removeprefix(start).partition("/")
        if below and image.startswith(start):
            classes.setdefault(name, []).append(image)
    if not classes:
        raise DeepRankingError(f"{folder}: expected such a folder, or vectors of images in it; found neither")
    return classes


def _refuse_splits(folder: str, classes: dict[str, list[str]]) -> None:
    from deep_ranking.images.find import refuse_splits

    try:
        refuse_splits(folder, classes)
    except DeepRankingError as error:
        raise DeepRankingError(f"{error}; or name two parts, by --gallery and --queries") from None


def _embedded(args: argparse.Namespace, root: str, images: list[str]) -> "Iterator[tuple[str, Embeddings]]":
    """Yield the model's embeddings and, if asked for, those of the baselines."""
    import numpy as np

    from deep_ranking.vectors import Embeddings, write_embeddings

    paths = [os.path.join(root, image) for image in images]  # noqa: PTH118 - kept as the triplets have it
    for number, (name, embedder) in enumerate(_systems(args, paths)):
        embeddings = Embeddings(np.array(images), embedder.embed_all(paths, quiet=False))
        if number == 0 and args.output_embeddings:
            write_embeddings(args.output_embeddings, embeddings)
        yield name, embeddings


def _systems(args: argparse.Namespace, paths: list[str]) -> "Iterator[tuple[str, Encoder]]":
    """Yield by name what is measured: the model, or a description of these images; and the baselines."""
    how = {"engine": args.engine, "precision": args.precision}
    if args.model and not args.baselines:
        yield "model", shared.encoder(args.model, **how)
        return
    if args.model:
        model = shared.embedding_model(args.model, **how)
        from deep_ranking.embedding.baselines import systems

        yield from systems(model, baselines=True)
        return
    shared.start_description(args.weights, args.engine)
    from deep_ranking.description.description import Description

    look = args.look or shared.LOOKS[0]
    yield "description", Description.fit(paths, look, args.weights, **how, quiet=args.quiet)
    if args.baselines:
        last_layer = shared.embedding_model(None, **how, weights=args.weights)
        from deep_ranking.embedding.baselines import colour_histogram

        yield "last layer alone", last_layer
        yield "colour histogram", colour_histogram(last_layer.size)
