"""Judgements that exist, put beside the ratings of the page: names become images, and all is counted."""

import hashlib
import os
import re
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import path_key
from deep_ranking.ratings.export import key
from deep_ranking.ratings.judgement import Judgement
from deep_ranking.ratings.lines import lines
from deep_ranking.ratings.settings import Reading
from deep_ranking.ratings.store import LONGEST_NAME, Given, RatingStore, check_rater
from deep_ranking.triplets.table import find_image

TWICE = "an image is named twice"
NOT_THERE = "an image is not there"


class Images:
    """Finds the images that judgements name.

    A name may be what an index has; a path, as `find_image` understands it; the address of an image, the end
    of which is a path below the folder (Label Studio's own addresses too); a folder, one of whose images
    stands for it; a file's name without its ending, if there is one such image. By `Reading.numbers_from` it
    is a number: a place among the items in the order of their bytes.

    Args:
        folder: of the images.
        reading: `numbers_from`, `items`, `item_images` and `seed`.
        base: what the names that are kept are relative to; None: `folder`.
        known: the names that an index has; others are not there then.

    Attributes:
        missing: names that are not there, each with how often it was asked for.
        several: items of several images -> how many they have.

    Raises:
        DeepRankingError: there is no such folder, or the items cannot be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        reading: Reading | None = None,
        base: str | os.PathLike[str] | None = None,
        known: Collection[str] | None = None,
    ):
        import deep_ranking  # what finds images lies above; it is asked for by its public name

        self._find_images = deep_ranking.find_images
        self._folder, self._reading = os.fspath(folder), reading or Reading()
        self._base = os.path.abspath(folder if base is None else base)  # noqa: PTH100
        self._known = None if known is None else frozenset(known)
        if self._known is None and not Path(folder).is_dir():
            raise DeepRankingError(f"{folder}: expected the folder of the images, found none; check --images")
        self._rng = np.random.default_rng(self._reading.seed)
        self._found: dict[str, tuple[str, ...]] = {}
        self._stems: dict[str, list[str]] | None = None
        self._highest = -1
        self._items = self._read_items()
        self.missing: Counter[str] = Counter()
        self.several: dict[str, int] = {}

    def __call__(self, name: str) -> str | None:
        """Return the image that a name means, as it is kept; None where there is none."""
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = tuple(map(self._kept_as, self._look_for(name)))
            if len(found) > 1:
                self.several[name] = len(found)
        if self._known is not None:
            found = tuple(image for image in found if image in self._known)
        if not found:
            self.missing[name] += 1
            return None
        drawn = self._reading.item_images == "drawn" and len(found) > 1
        return found[int(self._rng.integers(len(found)))] if drawn else found[0]

    def check_places(self) -> None:
        """Raise DeepRankingError unless the highest number that was asked for is the last item's.

        Were an item missing among the folders, all behind it would be taken for others, unseen.
        """
        last = len(self._items) - 1
        if self._reading.numbers_from is not None and self._highest != last:
            start = self._reading.numbers_from
            raise DeepRankingError(
                f"{self._reading.items or self._folder}: expected as many items as numbers are used, up to "
                f"{self._highest + start}, found {last + 1:,}, up to {last + start}; numbers would stand for "
                "others: name all items, one a line and in order, with --items FILE"
            )

    def _read_items(self) -> list[str]:
        if self._reading.items is not None:
            names = [line for _, line in lines(Path(self._reading.items))]
            if any("\t" in name for name in names):
                raise DeepRankingError(
                    f"{self._reading.items}: expected one item a line, found a table; numbers are places "
                    "among the items in the order of their bytes, not among rows of such a table; without "
                    "--items the folders of the images are taken in that order"
                )
            return names
        if self._reading.numbers_from is None:
            return []
        names = [entry.name for entry in os.scandir(self._folder) if entry.is_dir() and entry.name[0] != "."]
        if names:
            return sorted(names, key=path_key)
        names = [name for name in self._find_images(self._folder) if "/" not in name]
        if not names:
            raise DeepRankingError(f"{self._folder}: expected folders or images, as items, found none")
        # Without the ending: "a-1.jpg" comes before "a.jpg", but "a" before "a-1".
        return sorted(names, key=lambda name: path_key(Path(name).stem))

    def _look_for(self, name: str) -> list[str]:
        """Return the paths of the images that a name means; of the index's own names, these."""
        start = self._reading.numbers_from
        if not name:
            return []
        if start is not None:
            if not (name.isdecimal() and int(name) >= start):
                raise DeepRankingError(
                    f"expected numbers from {start} on (--numbers_from), found the name {name!r}"
                )
            place = int(name) - start
            self._highest = max(self._highest, place)
            if place >= len(self._items):
                return []
            name = self._items[place]
        if self._known is not None and name in self._known:
            return [os.path.join(self._base, name)]  # noqa: PTH118
        if found := find_image(self._folder, name):
            return [found]
        for below in _ends(name):
            if Path(self._folder, below).is_file():
                return [str(Path(self._folder, below))]
        if name not in (".", "..") and "/" not in name and Path(self._folder, name).is_dir():
            return [
                str(Path(self._folder, name, image)) for image in self._find_images(Path(self._folder, name))
            ]
        if self._stems is None:
            self._stems = {}
            for image in self._find_images(self._folder) if Path(self._folder).is_dir() else ():
                self._stems.setdefault(Path(image).stem, []).append(image)
        of_stem = self._stems.get(name, ())
        return [str(Path(self._folder, image)) for image in of_stem] if len(of_stem) == 1 else []

    def _kept_as(self, path: str) -> str:
        path = os.path.abspath(path)  # noqa: PTH100
        below = os.path.relpath(path, self._base)
        return (path if below.startswith(os.pardir) else below).replace(os.sep, "/")


def _ends(address: str) -> Iterator[str]:
    """Yield the ends of an address that may be a path below the folder of the images, the longest first."""
    if "://" not in address and not address.startswith("/"):
        return
    parts = urllib.parse.urlsplit(address)
    path = urllib.parse.parse_qs(parts.query).get("d", [parts.path])[0]  # Label Studio: /data/local-files/?d=
    path = path if path != parts.path else urllib.parse.unquote(path, errors="surrogateescape")
    names = [name for name in path.split("/") if name not in ("", ".", "..")]
    yield from ("/".join(names[start:]) for start in range(len(names)))
    if names and (uploaded := re.fullmatch("[0-9a-f]{8}-(.+)", names[-1])):  # Label Studio: /data/upload/N/
        yield uploaded[1]


@dataclass
class Imported:
    """What became of judgements.

    Attributes:
        first: the first that states an order, in words.
        judgements: that are kept, now or before.
        new: ratings that were not there before. Votes on both sides of one question are two ratings.
        ties: judgements without an order, or with as many votes on both sides.
        repeats: judgements by whom the same was judged before, alike; they are kept as further votes.
        contradictions: judgements by whom the same was judged before, otherwise; they are kept too.
        left_out: why judgements were left out, with how many.
    """

    first: str = ""
    judgements: int = 0
    new: int = 0
    ties: int = 0
    repeats: int = 0
    contradictions: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def import_judgements(
    judgements: Iterable[Judgement], images: Images, store: RatingStore, name: str, as_named: bool = False
) -> Imported:
    """Keep judgements as ratings, all or none.

    The same file again changes nothing. Who judges the same twice is kept twice, as `NAME (2)`.

    Args:
        judgements: as `read_format` yields them.
        images: finds the images that they name.
        store: where they are kept.
        name: in place of raters that are not told, and before the names of those that are.
        as_named: raters that are told are those of other ratings by the same name, as in what was exported.

    Raises:
        DeepRankingError: what `read_format`, `Images` and `RatingStore.add_all` raise; there is none, or none
            of the images is there.
    """
    check_rater(name)
    counts = Imported()
    counts.new = store.add_all(_ratings(judgements, images, name, counts, as_named))
    return counts


def rater_name(name: str, own: str = "") -> str:
    """Return how a rater is called here: by the source's name and their own, shortened where that is long.

    Example:
        >>> rater_name("batch.csv", "A1"), len(rater_name("batch.csv", "A" * 100))
        ('batch.csv A1', 48)
    """
    whole = "".join(letter if letter.isprintable() else "?" for letter in f"{name} {own}").strip()
    if len(whole) <= _LONGEST:
        return whole
    digest = hashlib.sha256(path_key(f"{name} {own}")).hexdigest()
    return f"{whole[: _LONGEST - 9]} {digest[:8]}"


_LONGEST = LONGEST_NAME - 16  # room for what tells several votes of one rater apart


def _ratings(
    judgements: Iterable[Judgement], images: Images, name: str, counts: Imported, as_named: bool
) -> Iterator[Given]:
    before: dict[int, list[float]] = {}  # by the hash of rater and question: how often judged, and how first
    for judgement in judgements:
        found = None if judgement.left_out else [images(one) for one in judgement[:3]]
        if found is None or None in found or len({*found}) < 3:
            why = judgement.left_out or (NOT_THERE if None in found else TWICE)  # type: ignore[operator]
            counts.left_out[why] += 1
            continue
        query, nearer, farther = map(str, found)
        tied = judgement.weight == judgement.against
        counts.judgements += 1
        counts.ties += tied
        if not counts.first and not tied:
            counts.first = f"asked about {query}, people found {nearer} nearer than {farther}"
        rater = (as_named and judgement.rater) or rater_name(name, judgement.rater)
        question = key(query, nearer, farther)
        said = 0.0 if tied else 1.0 if nearer == question[1] else -1.0
        earlier = before.setdefault(hash((rater, question)), [0, said])
        earlier[0] += 1
        if earlier[0] > 1:
            counts.repeats += earlier[1] == said
            counts.contradictions += earlier[1] != said
            rater = f"{rater} ({earlier[0]:.0f})"
        if judgement.weight:
            yield Given(rater, query, nearer, farther, "a", judgement.weight)
        if judgement.against:  # the votes of others, who are not told apart
            yield Given(f"{rater} (against)", query, nearer, farther, "b", judgement.against)
        if not judgement.weight and not judgement.against:
            yield Given(rater, query, nearer, farther, "both_similar")
    images.check_places()
    if not counts.judgements:
        why = ", ".join(f"{count:,}: {reason}" for reason, count in counts.left_out.most_common())
        names = ", ".join(repr(one) for one, _ in images.missing.most_common(3))
        raise DeepRankingError(
            f"expected judgements of images that are there, found none ({why or 'nothing at all'})"
            + (f"; not there: {names}; check --images, or say --numbers_from" if names else "")
        )
