"""A batch in shares: each device of a training on several reads and computes its own part."""

from typing import Any

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.batches import ImageBatches

SIZES = 4
"""Numbers of distinct images that a share may have, so that few shapes have to be compiled."""


class BatchShares(ImageBatches):
    """What one process has of each batch of `ImageBatches` with `distinct=True`.

    A batch's rows are cut into one share a device, alike and of whole triplets. A share reads its own
    distinct images. All shares are filled up to the same number of images by repeating theirs (nothing refers
    to these), and rows count over the images of all shares. So the shares of all processes, one after the
    other, are a batch with the rows of the whole one.

    What a last batch has beyond equal shares, less than an item for each, is left out of the epoch.

    Args:
        whole: the batches of all processes together.
        shares: how many shares there are, 1 or more.
        own: which of them are this process's.
        apart: see above.

    Raises:
        DeepRankingError: a batch cannot be cut into so many.
    """

    def __init__(self, whole: ImageBatches, shares: int, own: range, apart: bool = False):
        # With several threads, Keras 3.15 under a TensorFlow strategy trains on batches out of place.
        super().__init__(whole.images, whole.size, True, None, 1 if apart else whole.workers)
        self.whole, self.shares, self.own, self.apart = whole, shares, own, apart
        self.unit, self.items_per_batch = whole.unit, whole.items_per_batch
        self.items = whole.items - whole.items % shares
        if self.items_per_batch % shares or not self.items:
            raise DeepRankingError(
                f"expected {whole.unit} a batch and an epoch that {shares} devices can share alike, "
                f"found {self.items_per_batch} a batch of {whole.items}; change the batch size"
            )

    def rows(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what batch `index` of an epoch holds, in all shares together."""
        rows, targets = self.whole.rows(epoch, index)
        items = min(self.items_per_batch, self.whole.items - index * self.items_per_batch)
        kept = len(rows) // items * (items - items % self.shares)
        return rows[:kept], targets[:kept]

    def batch(self, epoch: int, index: int) -> tuple[Any, np.ndarray]:
        """Return this process's shares of batch `index` of an epoch.

        Raises:
            ImageError: an image cannot be read.
        """
        rows, targets = self.rows(epoch, index)
        parts = [np.unique(part, return_inverse=True) for part in np.split(rows, self.shares)]
        step = -(-len(rows) // (self.shares * SIZES))
        size = -(-max(len(distinct) for distinct, _ in parts) // step) * step
        images = [np.resize(self.decoded(parts[i][0]), (size, *self.size, 3)) for i in self.own]
        positions = [parts[i][1] + (0 if self.apart else i * size) for i in self.own]
        own = slice(self.own.start * len(rows) // self.shares, self.own.stop * len(rows) // self.shares)
        return (np.concatenate(positions).astype(np.int32), np.concatenate(images)), targets[own]

    def decoded(self, positions: np.ndarray) -> np.ndarray:
        """Return images by their positions, (n, height, width, 3) uint8."""
        try:
            return self.whole.decoded(positions)
        finally:
            self.failure = self.whole.failure
