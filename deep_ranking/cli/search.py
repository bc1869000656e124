"""Find the images of an index that are nearest to one or several images.

An image that is in the index, under its path there or as a file of the same content, needs no network.
"""

import argparse
import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deep_ranking.search.query import Embedder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `search`."""
    from deep_ranking.cli.shared import add_store

    add_store(parser, "the index to search")
    parser.add_argument(
        "--image",
        required=True,
        nargs="+",
        metavar="FILE",
        help="the query; of several, their mean is searched",
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many; 0 for all (default: 10)")
    parser.add_argument("--bottom", action="store_true", help="the farthest instead of the nearest")
    parser.add_argument("--within", type=float, metavar="D", help="only at this distance or nearer")
    parser.add_argument("--beyond", type=float, metavar="D", help="only at this distance or farther")
    parser.add_argument("--label", help="only images with this label (the first folder of their path)")
    parser.add_argument("--folder", metavar="DIR", help="only images below this folder of the images")
    parser.add_argument(
        "--leave_self_out", action="store_true", help="leave out the query and exact copies of it"
    )
    parser.add_argument(
        "--approximate", choices=("clustered", "hnsw"), help="faster on many images, and may miss some"
    )
    parser.add_argument("--probe", type=int, metavar="N", help="how much it looks at (default: as measured)")
    parser.add_argument("--model", metavar="FILE", help="the network (default: the one the index remembers)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Search, and print the hits."""
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.search.index import Index
    from deep_ranking.search.options import Options

    options = Options(
        label=args.label,
        folder=args.folder,
        within=args.within,
        beyond=args.beyond,
        bottom=args.bottom,
        leave_self_out=args.leave_self_out,
        approximate=args.approximate,
        probe=args.probe,
    )
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
    width = max((len(hit.label) for hit in hits), default=0)
    for hit in hits:
        print(f"{hit.distance:.6f}  {hit.label:<{width}}  {hit.path}")


def _load(model: str | None) -> "Embedder":
    from deep_ranking.errors import DeepRankingError

    if not model:
        raise DeepRankingError("the image is not in the index; expected --model to embed it, found none")
    from deep_ranking.cli.shared import import_keras

    import_keras()
    from deep_ranking.embedding import Model

    return Model.load(model)
