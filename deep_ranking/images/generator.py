"""The generator: triplets in, batches of query, positive, negative images out, in that order."""

import os
import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from deep_ranking.images.augment import Augmentation
from deep_ranking.images.batches import TripletBatches
from deep_ranking.triplets.table import Triplets


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
            Triplets.load(triplet_path, directory),
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
