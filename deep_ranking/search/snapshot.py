"""What a search sees of a store: images and vectors, searched in this process or by the store."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import composed, path_key
from deep_ranking.search.approximate import KINDS, Approximate, Kind
from deep_ranking.search.image import Image
from deep_ranking.search.learned import Stretch
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.part import Part, whole
from deep_ranking.search.promise import Curve
from deep_ranking.search.segment import Segment

if TYPE_CHECKING:
    from deep_ranking.search.store import Contents, Store


class Snapshot:
    """Everything of one version of a store, ready to be searched; later writes, by anyone, do not change it.

    Where the store itself can search, a subclass that is `remote` asks it: a search then sees what is there
    when it comes, and `images` and `matrix` are read once, when they are first asked for.

    Args:
        store: what to read. It may be closed once it is read.

    Attributes:
        version: the store's, when the snapshot was made.
        kinds: the approximate searches there are.
    """

    kinds: tuple[Kind, ...] = KINDS
    remote = False

    def __init__(self, store: "Store"):
        self.store = store
        self.version = store.version() if self.remote else self.contents.version

    @cached_property
    def contents(self) -> "Contents":
        """What was read of the store."""
        return self.store.contents()

    @property
    def images(self) -> Sequence[Image]:
        """Every image, in order of the path's bytes."""
        return self.whole.images

    @property
    def matrix(self) -> np.ndarray:
        """(n, dimension) float32, in memory or mapped; row i is the vector of `images[i]`, as compared."""
        return self.whole.matrix

    @cached_property
    def learned(self) -> Stretch | None:
        """The map learned from ratings that vectors are searched under; None where nothing was learned."""
        return None if self.remote else Stretch.from_text(self.contents.learned, self.store.dimension)

    def moved(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors (m, dimension), as the model gives them, as they are compared here."""
        return vectors if self.learned is None else self.learned(vectors)

    @cached_property
    def parts(self) -> list[Part]:
        """Where the images are, with their vectors as they are compared."""
        return [part.moved(self.contents.learned) for part in self.contents.parts]

    @cached_property
    def whole(self) -> Segment:
        """Every image and vector in one; a copy, where a change was not written into the large part yet."""
        return whole(self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.contents.parts)) if "contents" in vars(self) else self.store.count()

    def row(self, path: str) -> int | None:
        """Return the row of an indexed image in `images` and `matrix`."""
        return self.whole.row(path)

    @property
    def rows_of_label(self) -> dict[str, np.ndarray]:
        """The rows of each label in `images` and `matrix`, ascending."""
        return self.whole.rows_of_label

    def search(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return for each query its hits: by distance (the farthest first if so asked), then by path.

        Args:
            queries: (m, dimension) float32.
            k: how many; None for all, which an approximate search cannot give.
            options: which images, and how.
            left_out: content hashes of images that are never a hit.

        Raises:
            DeepRankingError: no image has the label or is in the folder; a search that this store lacks.
        """
        if options.approximate and options.approximate not in self.kinds:
            raise DeepRankingError(
                f"approximate: expected one of {', '.join(self.kinds)} for this store, "
                f"found {options.approximate!r}"
            )
        if k is None and options.approximate:
            raise DeepRankingError(
                "an approximate search needs to know how many; give a number, or search exactly"
            )
        options = self._as_spelled(options)
        found = self.find(queries, k, options, left_out)
        # Several labels may hide one that is not there.
        if not any(found) or len(options.labels or ()) > 1:
            self._check_filters(options)
        return found

    def spelled(self, name: str) -> str:
        """Return a path, or a folder, as it is spelled in the index, if only its Unicode form differs."""
        wanted, parts = composed(name), name.count("/") + 1
        if name.isascii():
            return name
        images = chain.from_iterable(part.images() for part in self.parts)
        found = ("/".join(image.path.split("/")[:parts]) for image in images if not image.path.isascii())
        return next((path for path in found if composed(path) == wanted), name)

    def _as_spelled(self, options: Options) -> Options:
        """Return the options with labels and folder as the index has them, if only Unicode's form differs."""
        if options.label is None and options.folder is None:
            return options
        typed = *(options.labels or ()), options.folder or ""
        if all(name.isascii() for name in typed):
            return options
        folder, labels = options.folder, options.labels
        if folder is not None and not self.has_folder(folder):
            folder = self.spelled(folder.strip("/"))
        if labels:
            alike: dict[str, list[str]] = {}
            for label in self.labels():
                alike.setdefault(composed(label), []).append(label)
            wanted = (alike.get(composed(label), [label]) for label in labels)
            labels = tuple(dict.fromkeys(chain.from_iterable(wanted)))
        return replace(options, folder=folder, label=labels)

    def prepare(self) -> None:
        """Do what the first search would have to do."""
        self.rows_of_label  # noqa: B018 - and with it the images
        if not self.remote:
            for part in self.parts:
                part.segment.codes(now=True)
                part.exact.bounds  # noqa: B018

    def content(self, path: str) -> bytes | None:
        """Return the content hash of an indexed image."""
        for part in self.parts:
            if (row := part.row(path)) is not None:
                return part.segment.images[row].hash
        return None

    def vector(self, content: bytes, as_given: bool = False) -> np.ndarray | None:
        """Return the vector (dimension,) of the images with this content, as compared or as given."""
        for part in self.contents.parts if as_given else self.parts:
            if len(rows := part.rows_of((content,))):
                vector: np.ndarray = part.segment.matrix[rows[0]]
                return vector
        return None

    def labels(self) -> Mapping[str, int]:
        """Return how many images each label has."""
        return sum((part.labels() for part in self.parts), Counter())

    def has_folder(self, folder: str) -> bool:
        """Tell whether there are images below a folder."""
        return any(part.has_folder(folder) for part in self.parts)

    def warm(self) -> None:
        """Bring the structures that an earlier version had up to date, so that no search has to."""
        self.parts[0].segment.warm(self.kinds)

    def approximate(self, kind: Kind) -> Approximate:
        """Return the structure of this kind over all but the last changes, from its cache or built now."""
        return self.parts[0].segment.approximate(kind)

    def probes(self, kind: Kind) -> tuple[int, int]:
        """Return the smallest and the largest probe that make sense."""
        structure = self.approximate(kind)
        return structure.smallest_probe, structure.largest_probe

    def recalls(self, kind: Kind) -> Curve:
        """Return `(probe, recall@10)` of growing probes, for images that are not in the index."""
        return self.approximate(kind).curve

    def find(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return the hits as `search` does; of a label or a folder that is not there, none."""
        return ranked([part.find(queries, k, options, left_out) for part in self.parts], k, options)

    def _check_filters(self, options: Options) -> None:
        if options.folder is not None and options.folder.strip("/") and not self.has_folder(options.folder):
            raise DeepRankingError(
                f"folder: expected one that has images in the index{self._folders_there()}, "
                f"found {options.folder!r}"
            )
        there = self.labels() if options.labels else {}
        for label in options.labels or ():
            if not any(there):
                raise DeepRankingError(
                    f"label: expected an index with labels, found none in this one (asked for {label!r}); "
                    "`index --labels folders` makes them of the folders' names"
                )
            if label not in there:
                raise DeepRankingError(
                    f"label: expected one of the {len(there)} in the index (the first are "
                    f"{', '.join(map(repr, sorted(there)[:5]))}), found {label!r}"
                )

    def _folders_there(self) -> str:
        images = chain.from_iterable(part.images() for part in self.parts)
        tops = sorted({image.path.split("/")[0] for image in images if "/" in image.path})
        first = ", ".join(tops[:5]) + ", ..." * (len(tops) > 5)
        return f" ({first})" if tops else ", which has no sub-folders"


def ranked(found: Sequence[list[list[Hit]]], k: int | None, options: Options) -> list[list[Hit]]:
    """Return for each query the first k of the hits that several have found, in order.

    Example:
        >>> ranked([[[Hit("b", 1.0, "")]], [[Hit("c", 0.5, ""), Hit("a", 1.0, "")]]], 2, Options())
        [[Hit(path='c', distance=0.5, label=''), Hit(path='a', distance=1.0, label='')]]
    """
    if len(found) == 1:
        return found[0]
    sign = -1 if options.bottom else 1

    def rank(hit: Hit) -> tuple[float, bytes]:
        return sign * hit.distance, path_key(hit.path)

    return [sorted(chain(*lists), key=rank)[:k] for lists in zip(*found, strict=True)]
