"""What is meant by a place as it is typed: a folder of images, an index, or the address of a store."""

import argparse
import shlex
from pathlib import Path

from deep_ranking.cli import checks
from deep_ranking.cli.parser import UsageError
from deep_ranking.errors import one_line
from deep_ranking.location import STORE, index_beside, index_of, is_address

Flags = argparse._ActionsContainer


def add_place(parser: Flags, purpose: str) -> None:
    """Add the place of an index, and `--index`, or `--store`; `cli.index.place_of` reads them."""
    about = (
        f"{purpose}: a folder of images, whose index is made beside it if there is none; an index; or the "
        "address of a store"
    )
    parser.add_argument("place", nargs="?", metavar="PLACE", help=about)
    add_store(parser, "the same by a flag, of an index that is there")


def add_store(parser: Flags, purpose: str) -> None:
    """Add `--index DIR`, which may be spelled `--store URL`; both are `args.index`."""
    about = (
        f"{purpose}: a folder, postgresql://[USER@]HOST/DATABASE[?index=NAME], "
        "or ray://local/FOLDER (ray://HOST:PORT/FOLDER) for shards on a Ray cluster"
    )
    parser.add_argument("--index", "--store", metavar="DIR|URL", help=about)


def index_given(args: argparse.Namespace, command: str) -> str | None:
    """Return the place of the index that is meant; None for a folder of images, `args.place`, without one.

    Args:
        args: with `place` and `index`.
        command: as it is typed, for the error where neither is given.

    Raises:
        UsageError: no place, or two.
        DeepRankingError: there is no index, nor a folder of images to make one of.
    """
    if args.place is None and args.index is None:
        raise UsageError(f"expected a place: {command} photos, or --index photos.index; found none")
    if args.index is not None:
        if args.place is not None:
            raise UsageError("expected one place, found two: alone and by --index; leave one out")
        checks.index(args.index)
        return str(args.index)
    found = index_of(args.place)
    if found is None:
        checks.folder(args.place)
    return found


def to_index(args: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the place of the index to make or to bring up to date, and the folders of images given for it.

    Args:
        args: with `places`, `index` and `images`.

    Raises:
        UsageError: neither an index nor a folder is given, or too much.
        DeepRankingError: a folder is missing, beside which the index would be.
    """
    places, index, folders = list(args.places), args.index, list(args.images)
    if places:
        first = places[0]
        is_index = bool(folders) or is_address(first) or (Path(first) / STORE).is_file()
        if is_index and index is not None:
            raise UsageError("expected one place, found two: alone and by --index; leave one out")
        if is_index:
            index, *places = places
        folders = [*places, *folders]
    if index is None and not folders:
        raise UsageError("expected a folder of images: index photos; found none")
    if index is None:
        checks.folder(folders[0])
        index = str(index_beside(folders[0]))
    return index, folders


def asked(args: argparse.Namespace) -> str:
    """Return the place of an index as it was typed, for another command."""
    return f"--index {typed(args.index)}" if args.index else typed(args.place)


def typed(place: str) -> str:
    """Return a place or a file as it is typed in a shell; an address without user and password.

    Example:
        >>> print(typed("photos"), typed("my photos"), typed("my" + chr(10) + "photos"))
        photos 'my photos' $'my\\nphotos'
    """
    if is_address(place):
        from deep_ranking.search.stores.registry import place_name

        place = place_name(place)
    if one_line(place) == place:
        return shlex.quote(place)
    plain = place.replace("\\", r"\\").replace("'", r"\'")  # as bash and zsh take what does not show
    return f"$'{one_line(plain)}'"
