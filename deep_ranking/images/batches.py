"""Batches of images, each a pure function of its epoch and its place in it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import ImageError, read_image

_EIGHT = 8


class ImageBatches(keras.utils.PyDataset, ABC):
    """Reads the images of batches; a subclass says which they are.

    An item is `(images, targets)`, or with `distinct=True` `((rows, images), targets)`: each distinct image
    of the batch once, and for each row of the batch the position of its image. Rows come first, since Keras
    weighs a batch in an epoch's loss by the length of the first input. Images are uint8 RGB unless a
    transform makes them something else. Each distinct image is decoded once a batch. On JAX, where each new
    shape costs a compilation, distinct images are filled up by repeats to a multiple of eight.

    Args:
        images: path of each image.
        size: (height, width) in pixels.
        distinct: see above.
        transform: called with the distinct images of a batch and the batch's running number.
        workers: threads that `fit` reads with.
        cache: keeps what was decoded; its size is `size`.

    Attributes:
        items: what an epoch holds, counted in `unit`.
        items_per_batch: how many of them a whole batch holds.
        failure: the error of a reading thread, whose exceptions backends wrap.
        fetch: called with positions of distinct images, (u,), and the batch's running number, gives what
            `fit` sees of them, (u, ...); unless replaced, their pixels.
    """

    unit: str
    items: int
    items_per_batch: int

    def __init__(
        self,
        images: Sequence[str],
        size: tuple[int, int],
        distinct: bool,
        transform: Callable[[np.ndarray, int], np.ndarray] | None,
        workers: int,
        cache: ImageCache | None = None,
    ):
        super().__init__(workers=workers, max_queue_size=max(4, 2 * workers))
        self.images, self.size, self.distinct, self.transform = images, size, distinct, transform
        self.read = (lambda path: read_image(path, size)) if cache is None else cache.read
        self.epoch = 0
        self.failure: ImageError | None = None
        self.fetch: Callable[[np.ndarray, int], np.ndarray] = self._pixels

    @abstractmethod
    def rows(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what batch `index` of an epoch holds: positions of images, (b,), and targets, (b, 1)."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-self.items // self.items_per_batch)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        """Return batch `index` of the current epoch."""
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self.batch(self.epoch, index)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch; `fit` calls it."""
        self.epoch += 1

    def batch(self, epoch: int, index: int) -> tuple[Any, np.ndarray]:
        """Return batch `index` of an epoch.

        Raises:
            ImageError: an image cannot be read.
        """
        rows, targets = self.rows(epoch, index)
        distinct, inverse = np.unique(rows, return_inverse=True)
        images = self.fetch(distinct, epoch * len(self) + index)
        if self.distinct and keras.backend.backend() == "jax":
            # XLA compiles a step anew for each shape; repeats, which no row points at, leave few shapes.
            missing = -len(images) % _EIGHT
            if missing:
                images = np.resize(images, (len(images) + missing, *images.shape[1:]))
        inverse = inverse.astype(np.int32)
        return ((inverse, images), targets) if self.distinct else (images[inverse], targets)

    def decoded(self, positions: np.ndarray) -> np.ndarray:
        """Return images by their positions, (n, height, width, 3) uint8.

        Raises:
            ImageError: one cannot be read.
        """
        try:
            return np.stack([self.read(self.images[i]) for i in positions])
        except ImageError as error:
            self.failure = error
            raise

    def _pixels(self, positions: np.ndarray, number: int) -> np.ndarray:
        images = self.decoded(positions)
        return images if self.transform is None else self.transform(images, number)


class BatchStream(keras.utils.PyDataset):
    """All epochs of `ImageBatches` as one endless run of batches, from any step on.

    Keras starts reading a new epoch before it tells the data set so; here the epoch follows from the step
    alone, reading goes on across epochs, and a resumed training starts where it stopped.

    Args:
        batches: what is streamed; it is not changed.
        start: step to begin with, counted over all epochs.
    """

    def __init__(self, batches: ImageBatches, start: int = 0):
        super().__init__(workers=batches.workers, max_queue_size=batches.max_queue_size)
        self.batches, self.start = batches, start

    @property
    def num_batches(self) -> None:
        """None: there is no end."""
        return None

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        """Return the batch of step `start + index`."""
        return self.batches.batch(*divmod(self.start + index, len(self.batches)))
