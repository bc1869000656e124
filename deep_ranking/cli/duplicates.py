"""List groups of images that are copies of one picture, and which one of each to keep.

By default the pixels decide: copies byte for byte, and images that were saved again, resized, recoloured,
cropped, framed, mirrored or turned, or that stand in a screenshot. With --verify, more pairs are looked at.
With --within 0.2, say, the distances of the vectors decide. A group is no chain: all of it is near one image.
Nothing is deleted.
"""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from deep_ranking.cli import checks, places, shared
from deep_ranking.errors import one_line

if TYPE_CHECKING:
    from deep_ranking.search.groups import Group

EXAMPLES = {
    "photos": "what is twice in the folder photos, or nearly",
    "photos --open": "the same as pictures, in the browser",
    "photos --verify": "look at more pairs: small crops, screenshots",
}
MAIN = ("within", "verify", "open", "html", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `duplicates`."""
    places.add_place(parser, "what is looked through")
    about = "images whose vectors are this near to the one to keep (default: copies by their pixels)"
    decides = parser.add_mutually_exclusive_group()
    decides.add_argument("--within", type=float, metavar="D", help=about)
    more = "look at more pairs, for what is left: small crops, screenshots; takes three times as long"
    decides.add_argument("--verify", action="store_true", help=more)
    parser.add_argument("--open", action="store_true", help="show the groups as pictures, in the browser")
    output = parser.add_mutually_exclusive_group()
    shared.add_json(output, "the groups as JSON")
    output.add_argument("--html", metavar="FILE", help="write a page with thumbnails")
    parser.add_argument("--model", metavar="FILE", help="the network of an index that is made now")
    shared.add_weights(parser)


def run(args: argparse.Namespace) -> None:
    """Find the groups, and print, write or show them."""
    from deep_ranking.cli.index import place_of

    checks.output(args.html)
    from deep_ranking.search.options import Options

    place, _ = place_of(args, "duplicates", lambda place: Options(within=args.within))
    from deep_ranking.search.index import Index

    with Index.open(place) as index:
        groups = index.duplicates(args.within, verify=args.verify)
        folder = index.metadata.get("images", "")
    if args.json:
        print(json.dumps({"images": folder, "within": args.within} | _as_dicts(groups)))
    elif not args.html:
        _print_table(groups, args.within)
    if args.open or args.html:
        from deep_ranking.display.pictures import duplicates_page

        page = duplicates_page(groups, args.within, folder)
        shared.write_page(page, args.html, "duplicates", args.open)
        if args.html:
            print(args.html)
    asked = places.asked(args)
    more = [] if args.open or args.html or not groups else [f"duplicates {asked} --open"]
    shared.tell_next(args, *more, f"serve {asked}")


def _as_dicts(groups: "list[Group]") -> dict[str, list]:
    images = [
        [
            image._asdict()
            | asdict(about)
            | {"copy": image.path in group.copies, "link": image.path in group.links}
            | {"keep": image.path == group.keep}
            for image, about in zip(group.images, group.about, strict=True)
        ]
        for group in groups
    ]
    kept = [{"path": group.keep, "reason": group.reason, "bytes_won": group.won} for group in groups]
    return {"groups": images, "keep": kept}


def _print_table(groups: "list[Group]", within: float | None) -> None:
    from deep_ranking.search.groups import summary

    for number, group in enumerate(groups, 1):
        print(f"group {number}: {len(group.images)} images, keep {one_line(group.keep)} ({group.reason})")
        for image, kind, words in group.rows():
            kept = "*" if image.path == group.keep else " "
            print("  ".join([f"{kept} {image.distance:.6f}", f"{kind:4}", one_line(image.path), *words]))
    print(summary(groups, within))
