"""What an index is kept in: the contract that every store fulfils."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Protocol

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import path_key
from deep_ranking.search.approximate import Kind
from deep_ranking.search.image import Image, first_row
from deep_ranking.search.options import Hit, Options


class IndexExistsError(DeepRankingError):
    """An index was to be made where there is one already."""


class Snapshot(ABC):
    """The images of a store, ready to be searched.

    A local store's snapshot stays as it is, whatever is written later. A server's gives `images` and `matrix`
    as they were when first asked for, and searches what is there now.

    Attributes:
        version: the store's, when the snapshot was made.
        kinds: the approximate searches there are.
    """

    version: int
    kinds: tuple[Kind, ...]

    @property
    @abstractmethod
    def images(self) -> list[Image]:
        """Every image, in order of the path's bytes."""

    @property
    @abstractmethod
    def matrix(self) -> np.ndarray:
        """(n, dimension) float32; row i is the vector of `images[i]`."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def content(self, path: str) -> bytes | None:
        """Return the content hash of an indexed image."""

    @abstractmethod
    def vector(self, content: bytes) -> np.ndarray | None:
        """Return the vector (dimension,) of the images with this content."""

    @abstractmethod
    def labels(self) -> Mapping[str, int]:
        """Return how many images each label has."""

    @abstractmethod
    def has_folder(self, folder: str) -> bool:
        """Tell whether there are images below a folder."""

    def prepare(self) -> None:
        """Do what the first search would have to do."""
        self.rows_of_label  # noqa: B018 - and with it the images

    @abstractmethod
    def find(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return the hits as `search` does; of a label or a folder that is not there, none."""

    @abstractmethod
    def probes(self, kind: Kind) -> tuple[int, int]:
        """Return the smallest and the largest probe that make sense for a kind of approximate search."""

    @abstractmethod
    def warm(self) -> None:
        """Bring what approximate search needs up to date, so that no search has to."""

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
        found = self.find(queries, k, options, left_out)
        # Several labels may hide one that is not there.
        if not any(found) or len(options.labels or ()) > 1:
            self._check_filters(options)
        return found

    @cached_property
    def rows_of_label(self) -> dict[str, np.ndarray]:
        """The rows of each label in `images` and `matrix`, ascending."""
        rows: dict[str, list[int]] = {}
        for row, image in enumerate(self.images):
            rows.setdefault(image.label, []).append(row)
        return {label: np.array(members) for label, members in rows.items()}

    def row(self, path: str) -> int | None:
        """Return the row of an indexed image in `images` and `matrix`."""
        place = first_row(self.images, path_key(path))
        return place if place < len(self.images) and self.images[place].path == path else None

    def _check_filters(self, options: Options) -> None:
        if options.folder is not None and options.folder.strip("/") and not self.has_folder(options.folder):
            raise DeepRankingError(
                f"folder: expected one that has images in the index, found {options.folder!r}"
            )
        there = self.labels() if options.labels else {}
        for label in options.labels or ():
            if label not in there:
                raise DeepRankingError(
                    f"label: expected one of the {len(there)} in the index (the first are "
                    f"{', '.join(map(repr, sorted(there)[:5]))}), found {label!r}"
                )


class RemoteSnapshot(Snapshot):
    """The images of a store, as they are when a search comes; fetched once, if they are asked for."""

    @abstractmethod
    def fetch(self) -> tuple[list[Image], np.ndarray]:
        """Return every image, in order of the path's bytes, and the matrix of their vectors."""

    @abstractmethod
    def count(self) -> int:
        """Return the number of images that are there now."""

    @property
    def images(self) -> list[Image]:
        """Every image, in order of the path's bytes, as they were when first asked for."""
        return self._contents[0]

    @property
    def matrix(self) -> np.ndarray:
        """(n, dimension) float32; row i is the vector of `images[i]`."""
        return self._contents[1]

    @cached_property
    def _contents(self) -> tuple[list[Image], np.ndarray]:
        return self.fetch()

    def __len__(self) -> int:
        return len(self.images) if "_contents" in self.__dict__ else self.count()


class Store(Protocol):
    """Vectors by content hash, and images by path.

    So a rename, a copy or a swap of two files moves no vector, and an image that is known by its content is
    never embedded again.
    """

    @property
    def name(self) -> str:
        """Where the store is, for people to read: never with a password."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """`dimension`, `fingerprint`, and whatever else was given."""

    def close(self) -> None:
        """Let go of files, connections and processes."""

    def version(self) -> int:
        """Return a number that grows with each change; equal versions mean equal content."""

    def snapshot(self) -> Snapshot:
        """Return what a search sees."""

    def images(self) -> list[Image]:
        """Return every image, in order of the path's bytes."""

    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        """Return those of the content hashes that have a vector."""

    def write(
        self,
        images: Iterable[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Collection[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Remove images by path, then put images and the vectors of new content.

        Once it returns, the change is on the disk. An image whose path is there already is replaced.

        Returns:
            How many of the paths to remove were there.
        """

    def rebind(self, metadata: Mapping[str, str]) -> None:
        """Give a store that holds no images this metadata; one that holds images is left as it is.

        The store is another one afterwards: whoever else has it open can use it no more.
        """

    def sweep(self) -> None:
        """Delete the vectors that no image has any more; what a search sees does not change."""


def bound_elsewhere(name: str) -> DeepRankingError:
    """Return the error of using a store that was given another model since it was opened."""
    return DeepRankingError(
        f"{name}: was empty, and another process has bound it to another model since; "
        "use that model, or another place for the index"
    )
