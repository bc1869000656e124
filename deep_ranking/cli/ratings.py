"""Count people's ratings, write what they come to as triplets, or bring judgements that exist to them.

`export` writes a triplet for each question on which the raters agree by the policy; those who answered that
both are similar, or both dissimilar, have stated no order. A name that ends in .csv gets the ratings one by
one, with raters and weights. `deep-ranking train` takes triplets together with the folder of images.

`import FORMAT` puts what others have gathered beside the ratings of the page; what is known of each format
stands in docs/judgements.md:
"""

import argparse
import json
import sys
from itertools import chain, islice
from pathlib import Path
from typing import Any

from deep_ranking.cli import checks, places, shared
from deep_ranking.cli.parser import UsageError, nearest
from deep_ranking.errors import DeepRankingError, expect, one_line
from deep_ranking.location import index_of

EXAMPLES = {
    "summary photos": "how much was rated of the folder photos",
    "export photos --output rated.txt": "what all raters agree on, as triplets",
    "import csv --source nights/data.csv --images nights --ratings nights.sqlite": "the judgements of NIGHTS",
}
MAIN = ("source", "images", "ratings", "output", "policy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ratings`."""
    from deep_ranking.ratings.settings import FORMATS, POLICIES, Reading

    width = max(map(len, FORMATS))
    formats = "\n".join(f"  {name:<{width}}  {about.about}" for name, about in FORMATS.items())
    parser.description = f"{(__doc__ or '').rstrip()}\n\n{formats}"
    add = parser.add_argument
    add("action", choices=("export", "summary", "import"), help="write triplets, count, or bring")
    about = "the folder of images, or its index, that was rated; of import, the format"
    add("place", nargs="?", metavar="PLACE|FORMAT", help=about)
    add("--source", metavar="PATH", help="of import: the file or folder of judgements")
    about = "of import: the folder of the images that are judged (default: that of the index)"
    add("--images", metavar="DIR", help=about)
    about = (
        "where they are kept, a file or the place of an index (default: ratings.sqlite in the index's folder)"
    )
    add("--ratings", metavar="FILE|PLACE", help=about)
    add("--output", default="triplets.txt", metavar="FILE", help="of export (default: triplets.txt)")
    about = (
        "what answers come to: unanimous, what all prefer; majority, what more than half prefer; all, each "
        "answer, contradictions too (default: unanimous)"
    )
    add("--policy", choices=POLICIES, help=about)
    about = "leave out questions with fewer raters; the paper had 3 (default: 1)"
    add("--min_raters", type=int, default=1, metavar="N", help=about)
    places.add_store(parser, "the place by a flag; of import, whose images alone are taken")
    about = (
        "of import: whose judgements these are, before the raters' own names (default: the source's name; of "
        "a .csv that was exported, nothing)"
    )
    add("--rater", metavar="NAME", help=about)
    shared.add_settings(parser.add_argument_group("what import has to be told"), Reading)
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Export, count, or import."""
    if args.action == "import":
        _import(args)
        return
    place = args.index or args.place
    if (args.index and args.place) or (place is None and args.ratings is None):
        raise UsageError(f"expected one place: ratings {args.action} photos, or --index photos.index")
    written = args.output if args.action == "export" else ""
    if written.endswith(".csv") and args.policy is not None:
        raise UsageError(
            "--policy: a .csv gets all ratings, one by one; leave it out, or choose another name"
        )
    expect("min_raters", args.min_raters >= 1, "1 or more", args.min_raters)
    path, names, folder = _kept_at(place, args.ratings)
    from deep_ranking.ratings.export import tally, within, write_csv
    from deep_ranking.ratings.settings import POLICIES, Policy
    from deep_ranking.ratings.store import RatingStore
    from deep_ranking.triplets import write_triplets

    if not path.is_file():
        typed = places.typed(str(place)) if place else "photos"
        raise DeepRankingError(f"{path}: no ratings there; rate some with: deep-ranking serve {typed}")
    with RatingStore(path) as store:
        ratings = store.ratings()
    counted = tally(ratings)
    policy: Policy = args.policy or POLICIES[0]
    triplets = [triplet for triplet, _ in counted.agreed(policy, args.min_raters)]
    kept = triplets if names is None else within(triplets, names)
    agreement = counted.agreement
    result: dict[str, Any] = {
        "ratings": len(ratings),
        "raters": len({rating.rater for rating in ratings}),
        "questions": len(counted.preferences),
        "unanimous": len(counted.unanimous(args.min_raters)),
        "disputed": counted.disputed,
        "agreement": agreement.value if agreement.questions else None,
        "ceiling": agreement.ceiling if agreement.questions else None,
        "triplets": len(kept),
        "dataset": folder,
    }
    if written.endswith(".csv"):
        known = None if names is None else {*names}
        there = [r for r in ratings if known is None or known.issuperset((r.query, r.a, r.b))]
        result |= {"output": written, "written": write_csv(written, there)}
    elif written:
        if not kept:
            raise DeepRankingError(
                f"{path}: of {len(counted.preferences)} questions rated, none has {args.min_raters} or more "
                f"raters {_WHO[policy]} the same image{'' if names is None else ' of the index'}; rate more"
                + (", or lower --min_raters" if args.min_raters > 1 else "")
            )
        result |= {"output": written, "written": write_triplets(written, kept)}
    if lost := len(triplets) - len(kept):
        noun = "triplet" if lost == 1 else "triplets"
        print(f"left out: {lost} {noun} named images no longer in the index", file=sys.stderr)
    _tell_export(args, result, agreement)


_WHO = {"unanimous": "who all prefer", "majority": "more than half of whom prefer", "all": "who prefer"}


def _tell_export(args: argparse.Namespace, result: dict[str, Any], agreement: Any) -> None:
    if args.json:
        print(json.dumps(result))
        return
    print(
        f"{result['ratings']:,} ratings by {result['raters']:,} raters of {result['questions']:,} questions: "
        f"{result['unanimous']:,} unanimous, {result['disputed']:,} disputed"
    )
    if agreement.questions:
        low, high = agreement.ceiling
        print(
            f"two raters agree on {agreement.value:.1%} (of {agreement.questions:,} questions with two or "
            f"more): no model can be right on more than {low:.1%} to {high:.1%} of their single answers"
        )
    if "output" in result:
        what = "ratings" if result["output"].endswith(".csv") else "triplets"
        learn = "" if what == "ratings" else "; learn from them with:"
        print(f"{result['written']:,} {what} in {result['output']}{learn}")
        if learn:
            place = places.typed(args.index or args.place or "PLACE")
            print(f"  deep-ranking learn {place} --triplets {places.typed(result['output'])}")


def _kept_at(place: str | None, ratings: str | None) -> tuple[Path, list[str] | None, str | None]:
    """Return the file of the ratings; the names in the index, None without one; the folder of its images."""
    if place is None:
        place = index_of(str(ratings))
        if place is None:
            return Path(str(ratings)), None, None
    checks.index(place)
    from deep_ranking.ratings.store import ratings_file
    from deep_ranking.search.index import Index

    its_own = ratings and index_of(ratings)
    path = ratings_file(its_own, None) if its_own else ratings_file(place, ratings)
    with Index.open(place) as index:
        return path, [image.path for image in index.store.images()], index.metadata.get("images")


def _import(args: argparse.Namespace) -> None:
    from deep_ranking.ratings.settings import FORMATS, Reading

    if args.place not in FORMATS:
        found = repr(args.place) if args.place else "none"
        near = nearest(args.place or "", FORMATS)
        raise UsageError(f"expected a format: ratings import {'|'.join(FORMATS)}; found {found}{near}")
    if args.source is None:
        raise UsageError(f"expected --source: ratings import {args.place} --source FILE --images DIR")
    reading = Reading().changed(vars(args))
    images = args.images or (args.source if args.place == "bapps" else None)
    place = args.index or (images and args.ratings is None and index_of(images)) or None
    if place is None and args.ratings is None:
        raise UsageError(
            "expected --ratings: a file to keep them in, or a folder of images with an index; or --index"
        )
    path, names, folder = _kept_at(place, args.ratings)
    if images is None and folder is None:
        raise UsageError("expected --images: the folder of the images that are judged")
    from deep_ranking.ratings.export import is_exported
    from deep_ranking.ratings.formats import read_format
    from deep_ranking.ratings.gather import NOT_THERE, Images, import_judgements, rater_name
    from deep_ranking.ratings.store import RatingStore

    source = Path(args.source).absolute()
    told = "/".join(source.parts[-2:]) if source.is_dir() else source.name
    finder = Images(images or folder or "", reading, folder, names)
    judgements = read_format(args.place, args.source, reading)
    first = [*islice(judgements, 1)]  # so that what is wrong with the source is said before a file is made
    with RatingStore(path) as store:
        name = rater_name(told) if args.rater is None else args.rater
        as_named = args.place == "csv" and args.rater is None and is_exported(source)
        counts = import_judgements(chain(first, judgements), finder, store, name, as_named)
    result = {**vars(counts), "missing": dict(finder.missing.most_common(3)), "output": str(path)}
    if args.json:
        print(json.dumps(result))
        return
    print(one_line(counts.first) or "no judgement states an order")
    print(
        f"{counts.judgements:,} judgements kept in {path}, {counts.new:,} ratings new; {counts.ties:,} ties, "
        f"{counts.repeats:,} repeats, {counts.contradictions:,} contradictions"
    )
    for why, count in counts.left_out.most_common():
        which = ", ".join(map(repr, result["missing"])) if why == NOT_THERE else ""
        print(f"left out: {count:,}, {why}{which and f' ({which})'}")
    if finder.several:
        name, number = next(iter(finder.several.items()))
        many = f"{len(finder.several):,} items are folders of several images ({name}: {number})"
        print(f"{many}; --item_images says which stands for them")
    at = f"--ratings {places.typed(str(path))}" if names is None else places.typed(str(place or args.ratings))
    shared.tell_next(args, f"ratings summary {at}", f"ratings export {at} --output rated.txt")
