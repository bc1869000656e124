"""Find the images of an index that are nearest to one or several images.

An image that is in the index, under its path there or as a file of the same content, needs no network.
"""

import argparse
import json
from dataclasses import asdict, fields
from functools import partial
from typing import TYPE_CHECKING

from deep_ranking.cli import shared
from deep_ranking.errors import DeepRankingError, one_line

if TYPE_CHECKING:
    from deep_ranking.embedding import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `search`."""
    shared.add_store(parser, "the index to search")
    add = parser.add_argument
    about = "the query; of several, their mean is searched"
    add("--image", required=True, nargs="+", metavar="FILE", help=about)
    add("--top", type=int, default=10, metavar="N", help="how many; 0 for all (default: 10)")
    add("--bottom", action="store_true", help="the farthest instead of the nearest")
    add("--within", type=float, metavar="D", help="only at this distance or nearer")
    add("--beyond", type=float, metavar="D", help="only at this distance or farther")
    add("--label", help="only images with this label (the first folder of their path)")
    add("--folder", metavar="DIR", help="only images below this folder of the images")
    add("--leave_self_out", action="store_true", help="leave out the query and exact copies of it")
    add("--approximate", choices=("clustered", "hnsw"), help="faster on many images, and may miss some")
    add("--probe", type=int, metavar="N", help="how much it looks at (default: as measured)")
    add("--model", metavar="FILE", help="the network (default: the one the index remembers)")
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Search, and print the hits."""
    from deep_ranking.search.index import Index
    from deep_ranking.search.options import Options

    options = Options(**{field.name: getattr(args, field.name) for field in fields(Options)})
    with Index.open(args.index) as index:
        index.embedder = partial(_load, args.model or index.metadata.get("model"))
        if not len(index):
            raise DeepRankingError(
                f"{index.store.name}: the index is empty; put images into it with: "
                f"deep-ranking index --index {index.store.name} --model MODEL --images FOLDER"
            )
        hits = index.search(args.image, None if args.top == 0 else args.top, options)
        folder = index.metadata.get("images")
    if args.json:
        print(json.dumps({"query": args.image, "images": folder, "hits": [asdict(hit) for hit in hits]}))
        return
    labels = [one_line(hit.label) for hit in hits]
    width = max(map(len, labels), default=0)
    for hit, label in zip(hits, labels, strict=True):
        print(f"{hit.distance:.6f}  {label:<{width}}  {one_line(hit.path)}")


def _load(model: str | None) -> "Model":
    if not model:
        raise DeepRankingError("the image is not in the index; expected --model to embed it, found none")
    return shared.embedding_model(model)
