"""What an index is kept in: the contract that every store fulfils."""

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.location import how_to_make
from deep_ranking.search.cache import Caches
from deep_ranking.search.image import Image
from deep_ranking.search.part import Part, whole
from deep_ranking.search.segment import Segment
from deep_ranking.search.snapshot import Snapshot


def new_mark() -> str:
    """Return 16 letters that no other state of any store has."""
    return secrets.token_hex(8)


class IndexExistsError(DeepRankingError):
    """An index was to be made where there is one already."""


class Contents(NamedTuple):
    """Everything of one moment.

    Attributes:
        version: the store's, of that moment.
        parts: where the images and their vectors are, as the model gave them; a path is in one of them.
        learned: the text of the map that the vectors are searched under; see `learned.Stretch`.
    """

    version: str
    parts: Sequence[Part]
    learned: str = ""

    @classmethod
    def of(
        cls,
        version: str,
        images: Iterable[Image],
        matrix: np.ndarray,
        learned: str = "",
        caches: Caches | None = None,
    ) -> "Contents":
        """Return contents that are read as one, of images and vectors as of `Segment`."""
        return cls(version, (Part(Segment(images, matrix, caches)),), learned)

    def whole(self) -> Segment:
        """Return the images and vectors, as the model gave them, as one segment."""
        return whole(self.parts)


class Store(ABC):
    """Vectors by content hash, and images by path.

    So a rename, a copy or a swap of two files moves no vector, and an image that is known by its content is
    never embedded again.

    A new kind of store fulfils what is abstract here, and is searched by what comes with it, a `Snapshot` of
    its contents; `register_store` gives it a scheme, `SCHEME://...`. What it can do faster itself, such as to
    count or to search, it does in place of what is here.

    Args:
        place: where the store is. A subclass opens it, and fills `metadata`.

    Attributes:
        name: the place for people to read.
        metadata: `dimension`, `fingerprint`, `identity` (another for each store that is made), and whatever
            else was given to `create` and `write`.

    Raises:
        DeepRankingError: there is no store, or it cannot be used.
    """

    metadata: dict[str, str]

    def __init__(self, place: str | os.PathLike[str]):
        self.name = self.shown(place)

    @classmethod
    @abstractmethod
    def create(cls, place: str | os.PathLike[str], metadata: Mapping[str, str]) -> Self:
        """Make an empty store with this metadata, and open it.

        Raises:
            IndexExistsError: there is one already.
            DeepRankingError: it cannot be made there.
        """

    @classmethod
    @abstractmethod
    def exists(cls, place: str | os.PathLike[str]) -> bool:
        """Tell whether there is a store at a place."""

    @abstractmethod
    def version(self) -> str:
        """Return a mark of what is there now, another after each change; equal marks mean equal content.

        Where the store can be put back to an earlier moment, as from a backup, a count of changes is no such
        mark: what is written then counts on from there. A mark is random (`new_mark`), kept with the change.
        """

    @abstractmethod
    def contents(self) -> Contents:
        """Return everything there is now."""

    @abstractmethod
    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        """Return those of the content hashes that have a vector."""

    @abstractmethod
    def write(
        self,
        images: Iterable[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Collection[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Remove images by path, then put images and the vectors of new content, in one transaction.

        Once it returns, the change is kept for good. An image whose path is there already is replaced.

        Returns:
            How many of the paths to remove were there.
        """

    @abstractmethod
    def sweep(self) -> None:
        """Delete the vectors that no image has any more; what a search sees does not change."""

    def close(self) -> None:  # noqa: B027 - a store may hold nothing
        """Let go of files, connections and processes."""

    def snapshot(self) -> Snapshot:
        """Return what a search sees: the images and vectors of this moment, whatever is written later."""
        return Snapshot(self)

    def images(self) -> list[Image]:
        """Return every image, in order of the path's bytes."""
        return list(self.contents().whole().images)

    def count(self) -> int:
        """Return how many images there are."""
        return len(self.images())

    def caches(self, version: str) -> Caches | None:
        """Return where what is made of a version is kept; None to make it anew in each process."""
        return None

    @property
    def dimension(self) -> int:
        """Coordinates of a vector."""
        return int(self.metadata["dimension"])

    @staticmethod
    def shown(place: str | os.PathLike[str]) -> str:
        """Return a place for people to read, whether there is a store or not: never with a password."""
        return os.fspath(place)

    @staticmethod
    def folder_of(place: str | os.PathLike[str]) -> Path | None:
        """Return the folder in which other files may be kept beside the store; None where there is none."""
        return None

    @classmethod
    def missing(cls, place: str | os.PathLike[str], found: str = "none") -> DeepRankingError:
        """Return the error that says that there is no store at a place, and how to make one."""
        name = cls.shown(place)
        return DeepRankingError(
            f"{name}: expected an index, found {found}; make one with: {how_to_make(name)}"
        )
