"""Where an index lies: the file that makes a folder one, and the folder beside a folder of images."""

import os
from pathlib import Path

STORE = "store.sqlite"
"""The file that makes a folder an index."""

RATINGS = "ratings.sqlite"
"""Beside it, where people rate."""


def is_address(place: str | os.PathLike[str]) -> bool:
    """Tell whether a place is the address of a store or of images, `SCHEME://...`, and no path."""
    return "://" in os.fspath(place)


def index_beside(folder: str | os.PathLike[str]) -> Path:
    """Return where the index of a folder of images is by default.

    Example:
        >>> index_beside("my/photos/").as_posix()
        'my/photos.index'
    """
    path = _named(folder)
    return path.parent / f"{path.name}.index"


def index_of(place: str) -> str | None:
    """Return the place of an index for a place: itself, or beside a folder of images; None where is none.

    An address is taken as it is: what is there only its store knows.
    """
    if is_address(place):
        return place
    return next(
        (str(path) for path in (_named(place), index_beside(place)) if (path / STORE).is_file()), None
    )


def how_to_make(place: str) -> str:
    """Return what is typed to make the index that is not at a place: beside it where others' files lie in it.

    Example:
        >>> how_to_make("my.index")
        'deep-ranking index FOLDER --index my.index'
    """
    inside = {path.name for path in Path(place).iterdir()} if Path(place).is_dir() else set()
    if inside and not inside & {RATINGS, "cache"}:  # of pictures, most likely; not what is left of an index
        return f"deep-ranking index {place}"
    return f"deep-ranking index FOLDER --index {place}"


def _named(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder)
    return path if path.name not in ("", "..") else path.resolve()
