"""List groups of images that are alike or the same: exact copies, and those whose vectors are near.

Nothing is deleted.
"""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from deep_ranking.cli import places, shared
from deep_ranking.errors import one_line

if TYPE_CHECKING:
    from deep_ranking.search.duplicates import Group

EXAMPLES = {
    "photos": "what is twice in the folder photos, or nearly",
    "photos --open": "the same as pictures, in the browser",
    "photos --within 0.2": "less alike than that, too",
}
MAIN = ("within", "open", "html", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `duplicates`."""
    places.add_place(parser, "what is looked through")
    about = "images this near are alike (default: 0.1)"
    parser.add_argument("--within", type=float, default=0.1, metavar="D", help=about)
    parser.add_argument("--open", action="store_true", help="show the groups as pictures, in the browser")
    output = parser.add_mutually_exclusive_group()
    shared.add_json(output, "the groups as JSON")
    output.add_argument("--html", metavar="FILE", help="write a page with thumbnails")
    parser.add_argument("--model", metavar="FILE", help="the network of an index that is made now")
    shared.add_weights(parser)


def run(args: argparse.Namespace) -> None:
    """Find the groups, and print, write or show them."""
    from deep_ranking.cli.index import place_of

    place, _ = place_of(args, "duplicates")
    from deep_ranking.search.index import Index

    with Index.open(place) as index:
        groups = index.duplicates(args.within)
        folder = index.metadata.get("images", "")
    if args.json:
        found = [_as_dicts(group) for group in groups]
        print(json.dumps({"images": folder, "within": args.within, "groups": found}))
    elif not args.html:
        _print_table(groups, args.within)
    if args.open or args.html:
        from deep_ranking.display.pictures import duplicates_page
        from deep_ranking.progress import progress

        page = duplicates_page(progress(groups, "drawing", "groups"), args.within, folder)
        shared.write_page(page, args.html, "duplicates", args.open)
        if args.html:
            print(args.html)
    asked = places.asked(args)
    more = [] if args.open or args.html or not groups else [f"duplicates {asked} --open"]
    shared.tell_next(args, *more, f"serve {asked}")


def _as_dicts(group: "Group") -> list[dict]:
    return [asdict(image) | {"copy": image.path in group.copies} for image in group.images]


def _print_table(groups: "list[Group]", within: float) -> None:
    for number, group in enumerate(groups, 1):
        print(f"group {number}: {len(group.images)} images")
        for image in group.images:
            kind = "copy" if image.path in group.copies else "    "
            print(f"  {image.distance:.6f}  {kind}  {one_line(image.path)}")
    images = sum(len(group.images) for group in groups)
    print(f"{len(groups)} {'group' if len(groups) == 1 else 'groups'} of {images} images within {within:g}")
