"""Count the ratings that were given on the page, or write the unanimous ones as a triplet file.

`export` writes the triplets of which all raters prefer the same candidate; questions to which anyone answered
that both are similar, or both dissimilar, give none. `deep-ranking train` takes the file together with the
folder of images that the index was made from.
"""

import argparse
import json
import sys

from deep_ranking.cli import checks, places, shared
from deep_ranking.cli.parser import UsageError
from deep_ranking.errors import DeepRankingError, expect

EXAMPLES = {
    "summary photos": "how much was rated of the folder photos",
    "export photos --output rated.txt": "what all raters agree on, as triplets",
}
MAIN = ("output", "min_raters", "ratings", "index")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ratings`."""
    add = parser.add_argument
    add("action", choices=("export", "summary"), help="write triplets, or count")
    add("place", nargs="?", metavar="PLACE", help="the folder of images, or its index, that was rated")
    places.add_store(parser, "the same by a flag")
    shared.add_ratings(parser, "they were")
    add("--output", default="triplets.txt", metavar="FILE", help="of export (default: triplets.txt)")
    about = "leave out questions with fewer raters; the paper had 3 (default: 1)"
    add("--min_raters", type=int, default=1, metavar="N", help=about)
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Export, or count."""
    place = args.index or args.place
    if place is None or (args.index and args.place):
        raise UsageError("expected one place: ratings summary photos, or --index photos.index")
    checks.index(place)
    from deep_ranking.ratings import RatingStore, tally
    from deep_ranking.ratings.export import within
    from deep_ranking.ratings.store import ratings_file
    from deep_ranking.search.index import Index
    from deep_ranking.search.stores.registry import place_name
    from deep_ranking.triplets import write_triplets

    expect("min_raters", args.min_raters >= 1, "1 or more", args.min_raters)
    path = ratings_file(place, args.ratings)
    with Index.open(place) as index:
        paths, folder = [image.path for image in index.store.images()], index.metadata.get("images")
    if not path.is_file():
        raise DeepRankingError(
            f"{path}: no ratings there; rate some with: deep-ranking serve {place_name(place)}"
        )
    with RatingStore(path) as store:
        ratings = store.ratings()
    counted = tally(ratings)
    triplets = counted.unanimous(args.min_raters)
    kept = within(triplets, paths)
    result = {
        "ratings": len(ratings),
        "raters": len({rating.rater for rating in ratings}),
        "questions": len(counted.preferences),
        "unanimous": len(triplets),
        "disputed": counted.disputed,
        "triplets": len(kept),
        "dataset": folder,
    }
    if args.action == "export":
        if not kept:
            raise DeepRankingError(
                f"{path}: of {len(counted.preferences)} questions rated, none has {args.min_raters} or more "
                "raters who all prefer the same image of the index; rate more"
                + (", or lower --min_raters" if args.min_raters > 1 else "")
            )
        write_triplets(args.output, kept)
        result["output"] = args.output
    if lost := len(triplets) - len(kept):
        noun = "triplet" if lost == 1 else "triplets"
        print(f"left out: {lost} {noun} named images no longer in the index", file=sys.stderr)
    if args.json:
        print(json.dumps(result))
        return
    print(
        f"{result['ratings']:,} ratings by {result['raters']:,} raters of {result['questions']:,} questions: "
        f"{result['unanimous']:,} unanimous, {result['disputed']:,} disputed"
    )
    if args.action == "export":
        print(f"{len(kept):,} triplets in {args.output}; train on them with:")
        print(f"  deep-ranking train --dataset {folder or 'FOLDER'} --triplets {args.output}")
