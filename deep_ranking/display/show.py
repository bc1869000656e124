"""What is shown of each kind of thing."""

import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from itertools import islice
from pathlib import PurePath
from typing import Any

from deep_ranking.display.pictures import MARKS, Picture, Pictures, Row
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics import Measurement
from deep_ranking.evaluation.metrics.measure import readable
from deep_ranking.search import Group, Hit, Results
from deep_ranking.triplets import Triplet
from deep_ranking.triplets.table import Triplets, find_image

_MOST = 100
"""Images of a group that are shown; all of them as a rule."""


def show(thing: Any, folder: str | os.PathLike[str] = "", first: int = 10) -> Pictures:
    """Return pictures of the first few of many: at most `first` rows of at most `first` images.

    Args:
        thing: search results or hits; near-duplicates in their groups; a triplet, triplets or a `Triplets`;
            images of each class, as `find_classes` gives them; or paths of images. Of a model, and of what
            was measured, it is the words.
        folder: that paths are relative to, where `thing` does not know it.
        first: 1 or more.

    Raises:
        DeepRankingError: `thing` is something else, or `first` is no whole number of 1 or more.

    Example:
        >>> show([Triplet("a.jpg", "b.jpg", "c.jpg")] * 12, "photos")
        <30 pictures for a notebook (10 of 12 triplets)>
    """
    expect("first", isinstance(first, int) and first >= 1, "a whole number, 1 or more", first)
    folder = os.fspath(folder)
    thing = [thing] if isinstance(thing, Triplet | Group) else thing
    if isinstance(thing, Results):
        return _hits(thing[:first], thing, thing.folder or folder, thing.queries[:first])
    if isinstance(thing, Triplets):
        some = [Triplet(*(thing.images[image] for image in row)) for row in thing.rows[:first]]
        return _triplets(some, thing.rows, folder)
    if isinstance(thing, Measurement):
        lines = [f"{name}: {readable(name, estimate)}" for name, estimate in thing.metrics.items()]
        lines += [f"{name.replace('_', ' ')}: {count:,}" for name, count in thing.counts.items()]
        return Pictures([], "\n".join(lines))
    if hasattr(thing, "encode") and hasattr(thing, "dimension"):  # a model; its class would bring Keras
        return Pictures([], repr(thing).strip("<>"))
    if isinstance(thing, Mapping):
        return _classes(thing, folder, first)
    if isinstance(thing, Iterable) and not isinstance(thing, str | bytes):
        items = list(islice(thing, first))
        if not items:
            return Pictures([], "nothing to show")
        kinds = ((Triplet, _triplets), (Hit, _hits), (Group, _groups), (str | os.PathLike, _images))
        for kind, of_items in kinds:
            if all(isinstance(item, kind) for item in items):
                return of_items(items, thing, folder)
    raise DeepRankingError(
        "expected search results, triplets, images of classes, or paths of images to show, "
        f"found {type(thing).__name__}"
    )


def _hits(hits: Sequence[Hit], all_hits: Iterable, folder: str, queries: Sequence[str] = ()) -> Pictures:
    # A query is a file before it is a path in the index, as it was when it was searched.
    asked = [
        Picture(name, find_image("", name) or find_image(folder, name), ("query", _short(name)))
        for name in queries
    ]
    found = [
        _picture(folder, hit.path, f"{hit.distance:.6f}", hit.label, PurePath(hit.path).stem) for hit in hits
    ]
    return Pictures([Row(asked + found)], _note(hits, all_hits, "results"))


def _groups(groups: Sequence[Group], all_groups: Iterable, folder: str) -> Pictures:
    rows = []
    for group in groups:
        pictures = [
            _picture(
                folder,
                image.path,
                f"{image.distance:.6f}",
                ", ".join(filter(None, ["keep" * (image.path == group.keep), MARKS[kind]])),
                *words[:2],
            )
            for image, kind, words in islice(group.rows(), _MOST)
        ]
        rows.append(Row(pictures, f"{len(group.images):,} images"))
    return Pictures(rows, _note(groups, all_groups, "groups"))


def _triplets(triplets: Sequence[Triplet], all_triplets: Iterable, folder: str) -> Pictures:
    rows = [
        Row([_picture(folder, name, role, _short(name)) for role, name in triplet._asdict().items()])
        for triplet in triplets
    ]
    return Pictures(rows, _note(triplets, all_triplets, "triplets"))


def _classes(classes: Mapping[str, Sequence[str]], folder: str, first: int) -> Pictures:
    shown = list(islice(classes.items(), first))
    rows = []
    for label, images in shown:
        some = images[:first]
        more = f" ({_note(some, images, 'images')})" if len(some) < len(images) else ""
        rows.append(Row([_picture(folder, name) for name in some], label + more))
    return Pictures(rows, _note(shown, classes, "classes"))


def _images(names: Sequence[str | os.PathLike[str]], all_names: Iterable, folder: str) -> Pictures:
    row = Row([_picture(folder, os.fspath(name), _short(os.fspath(name))) for name in names])
    return Pictures([row], _note(names, all_names, "images"))


def _picture(folder: str, name: str, *lines: str) -> Picture:
    return Picture(name, find_image(folder, name), tuple(filter(None, lines)))


def _short(name: str) -> str:
    """Return an image's name without its ending, and the folder that it lies in: its class as a rule."""
    path = PurePath(name)
    return "/".join([*path.parts[-2:-1], path.stem])


def _note(some: Sequence, everything: Iterable, kind: str) -> str:
    """Return how many of how many are shown, unless it is all of them."""
    total = len(everything) if isinstance(everything, Sized) else 0
    if not some:
        return f"no {kind}"
    return f"{len(some):,} of {total:,} {kind}" if total > len(some) else ""
