"""Batches of P classes with K images each, for in-batch mining."""

from functools import lru_cache

import numpy as np

from deep_ranking.images.batches import ImageBatches
from deep_ranking.images.cache import ImageCache
from deep_ranking.triplets.class_batches import ClassBatches
from deep_ranking.triplets.labelled import LabelledImages


class LabelledBatches(ImageBatches):
    """The images of `ClassBatches`, with their classes as targets.

    An item is `((rows, images), targets)` as `ImageBatches` has it: (P * K,) int32, (P * K, height, width, 3)
    uint8 and (P * K, 1) float32. Deals of images differ by a few batches; every epoch has as many as the
    first.

    Args:
        labelled: the images.
        deals: which of them make a batch.
        size: (height, width) in pixels.
        workers: threads that `fit` reads with.
        cache: keeps what was decoded; its size is `size`.
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
        self.labels, self.deals = labelled.labels, deals
        # Two epochs, since readers run ahead of training at an epoch's end.
        self._dealt = lru_cache(maxsize=2)(lambda epoch: list(deals.epoch(epoch)))
        self.items_per_batch = deals.classes_per_batch * deals.images_per_class
        self.items = len(self._dealt(0)) * self.items_per_batch

    def rows(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of a batch's images, and their classes."""
        dealt = self._dealt(epoch)
        rows = dealt[index % len(dealt)]
        return rows, self.labels[rows, None].astype(np.float32)
