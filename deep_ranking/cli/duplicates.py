"""List groups of images that are copies of one picture, and which one of each to keep.

By default the pixels decide: copies byte for byte, and images that were saved again, resized, recoloured,
cropped, framed, mirrored or turned, or that stand in a screenshot. With --within, the distances of the
vectors decide. A group is no chain: all of it is near one image. Nothing is deleted.
"""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from deep_ranking.cli import shared

if TYPE_CHECKING:
    from deep_ranking.search.groups import Group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `duplicates`."""
    shared.add_store(parser, "the index to look through")
    about = "images whose vectors are this near to the one to keep (default: copies by their pixels)"
    parser.add_argument("--within", type=float, metavar="D", help=about)
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
        print(json.dumps({"images": folder, "within": args.within} | _as_dicts(groups)))
    elif args.html:
        _write_page(groups, args.within, folder, args.html)
        print(args.html)
    else:
        _print_table(groups, args.within)


def _as_dicts(groups: "list[Group]") -> dict[str, list]:
    images = [
        [
            asdict(image)
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
        print(f"group {number}: {len(group.images)} images, keep {group.keep} ({group.reason})")
        for image, kind, words in group.rows():
            kept = "*" if image.path == group.keep else " "
            print("  ".join([f"{kept} {image.distance:.6f}", f"{kind:4}", image.path, *words]))
    print(summary(groups, within))


def _write_page(groups: "list[Group]", within: float | None, folder: str, path: str) -> None:
    from deep_ranking.display.pictures import duplicates_page
    from deep_ranking.files import written_whole
    from deep_ranking.progress import progress

    shown = progress(groups, "drawing", "groups", len(groups))
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(duplicates_page(shown, within, folder))
