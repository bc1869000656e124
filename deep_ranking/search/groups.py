"""Groups of near-duplicates, and what a person needs to decide which of them to keep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from typing import NamedTuple

from deep_ranking.search.options import Hit


class Fit(NamedTuple):
    """How a picture is a copy of another: its orientation 0..7 (0: upright), and whether it is a part."""

    turn: int
    part: bool

    @property
    def why(self) -> str:
        """The same in words."""
        return "part of" if self.part else "mirrored or turned" if self.turn else "re-saved"


@dataclass(frozen=True)
class About:
    """What is known of an image of a group.

    Attributes:
        why: what it is of the image to keep: "same bytes", "link" (a second name of one file), "re-saved"
            (also resized, in another format, with other colours), "mirrored or turned", "part of" (one shows
            a part of the other: a crop, a border, a screenshot), or "alike" (near by its vector, no more is
            known); "" for the image itself.
        width, height: in pixels; 0 where the file is gone.
        bytes: size of the file.
        format: "JPEG" and so on; "" where the file is gone.
        modified: when the file was changed, in seconds since 1970.
    """

    why: str
    width: int
    height: int
    bytes: int
    format: str
    modified: float

    def words(self) -> list[str]:
        """Return the same for people.

        Example:
            >>> About("re-saved", 640, 480, 65_000, "JPEG", 0.0).words()
            ['re-saved', '640 x 480', 'JPEG', '65 kB', '1970-01-01']
        """
        pixels = f"{self.width} x {self.height}" if self.width else ""
        size = f"{self.bytes / 1000:,.0f} kB" if self.bytes else ""
        day = f"{datetime.fromtimestamp(self.modified, UTC):%Y-%m-%d}" if self.bytes else ""
        return [word for word in (self.why, pixels, self.format, size, day) if word]


@dataclass(frozen=True)
class Group:
    """Images that belong together.

    Attributes:
        images: in order of the path, each with the distance of its vector to that of the image to keep.
        copies: the paths that are byte for byte another file of the group.
        about: what is known of each of `images`.
        links: the paths that are no file of their own.
        keep: the path of the image to keep.
        reason: why that one.
        won: bytes that the others take.
    """

    images: tuple[Hit, ...]
    copies: frozenset[str]
    about: tuple[About, ...] = ()
    links: frozenset[str] = frozenset()
    keep: str = ""
    reason: str = ""
    won: int = 0

    def rows(self) -> Iterator[tuple[Hit, str, list[str]]]:
        """Yield each image, "link", "copy" or "", and what else is known of it in words."""
        for image, about in zip_longest(self.images, self.about):
            kind = "link" if image.path in self.links else "copy" if image.path in self.copies else ""
            yield image, kind, about.words() if about else []


def summary(groups: Sequence[Group], within: float | None) -> str:
    """Return in a line how many groups there are, what holds within each, and what there is to win.

    Example:
        >>> summary([], None)
        '0 groups of 0 images, 0.0 MB to win; nothing was deleted'
    """
    images, won = sum(len(group.images) for group in groups), sum(group.won for group in groups)
    bound = "" if within is None else f" within {within:g} of the one to keep"
    many = "group" if len(groups) == 1 else "groups"
    return f"{len(groups)} {many} of {images} images{bound}, {won / 1e6:.1f} MB to win; nothing was deleted"
