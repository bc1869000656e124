"""Open a local page to look at an index: search by images, compare, rate, and see a map.

It is served to this machine alone, and fetches nothing from outside. Ratings are kept beside the index;
`deep-ranking ratings export` makes triplets of them.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, places, shared

if TYPE_CHECKING:
    from deep_ranking.embedding.encoder import Encoder
    from deep_ranking.web import Settings
    from deep_ranking.web.behind import Later

EXAMPLES = {
    "photos --open": "the folder photos, in the browser",
    "photos.index --port 0": "an index that is there, at any free port",
}
MAIN = ("open", "model", "port", "ratings", "index")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `serve`."""
    places.add_place(parser, "what is served")
    add = parser.add_argument
    about = "the network that embeds uploads (default: the one the index remembers, if it is there)"
    add("--model", metavar="FILE", help=about)
    shared.add_weights(parser)
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


def _settings(args: argparse.Namespace, place: str) -> "Settings":
    """Return what is served at a place, after a look at all flags."""
    from deep_ranking.web import Settings
    from deep_ranking.web.app import check_port

    check_port(args.port)
    names = ("ratings", "host", "public_url", "max_uploads", "upload_minutes", "seed")
    return Settings(index=place, **{name: getattr(args, name) for name in names})


def run(args: argparse.Namespace) -> None:
    """Load, and serve until interrupted."""
    from deep_ranking.cli.index import place_of

    checks.network(args.model, args.weights)
    place, made = place_of(args, "serve", partial(_settings, args))
    from deep_ranking.search.stores.registry import place_name
    from deep_ranking.web import create_app
    from deep_ranking.web.app import serve

    settings = _settings(args, place)
    app = create_app(settings, made or _embedder(args, place))

    def started(address: str) -> None:
        name = place_name(args.index or args.place)
        shown = f" as {settings.public.address}" if settings.public else ""
        print(f"serving {name} at {address}{shown} (Ctrl-C ends it)", flush=True)
        if not args.quiet:
            print(
                f"next: deep-ranking ratings export {places.asked(args)}  (what is rated there)", flush=True
            )
        if args.open:
            import webbrowser

            webbrowser.open(address)

    try:
        serve(app, args.host, args.port, started)
    except KeyboardInterrupt as stop:
        stop.add_note("every answer that was given is kept")
        raise


def _embedder(args: argparse.Namespace, place: str) -> "Later | None":
    """Return what embeds uploads, which is loaded while the page is served; what is cheap to see, now."""
    from deep_ranking.search.index import Index
    from deep_ranking.web.behind import Later

    with Index.open(place) as index:
        name, metadata = index.store.name, dict(index.metadata)
    remembered = metadata.get("model")
    if not args.model and "description" not in metadata and not Path(remembered or "").is_file():
        where = f" ({remembered} is not there)" if remembered else ""
        print(f"no model{where}: uploads cannot be searched by; --model FILE brings it", file=sys.stderr)
        return None
    shared.model_of(name, metadata, args.model)

    def load() -> "Encoder":
        embedder = shared.embedder_of(args, name, metadata)
        with Index.open(place) as index:
            index.check_model(embedder.fingerprint, embedder.dimension)
        return embedder

    return Later(load)
