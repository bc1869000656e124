"""List groups of images that are alike or the same: exact copies, and those whose vectors are near.

Nothing is deleted.
"""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from deep_ranking.cli import shared
from deep_ranking.errors import one_line

if TYPE_CHECKING:
    from deep_ranking.search.duplicates import Group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `duplicates`."""
    shared.add_store(parser, "the index to look through")
    about = "images this near are alike (default: 0.1)"
    parser.add_argument("--within", type=float, default=0.1, metavar="D", help=about)
    output = parser.add_mutually_exclusive_group()
    shared.add_json(output, "the groups as JSON")
    output.add_argument("--html", metavar="FILE", help="write a page with thumbnails")


def run(args: argparse.Namespace) -> None:
    """Find the groups, and print or write them."""
    from deep_ranking.search.index import Index

    with Index.open(args.index) as index:
        groups = index.duplicates(args.within)
        folder = index.metadata.get("images", "")
    if args.json:
        found = [_as_dicts(group) for group in groups]
        print(json.dumps({"images": folder, "within": args.within, "groups": found}))
    elif args.html:
        _write_page(groups, args.within, folder, args.html)
        print(args.html)
    else:
        _print_table(groups, args.within)


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


def _write_page(groups: "list[Group]", within: float, folder: str, path: str) -> None:
    from deep_ranking.display.pictures import duplicates_page
    from deep_ranking.files import written_whole
    from deep_ranking.progress import progress

    shown = progress(groups, "drawing", "groups", len(groups))
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(duplicates_page(shown, within, folder))
