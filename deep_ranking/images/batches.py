"""Batches of images, each a pure function of its epoch and its place in it."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from numbers import Integral
from typing import Any, Self

import keras
import numpy as np

from deep_ranking.errors import expect
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import ImageError, read_image
from deep_ranking.triplets.table import LabelledImages, TripletSource
from deep_ranking.triplets.uniform import ClassBatches

Source = Callable[[np.ndarray, int], np.ndarray]
"""Called with positions of distinct images, (u,), and the batch's running number, gives what `fit` sees of
them, (u, ...)."""


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
        cache: keeps what was decoded, over batches and epochs; its size is `size`.

    Attributes:
        items: what an epoch holds, counted in `unit`.
        items_per_batch: how many of them a whole batch holds.
        classes: how many the targets name; 0 where they name none.
        failure: the error of a reading thread, whose exceptions backends wrap.
    """

    unit: str
    items: int
    items_per_batch: int
    classes = 0

    def __init__(
        self,
        images: Sequence[str],
        size: tuple[int, int],
        distinct: bool,
        transform: Source | None,
        workers: int,
        cache: ImageCache | None = None,
    ):
        expect("workers", isinstance(workers, Integral) and workers >= 0, "a number of threads", workers)
        super().__init__(workers=workers, max_queue_size=max(4, 2 * workers))
        self.images, self.size, self.distinct, self.transform = images, size, distinct, transform
        self.cache = cache
        self.epoch = 0
        self.failure: ImageError | None = None
        self.source: Source = self._pixels

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes along to another process that `fit` reads in, without what is only kept."""
        return {name: value for name, value in vars(self).items() if name != "_order"}

    def read(self, path: str) -> np.ndarray:
        """Return an image, (height, width, 3) uint8, decoded now or before."""
        return read_image(path, self.size) if self.cache is None else self.cache.read(path)

    def reading(self, source: Source) -> Self:
        """Return the same batches with what a source gives in place of the images' pixels."""
        batches = copy.copy(self)
        batches.source = source
        return batches

    @abstractmethod
    def rows(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what batch `index` of an epoch holds: positions of images, (b,), and targets, (b, 1)."""

    def __len__(self) -> int:
        return -(-self.items // self.items_per_batch)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
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
        images = self.source(distinct, epoch * len(self) + index)
        missing = -len(images) % 8
        if missing and self.distinct and keras.backend.backend() == "jax":
            # XLA compiles a step anew for each shape; repeats, which no row points at, leave few shapes.
            images = np.resize(images, (len(images) + missing, *images.shape[1:]))
        return ((inverse.astype(np.int32), images) if self.distinct else images[inverse]), targets

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

    Keras begins to read a new epoch before it says so to the data set. Here the epoch follows from the step
    alone: reading goes on across epochs, and a resumed training starts where it stopped.

    Args:
        batches: what is streamed; it is not changed.
        start: step to begin with, counted over all epochs.
    """

    def __init__(self, batches: ImageBatches, start: int = 0):
        super().__init__(workers=batches.workers, max_queue_size=batches.max_queue_size)
        self.batches, self.start = batches, start

    @property
    def num_batches(self) -> None:
        """None, by which Keras knows that the batches have no end."""
        return None

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        return self.batches.batch(*divmod(self.start + index, len(self.batches)))


class TripletBatches(ImageBatches):
    """Batches of triplets: images in the order q, p, n, q, p, n, ... and zeros as targets.

    An item is `(images, targets)`: (3k, height, width, 3) and (3k, 1) float32. With `distinct=True` it is
    `((rows, images), targets)`, as `ImageBatches` has it: (3k,) int32, (u, height, width, 3) and the same
    targets; a network then runs on u images instead of 3k.

    Args:
        table: the triplets: a file's, or a sampler's.
        batch_size: images a batch, a multiple of three; the last batch may be shorter.
        shuffle: change the order in each epoch. Runs of triplets with the same query and positive stay
            together, so that a batch shares images as a sampled file does.
        seed: the order depends on it and the epoch alone.
        size, distinct, transform, workers, cache: see `ImageBatches`.

    Raises:
        DeepRankingError: the batch size is no multiple of three.
        ImageError: while iterating, an image cannot be read.
    """

    unit = "triplets"

    def __init__(
        self,
        table: TripletSource,
        batch_size: int = 24,
        size: tuple[int, int] = (224, 224),
        *,
        shuffle: bool = False,
        seed: int = 0,
        distinct: bool = False,
        transform: Source | None = None,
        workers: int = 1,
        cache: ImageCache | None = None,
    ):
        super().__init__(table.images, size, distinct, transform, workers, cache)
        threes = isinstance(batch_size, Integral) and batch_size >= 3 and batch_size % 3 == 0
        expect("batch_size", threes, "a multiple of three (query, positive, negative)", batch_size)
        self.table, self.batch_size, self.shuffle, self.seed = table, batch_size, shuffle, seed
        self.items, self.items_per_batch = len(table), batch_size // 3

    @cached_property
    def _order(self) -> Callable[[int], np.ndarray]:
        """The triplets' order in an epoch; two are kept, since readers run ahead at an epoch's end."""
        return lru_cache(maxsize=2)(self._shuffled)

    def rows(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of a batch's images in the order q, p, n, q, p, n, ... and zeros."""
        which = slice(index * self.items_per_batch, (index + 1) * self.items_per_batch)
        triplets = self.table.epoch(epoch)
        rows = triplets[self._order(epoch)[which] if self.shuffle else which].reshape(-1)
        return rows, np.zeros((len(rows), 1), np.float32)

    def _shuffled(self, epoch: int) -> np.ndarray:
        """Return the triplets' order in an epoch: whole runs of one (query, positive), runs shuffled."""
        pairs = self.table.epoch(epoch)[:, :2]
        starts = np.flatnonzero(np.r_[True, (pairs[1:] != pairs[:-1]).any(axis=1)])
        lengths = np.diff(np.r_[starts, len(pairs)])
        runs = np.random.default_rng([self.seed, epoch]).permutation(len(starts))
        lengths = lengths[runs]
        ends = np.cumsum(lengths)
        return (np.repeat(starts[runs] - (ends - lengths), lengths) + np.arange(len(pairs))).astype(np.int32)


class LabelledBatches(ImageBatches):
    """The images of `ClassBatches`, with their classes as targets.

    An item is `((rows, images), targets)` as `ImageBatches` has it: (P * K,) int32, (P * K, height, width, 3)
    uint8 and (P * K, 1) float32. Deals of images differ by a few batches; every epoch has as many as the
    first.

    Args:
        labelled: the images.
        deals: which of them make a batch.
        size, workers, cache: see `ImageBatches`.
    """

    unit = "images"

    def __init__(
        self,
        labelled: LabelledImages,
        deals: ClassBatches,
        size: tuple[int, int] = (224, 224),
        workers: int = 1,
        cache: ImageCache | None = None,
    ):
        super().__init__(labelled.images, size, True, None, workers, cache)
        self.labels, self.deals, self.classes = labelled.labels, deals, int(labelled.labels.max()) + 1
        # Two epochs, since readers run ahead of training at an epoch's end.
        self._dealt = lru_cache(maxsize=2)(lambda epoch: list(deals.epoch(epoch)))
        self.items_per_batch = deals.classes_per_batch * deals.images_per_class
        self.items = len(self._dealt(0)) * self.items_per_batch

    def rows(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of a batch's images, and their classes."""
        dealt = self._dealt(epoch)
        rows = dealt[index % len(dealt)]
        return rows, self.labels[rows, None].astype(np.float32)
