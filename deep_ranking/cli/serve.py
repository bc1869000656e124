"""Open a local page to look at an index: search by images, compare, rate, and see a map.

It is served to this machine alone, and fetches nothing from outside. Ratings are kept beside the index;
`deep-ranking ratings export` makes triplets of them.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, shared

if TYPE_CHECKING:
    from deep_ranking.embedding import Model

EXAMPLES = {
    "photos --open": "the folder photos, in the browser",
    "photos.index --port 0": "an index that is there, at any free port",
}
MAIN = ("open", "model", "port", "ratings", "index")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `serve`."""
    shared.add_place(parser, "what is served")
    add = parser.add_argument
    about = "the network that embeds uploads (default: the one the index remembers, if it is there)"
    add("--model", metavar="FILE", help=about)
    shared.add_weights(parser)
    shared.add_ratings(parser, "ratings are")
    about = "the address to listen on (default: 127.0.0.1, this machine alone)"
    add("--host", default="127.0.0.1", help=about)
    add("--port", type=int, default=8000, help="0 for any that is free (default: 8000)")
    shared.add_seed(parser, "of the questions")
    add("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> None:
    """Load, and serve until interrupted."""
    from deep_ranking.cli.index import place_of

    checks.network(args.model, args.weights)
    place, made = place_of(args, "serve")
    from deep_ranking.search.stores.registry import place_name
    from deep_ranking.web import Settings, create_app
    from deep_ranking.web.app import serve

    settings = Settings(index=place, ratings=args.ratings, host=args.host, seed=args.seed)
    app = create_app(settings, made or _embedder(args, place))

    def started(address: str) -> None:
        asked = args.place or f"--index {args.index}"
        name = place_name(args.index or args.place)
        print(f"serving {name} at {address} (Ctrl-C ends it)", flush=True)
        if not args.quiet:
            print(f"next: deep-ranking ratings export {asked}  (what is rated there)", flush=True)
        if args.open:
            import webbrowser

            webbrowser.open(address)

    try:
        serve(app, args.host, args.port, started)
    except KeyboardInterrupt as stop:
        stop.add_note("every answer that was given is kept")
        raise


def _embedder(args: argparse.Namespace, place: str) -> "Model | None":
    from deep_ranking.search.index import Index

    with Index.open(place) as index:
        name, metadata = index.store.name, dict(index.metadata)
    remembered = metadata.get("model")
    if not args.model and remembered != shared.PRETRAINED and not Path(remembered or "").is_file():
        where = f" ({remembered} is not there)" if remembered else ""
        print(f"no model{where}: uploads cannot be searched by; --model FILE brings it", file=sys.stderr)
        return None
    return shared.embedding_model(shared.model_of(name, metadata, args.model), weights=args.weights)
