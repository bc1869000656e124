"""Open a local page to look at an index: search by images, compare, rate, and see a map.

It is served to this machine alone, and fetches nothing from outside. Ratings are kept beside the index;
`deep-ranking ratings export` makes triplets of them.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import shared

if TYPE_CHECKING:
    from deep_ranking.embedding import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `serve`."""
    shared.add_store(parser, "the index to serve")
    add = parser.add_argument
    about = "the network that embeds uploads (default: the one the index remembers, if it is there)"
    add("--model", metavar="FILE", help=about)
    shared.add_ratings(parser, "ratings are")
    about = "the address to listen on (default: 127.0.0.1, this machine alone)"
    add("--host", default="127.0.0.1", help=about)
    add("--port", type=int, default=8000, help="0 for any that is free (default: 8000)")
    about = "the address that people type, where a proxy stands before it: https://images.example/similar"
    add("--public_url", metavar="URL", help=about)
    about = "how many uploads are kept in memory (default: 64)"
    add("--max_uploads", type=int, default=64, metavar="N", help=about)
    about = "after which an upload is forgotten (default: 60)"
    add("--upload_minutes", type=float, default=60.0, metavar="M", help=about)
    shared.add_seed(parser, "of the questions")
    add("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace) -> None:
    """Load, and serve until interrupted."""
    from deep_ranking.search.stores.registry import place_name
    from deep_ranking.web import Settings, create_app
    from deep_ranking.web.app import serve

    names = ("index", "ratings", "host", "public_url", "max_uploads", "upload_minutes", "seed")
    settings = Settings(**{name: getattr(args, name) for name in names})
    app = create_app(settings, _embedder(args.index, args.model))

    def started(address: str) -> None:
        shown = f" as {settings.public.address}" if settings.public else ""
        print(f"serving {place_name(args.index)} at {address}{shown} (Ctrl-C ends it)", flush=True)
        if args.open:
            import webbrowser

            webbrowser.open(address)

    try:
        serve(app, args.host, args.port, started)
    except KeyboardInterrupt as stop:
        stop.add_note("every answer that was given is kept")
        raise


def _embedder(index: str, model: str | None) -> "Model | None":
    from deep_ranking.search.index import Index

    if model is None:
        with Index.open(index) as opened:
            remembered = opened.metadata.get("model")
        if remembered is None or not Path(remembered).is_file():
            where = f" ({remembered} is not there)" if remembered else ""
            print(f"no model{where}: uploads cannot be searched by; --model FILE brings it", file=sys.stderr)
            return None
        model = remembered
    return shared.embedding_model(model)
