"""The generator: triplets in, batches of query, positive, negative images out, in that order."""

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.augment import Augmentation
from deep_ranking.images.batches import ImageBatches
from deep_ranking.images.cache import ImageCache
from deep_ranking.triplets.source import TripletSource
from deep_ranking.triplets.table import TripletTable


class ImageDataGenerator:
    """The blog's generator interface: augmentation settings, then `flow_from_directory`.

    Args:
        rescale: each pixel is multiplied by it; None leaves RGB 0..255, which is what the networks of this
            project take (their preprocessing is inside).
        preprocessing_function: called with each batch, (rows, height, width, 3) float32, after the rest.
        **augmentation: the fields of `Augmentation`: horizontal_flip, vertical_flip, rotation_range,
            zoom_range, shear_range, width_shift_range, height_shift_range, pixel_shift, fill_mode, cval.

    Raises:
        DeepRankingError: a value is out of its range.

    Example:
        >>> generator = ImageDataGenerator(rescale=1 / 255, horizontal_flip=True, rotation_range=30)
        >>> generator.augmentation.rotation_range
        30
    """

    def __init__(
        self,
        rescale: float | None = None,
        preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None,
        **augmentation: Any,
    ):
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.augmentation = Augmentation(**augmentation)

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        triplet_path: str | os.PathLike[str],
        batch_size: int = 24,
        target_size: tuple[int, int] = (224, 224),
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 1,
    ) -> "TripletBatches":
        """Return the batches of a triplet file, for `model.fit` or a `for` loop.

        Args:
            directory: root of the data set.
            triplet_path: the triplet file.
            batch_size: images a batch, a multiple of three; the last batch may be shorter.
            target_size: (height, width) in pixels.
            shuffle: see `TripletBatches`.
            seed: shuffling and augmentation depend on it alone.
            workers: threads that `fit` reads with.

        Raises:
            DeepRankingError: a bad triplet file, a missing image, or a bad batch size.
        """
        return TripletBatches(
            TripletTable.load(triplet_path, directory),
            batch_size,
            target_size,
            shuffle=shuffle,
            seed=seed,
            transform=self._transform(seed),
            workers=workers,
        )

    def _transform(self, seed: int) -> Callable[[np.ndarray, int], np.ndarray] | None:
        if self.augmentation.is_off and self.rescale is None and self.preprocessing_function is None:
            return None
        layers = self.augmentation.layers(seed)
        lock = threading.Lock()

        def transform(images: np.ndarray, number: int) -> np.ndarray:
            images = images.astype(np.float32)
            if layers:
                with lock:  # the layers' random state is set for each batch, so threads cannot mix it up
                    for layer in layers:
                        layer.generator.state.assign([layer.seed, number])
                        images = layer(images, training=True)
                images = keras.ops.convert_to_numpy(images)
            if self.rescale is not None:
                images = images * np.float32(self.rescale)
            return images if self.preprocessing_function is None else self.preprocessing_function(images)

        return transform


class TripletBatches(ImageBatches):
    """Batches of triplets: images in the order q, p, n, q, p, n, ... and zeros as targets.

    An item is `(images, targets)`: (3k, height, width, 3) and (3k, 1) float32. With `distinct=True` it is
    `((rows, images), targets)`: each distinct image of the batch once, (u, height, width, 3), and before them
    (3k,) int32 positions in it; a network then runs on u images instead of 3k. See `ImageBatches`.

    Args:
        table: the triplets: a file's, or a sampler's.
        batch_size: images a batch, a multiple of three; the last batch may be shorter.
        size: (height, width) in pixels.
        shuffle: change the order in each epoch. Runs of triplets with the same query and positive stay
            together, so that a batch shares images as a sampled file does.
        seed: the order depends on it and the epoch alone.
        distinct: see above.
        transform: called with the distinct images of a batch and the batch's running number.
        workers: threads that `fit` reads with.
        cache: keeps what was decoded, over batches and epochs; its size is `size`.

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
        transform: Callable[[np.ndarray, int], np.ndarray] | None = None,
        workers: int = 1,
        cache: ImageCache | None = None,
    ):
        super().__init__(table.images, size, distinct, transform, workers, cache)
        if batch_size < 3 or batch_size % 3:
            raise DeepRankingError(
                f"batch_size: expected a multiple of three (query, positive, negative), found {batch_size}"
            )
        self.table, self.batch_size, self.shuffle, self.seed = table, batch_size, shuffle, seed
        self.items, self.items_per_batch = len(table), batch_size // 3
        # Two epochs, since readers run ahead of training at an epoch's end.
        self._order = lru_cache(maxsize=2)(self._shuffled)

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
