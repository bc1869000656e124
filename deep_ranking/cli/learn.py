"""Learn from what people rated how an index is searched, in seconds, and without opening an image.

A small map on top of the index's vectors is learned from all its ratings, those of the page and those that
`ratings import` brought, and from a file of triplets, if one is given. Images that come later and queries go
through it too. Precision is cross-validated: on answers about other images than were learned from. If nothing
that is tried ranks those better, the index is searched as it was made. --undo takes back what was learned.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, places, shared
from deep_ranking.cli.parser import UsageError
from deep_ranking.errors import DeepRankingError

if TYPE_CHECKING:
    from deep_ranking.learning.learn import Lesson
    from deep_ranking.ratings.export import Judgements

EXAMPLES = {
    "photos": "from what was rated on the page of the folder photos",
    "photos --triplets rated.txt": "from a file too, whose names are relative to photos",
    "photos --undo": "as it was before anything was learned",
}
MAIN = ("triplets", "undo", "policy", "ratings", "index")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `learn`."""
    from deep_ranking.learning.settings import LessonSettings
    from deep_ranking.ratings.settings import POLICIES

    add = parser.add_argument
    add("place", nargs="?", metavar="PLACE", help="the folder of images, or its index, that learns")
    places.add_store(parser, "the same by a flag")
    add("--triplets", metavar="FILE", help="query,positive,negative a line, as `ratings export` writes them")
    shared.add_ratings(parser, "they were")
    about = "what raters who differ come to: what all prefer, what more than half prefer, or each answer"
    add("--policy", choices=POLICIES, default="majority", help=f"{about} (default: majority)")
    add("--undo", action="store_true", help="take back what was learned")
    shared.add_settings(parser, LessonSettings)
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Learn, or take back, and tell the gain."""
    place = args.index or args.place
    if place is None or (args.index and args.place):
        raise UsageError("expected one place: learn photos, or --index photos.index")
    if args.undo and args.triplets:
        raise UsageError("--undo: learns nothing; leave out --triplets")
    checks.index(place)
    from deep_ranking.learning.learn import forget, teach
    from deep_ranking.learning.settings import LessonSettings
    from deep_ranking.search.index import Index

    settings = LessonSettings().changed(vars(args))
    asked = places.typed(place)
    with Index.open(place) as index:
        if args.undo:
            learned = forget(index)
            told = "searched as it was made" if learned else "had learned nothing; searched as it was made"
            print(json.dumps({"index": index.store.name, "undone": learned}) if args.json else told)
            return
        lesson = teach(index, _judgements(args, place), settings)
        name = index.store.name
    if lesson.left_out:
        print(f"left out: {lesson.left_out:,} name images that the index does not have", file=sys.stderr)
    if args.json:
        result = {"index": name, **lesson.told, "learned": lesson.map is not None}
        print(json.dumps(result | {"groups": lesson.groups, "left_out": lesson.left_out}))
        return
    _print(lesson)
    shared.tell_next(args, f"search {asked} IMAGE --open", f"learn {asked} --undo")


def _judgements(args: argparse.Namespace, place: str) -> "Judgements":
    """Return those of the index, of the file of triplets, or both."""
    import numpy as np

    from deep_ranking.ratings.export import Judgements, read_judgements
    from deep_ranking.ratings.store import ratings_file

    files = [Path(args.triplets)] if args.triplets else []
    if args.ratings or not files:
        files.append(ratings_file(place, args.ratings))
    elif (own := _own(place)) is not None:
        files.append(own)
    found = [read_judgements(path, args.policy) for path in files]
    return Judgements(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _own(place: str) -> Path | None:
    from deep_ranking.ratings.store import ratings_file

    try:
        path = ratings_file(place, None)
    except DeepRankingError:  # an index on a server has none of its own
        return None
    return path if path.is_file() else None


def _print(lesson: "Lesson") -> None:
    before, after, gain = lesson.before, lesson.after, lesson.gain
    held = f"{lesson.triplets:,} answers, {lesson.groups:,} groups"
    if lesson.map is None:
        print(f"ranked right on answers held out: {before.value:.1%} ({held})")
        told = "no map that was tried ranks them better and lets none of them fall in a search"
        print(f"{told}, so the index is searched as it was made; rate more")
        return
    print(f"ranked right on answers held out: {before.value:.1%} -> {after.value:.1%} ({held})")
    print(f"gain: {100 * gain.value:+.1f} points (95% {100 * gain.low:+.1f} to {100 * gain.high:+.1f})")
