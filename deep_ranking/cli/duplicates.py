"""List groups of images that are alike or the same: exact copies, and those whose vectors are near.

Nothing is deleted.
"""

import argparse
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deep_ranking.search.duplicates import Group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `duplicates`."""
    from deep_ranking.cli.shared import add_store

    add_store(parser, "the index to look through")
    parser.add_argument(
        "--within", type=float, default=0.1, metavar="D", help="images this near are alike (default: 0.1)"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the groups as JSON")
    output.add_argument("--html", metavar="FILE", help="write a page with thumbnails")


def run(args: argparse.Namespace) -> None:
    """Find the groups, and print or write them."""
    from deep_ranking.search.duplicates import find_duplicates
    from deep_ranking.search.index import Index

    with Index.open(args.index) as index:
        groups = find_duplicates(index.snapshot, args.within, quiet=args.quiet)
        folder = index.metadata.get("images", "")
    if args.json:
        print(json.dumps({"images": folder, "within": args.within, "groups": [_as_dict(g) for g in groups]}))
    elif args.html:
        _write_page(groups, args.within, Path(folder), args.html, args.quiet)
        print(args.html)
    else:
        _print_table(groups, args.within)


def _as_dict(group: "Group") -> list[dict]:
    return [asdict(image) | {"copy": image.path in group.copies} for image in group.images]


def _print_table(groups: "list[Group]", within: float) -> None:
    for number, group in enumerate(groups, 1):
        print(f"group {number}: {len(group.images)} images")
        for image in group.images:
            print(f"  {image.distance:.6f}  {'copy' if image.path in group.copies else '    '}  {image.path}")
    images = sum(len(group.images) for group in groups)
    print(f"{len(groups)} {'group' if len(groups) == 1 else 'groups'} of {images} images within {within:g}")


def _write_page(groups: "list[Group]", within: float, folder: Path, path: str, quiet: bool) -> None:
    from deep_ranking.display.pictures import duplicates_page
    from deep_ranking.files import written_whole
    from deep_ranking.progress import progress

    shown = progress(groups, "drawing", "groups", len(groups), quiet)
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(duplicates_page(shown, within, lambda image: _thumbnail(folder / image)))


def _thumbnail(path: Path, longest: int = 192) -> bytes | None:
    """Return the image as a small JPEG, or None if it cannot be read any more."""
    from deep_ranking.images.decode import ImageError, read_thumbnail

    try:
        picture = read_thumbnail(path, longest)
    except ImageError:
        return None
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return data.getvalue()
