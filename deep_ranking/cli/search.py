"""Find the images of an index that are nearest to one or several images.

An image that is in the index, under its path there or as a file of the same content, needs no network.
"""

import argparse
import json
import os
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, places, shared
from deep_ranking.cli.parser import UsageError
from deep_ranking.errors import DeepRankingError, one_line
from deep_ranking.location import index_of

if TYPE_CHECKING:
    from deep_ranking.embedding.encoder import Encoder
    from deep_ranking.search.index import Index
    from deep_ranking.search.options import Options, Results

EXAMPLES = {
    "photos new.jpg": "the ten images of photos that are nearest",
    "photos new.jpg --open": "the same as pictures, in the browser",
    "photos.index a.jpg b.jpg --top 30": "near to both, in an index that is there",
}
MAIN = ("top", "open", "folder", "within", "model")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `search`."""
    places.add_place(parser, "what is searched")
    add = parser.add_argument
    about = "the query, a file or a path in the index; of several, their mean is searched"
    add("images", nargs="*", metavar="IMAGE", help=about)
    add("--image", nargs="+", metavar="FILE", help="the same by a flag")
    add("--open", action="store_true", help="show the hits as pictures, in the browser")
    add("--html", metavar="FILE", help="write the page of pictures here")
    add("--top", type=int, default=10, metavar="N", help="how many; 0 for all (default: 10)")
    add = parser.add_argument_group("which images may be found").add_argument
    add("--bottom", action="store_true", help="the farthest instead of the nearest")
    add("--within", type=float, metavar="D", help="only at this distance or nearer")
    add("--beyond", type=float, metavar="D", help="only at this distance or farther")
    add("--label", help="only images with this label (see index --labels)")
    add("--folder", metavar="DIR", help="only images below this folder of the images")
    add("--leave_self_out", action="store_true", help="leave out the query and exact copies of it")
    add = parser.add_argument_group("how").add_argument
    add("--approximate", choices=("clustered", "hnsw"), help="faster on many images, and may miss some")
    add("--probe", type=int, metavar="N", help="how much it looks at (default: as measured)")
    add("--model", metavar="FILE", help="the network (default: the one the index remembers)")
    shared.add_weights(parser)
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Search, and print or show the hits."""
    from deep_ranking.cli.index import place_of

    checks.output(args.html)
    if args.model or args.weights:
        checks.network(args.model, args.weights)
    # Where the place is a flag, all that stands alone is images.
    alone = [args.place] if args.index is not None and args.place is not None else []
    if alone:
        args.place = None
    queries = [*alone, *args.images, *(args.image or [])]
    is_new = args.place and not index_of(args.place)
    if is_new:
        checks.folder(args.place)
    if not queries and (args.place or args.index):
        raise UsageError("expected an image to look for: search PLACE IMAGE, found none")
    if is_new:
        checks.images(queries)  # before an index is made
    from deep_ranking.search.options import Options, chosen

    options = Options(**{field.name: getattr(args, field.name) for field in fields(Options)})
    chosen(args.top or None, options, {})
    place, embedder = place_of(args, "search")

    from deep_ranking.search.index import Index

    with Index.open(place, embedder) as index:
        if args.model and embedder is None:  # also where no image has to be embedded
            shared.model_of(index.store.name, index.metadata, args.model)
        if embedder is None:
            index.embedder = partial(_load, args, index, queries)
        if not len(index):
            raise DeepRankingError(
                f"{index.store.name}: the index is empty; put images into it with: "
                f"deep-ranking index FOLDER --index {index.store.name}"
            )
        options = _with_folder(options, index)
        hits = index.search(queries, args.top or None, options)
        if not hits:
            _tell_nothing(args, index, options, queries)
        folder = index.metadata.get("images")
        if not args.json and not args.quiet:
            _tell_changes(args, index)
    if args.json:
        print(json.dumps({"query": queries, "images": folder, "hits": [hit._asdict() for hit in hits]}))
    else:
        labels = [one_line(hit.label) for hit in hits]
        width = max(map(len, labels), default=0)
        for hit, name in zip(hits, labels, strict=True):
            label = f"{name:<{width}}  " if width else ""  # many an index has none
            print(f"{hit.distance:.6f}  {label}{one_line(hit.path)}")
    if args.open or args.html:
        _show(hits, args)
    asked = places.asked(args)
    more = [] if args.open or args.html else [f"search {asked} {places.typed(queries[0])} --open"]
    shared.tell_next(args, *more, f"duplicates {asked}", f"serve {asked}")


def _with_folder(options: "Options", index: "Index") -> "Options":
    """Take a folder that is typed as it lies on the disk for the one of the index that it is."""
    base, folder = index.metadata.get("images"), options.folder
    if folder is None or not base or index.snapshot.has_folder(folder) or not Path(folder).is_dir():
        return options
    below = Path(os.path.relpath(Path(folder).resolve(), base)).as_posix()
    return options if below.startswith("..") else replace(options, folder=below.strip("."))


def _tell_nothing(args: argparse.Namespace, index: "Index", options: "Options", queries: list[str]) -> None:
    """Say that nothing lies between the bounds given, and what the nearest is."""
    nearest = index.search(queries, 1, replace(options, within=None, beyond=None))
    told = f"; the nearest lies at {nearest[0].distance:.6f}" if nearest and not options.bottom else ""
    shared.tell(args, f"nothing found within these bounds{told}")


def _tell_changes(args: argparse.Namespace, index: "Index") -> None:
    """Say what has come to the folder, and gone from it, since the index was made."""
    from deep_ranking.search.following import changed_since

    new, gone = changed_since(index)
    if new or gone:
        shared.tell(
            args,
            f"{new:,} new and {gone:,} gone or renamed in the folder since it was indexed; to follow: "
            f"deep-ranking index {places.asked(args)}",
        )


def _load(args: argparse.Namespace, index: "Index", queries: list[str]) -> "Encoder":
    from deep_ranking.containers import is_contained

    checks.images([query for query in queries if Path(query).is_file() or is_contained(query)])
    return shared.embedder_of(args, index.store.name, index.metadata)


def _show(hits: "Results", args: argparse.Namespace) -> None:
    from deep_ranking.display.pictures import pictures_page
    from deep_ranking.display.show import show

    page = pictures_page(show(hits, first=max(1, len(hits))), "Search")
    shared.write_page(page, args.html, "search", args.open)
    if args.html:
        shared.tell(args, f"as pictures: {args.html}")
