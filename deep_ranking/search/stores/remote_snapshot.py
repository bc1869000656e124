"""A snapshot of a store that is elsewhere: what is searched there need not be fetched."""

from abc import abstractmethod
from functools import cached_property

import numpy as np

from deep_ranking.search.image import Image
from deep_ranking.search.snapshot import Snapshot


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
