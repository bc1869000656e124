"""Print the distance between two images, 0 (the same) to 2 (opposite); the smaller, the more similar.

In a folder that has an index, or with --index, also what the distance means: closer than how many pairs of
its images. The last line of standard output is the distance.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, places, shared
from deep_ranking.cli.parser import UsageError
from deep_ranking.errors import DeepRankingError
from deep_ranking.location import index_of

if TYPE_CHECKING:
    import numpy as np


EXAMPLES = {
    "a.jpg b.jpg": "the distance; nothing to train",
    "a.jpg b.jpg --index photos": "and what it means among the images of the folder photos",
    "--model deepranking.h5 --image1 a.jpg --image2 b.jpg": "by a model of your own",
}
MAIN = ("model", "index", "image1", "image2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="the two images")
    shared.add_model(parser, "a trained model, or a weights file of the blog's code")
    places.add_store(
        parser, "among whose images the distance is placed (default: that of the images' folder)"
    )
    parser.add_argument("--image1", metavar="IMAGE", help="an image, by a flag")
    parser.add_argument("--image2", metavar="IMAGE", help="the other")
    shared.add_weights(parser)
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Embed both and print their Euclidean distance, as the last line."""
    images = [*args.images, *filter(None, (args.image1, args.image2))]
    if len(images) != 2:
        raise UsageError(
            f"expected two images: similarity a.jpg b.jpg, or --image1 and --image2; found {len(images)}"
        )
    checks.images(images)
    checks.network(args.model, args.weights)
    model, place = args.model, args.index
    if place is not None:
        checks.index(place)
    elif model is None:
        place = next(filter(None, map(_index_above, images)), None)
        if place is None and Path(shared.MODEL).is_file():
            model = shared.MODEL
            shared.tell(args, f"measured by {model}, which is in this folder")
    distance, closer, name = _measured(args, place, model, images)
    if args.json:
        share = {} if closer is None else {"closer_than": closer, "index": name}
        print(json.dumps({"image1": images[0], "image2": images[1], "distance": distance, **share}))
        return
    if closer is not None and not args.quiet:
        shared.tell(args, f"closer than {_share(closer)} of the pairs of images in {name}")
    print(f"{distance:.6f}")
    if not name:
        shared.tell(args, "0 is the same image, 2 the opposite; an index of your folder says what is near:")
        shared.tell_next(args, "index FOLDER")
    else:
        shared.tell_next(args, f"search {places.typed(name)} {places.typed(images[0])}")


def _share(part: float) -> str:
    """Return a share of many in %, and never 100% where it is not all."""
    return "all" if part == 1 else "more than 99.9%" if part > 0.999 else f"{part:.1%}"


def _index_above(image: str) -> str | None:
    """Return the index of the nearest folder above an image that has one."""
    return next(filter(None, (index_of(str(f)) for f in Path(image).absolute().parents)), None)


def _measured(
    args: argparse.Namespace, place: str | None, model: str | None, images: list[str]
) -> tuple[float, float | None, str]:
    """Return the distance and, of an index, the share of its pairs that are farther apart, and its name."""
    if place is not None:
        try:
            return _among(args, place, images)
        except DeepRankingError as error:
            if args.index is not None:
                raise
            shared.tell(args, f"without the index of the folder: {error}")  # nobody asked for it
    return _alone(args, model, images)


def _alone(args: argparse.Namespace, model: str | None, images: list[str]) -> tuple[float, None, str]:
    if model is not None:
        network = shared.encoder(model)
    else:
        shared.start_description(args.weights)
        from deep_ranking.description.description import Description

        network = Description.fit(weights=args.weights)  # of any images: the prior alone
    return _apart(*map(network.embed_image, images)), None, ""


def _among(args: argparse.Namespace, place: str, images: list[str]) -> tuple[float, float | None, str]:
    from deep_ranking.search.index import Index
    from deep_ranking.search.measure import PairDistances

    with Index.open(place) as index:
        name = index.store.name
        index.embedder = lambda: shared.embedder_of(args, name, index.metadata)
        distance = _apart(*index.vectors(images))
        if index.snapshot.remote or len(index) < 2:  # all vectors would have to come here
            return distance, None, name
        return distance, PairDistances(index.snapshot.matrix, most=2_000).closer_than(distance), name


def _apart(one: "np.ndarray", other: "np.ndarray") -> float:
    import numpy as np

    return float(np.linalg.norm(one - other))
