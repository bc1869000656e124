"""What an index is kept in: the contract that every store fulfils."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.image import Image
from deep_ranking.search.snapshot import Snapshot


class IndexExistsError(DeepRankingError):
    """An index was to be made where there is one already."""


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
