"""Several processes, or several devices, that train one network, each with its share of every batch."""

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from deep_ranking.errors import DeepRankingError, MissingExtraError, expect, reason
from deep_ranking.images.batches import ImageBatches


@dataclass(frozen=True)
class Processes:
    """A process among those that train together.

    Args:
        count: how many there are, 1 or more. One alone trains on all devices of its machine, on JAX or with
            TensorFlow's MirroredStrategy; several need JAX.
        number: which one this is, from 0; the first writes the files.
        coordinator: `HOST:PORT` of the first, where the others find it.

    Raises:
        DeepRankingError: a number is out of its range, or the coordinator is missing.
    """

    count: int = 1
    number: int = 0
    coordinator: str | None = None

    def __post_init__(self) -> None:
        expect("--processes", self.count >= 1, "1 or more", self.count)
        expect("--process", 0 <= self.number < self.count, f"0 to {self.count - 1}", self.number)
        if self.count > 1 and not self.coordinator:
            raise DeepRankingError("--processes: expected --coordinator HOST:PORT of process 0, found none")

    @property
    def writes(self) -> bool:
        """Whether this process writes the files and tells what happens."""
        return self.number == 0

    @functools.cached_property
    def strategy(self) -> Any:
        """TensorFlow's, over all devices of one machine; None on JAX, where Keras itself distributes."""
        import keras

        if keras.backend.backend() != "tensorflow":
            return None
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])

    def scope(self) -> AbstractContextManager:
        """Return what networks are to be made in, so that each device has a copy."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def join(self) -> None:
        """Meet the others; on JAX, let Keras copy what is made from now on to all their devices.

        It comes before any network is made. On processors the processes' sums go through Gloo.

        Raises:
            DeepRankingError: Keras runs on a backend that cannot, or the others cannot be reached.
        """
        import keras

        able = ("jax",) if self.count > 1 else ("jax", "tensorflow")
        if (backend := keras.backend.backend()) not in able:
            raise DeepRankingError(
                f"--processes {self.count}: expected Keras on {' or '.join(able)}, found {backend}; "
                "set KERAS_BACKEND=jax"
            )
        if backend != "jax":
            return
        if self.count > 1:
            import jax

            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            try:
                keras.distribution.initialize(self.coordinator, self.count, self.number)
            except RuntimeError as error:
                raise DeepRankingError(
                    f"--coordinator {self.coordinator}: the processes did not meet ({reason(error)})"
                ) from error
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))

    def devices(self) -> tuple[int, range, bool]:
        """Return how many devices there are in all, which are this process's, and whether they are apart."""
        if self.strategy is not None:
            count = self.strategy.num_replicas_in_sync
            return count, range(count), True
        import jax

        here = jax.local_device_count()
        return jax.device_count(), range(self.number * here, (self.number + 1) * here), False

    def choose_backend(self) -> None:
        """Let Keras run on what several processes need; to be called before it is imported.

        Raises:
            MissingExtraError: JAX is not installed.
        """
        if self.count == 1:
            return
        try:
            import jax  # noqa: F401
        except ImportError:
            raise MissingExtraError("jax", "cluster", "--processes") from None
        os.environ.setdefault("KERAS_BACKEND", "jax")


_SIZES = 4
"""Numbers of distinct images that a share may have, so that few shapes have to be compiled."""


class BatchShares(ImageBatches):
    """What one process has of each batch of `ImageBatches` with `distinct=True`.

    A batch's rows are cut into one share a device, alike and of whole triplets. A share reads its own
    distinct images. All shares hold equally many images: one with fewer repeats some, to which no row points.
    Rows count over the images of all shares, so that the shares of all processes, one after the other, are a
    batch with the rows of the whole one.

    The items of a last batch that do not make another one for each share are left out of the epoch.

    Args:
        whole: the batches of all processes together.
        devices: how many shares there are, 1 or more.
        own: which of them are this process's.
        apart: the rows of each share count over its own images alone.

    Raises:
        DeepRankingError: a batch cannot be cut into so many.
    """

    def __init__(self, whole: ImageBatches, devices: int, own: range, apart: bool = False):
        # With several threads, Keras 3.15 under a TensorFlow strategy trains on batches out of place.
        super().__init__(whole.images, whole.size, True, None, 1 if apart else whole.workers)
        self.whole, self.devices, self.own, self.apart = whole, devices, own, apart
        self.unit, self.items_per_batch, self.classes = whole.unit, whole.items_per_batch, whole.classes
        self.items = whole.items - whole.items % devices
        if self.items_per_batch % devices or not self.items:
            raise DeepRankingError(
                f"expected {whole.unit} a batch and an epoch that {devices} devices can share alike, "
                f"found {self.items_per_batch} a batch of {whole.items}; change the batch size"
            )

    def rows(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what batch `index` of an epoch holds, in all shares together."""
        rows, targets = self.whole.rows(epoch, index)
        items = min(self.items_per_batch, self.whole.items - index * self.items_per_batch)
        kept = len(rows) // items * (items - items % self.devices)
        return rows[:kept], targets[:kept]

    def batch(self, epoch: int, index: int) -> tuple[Any, np.ndarray]:
        """Return this process's shares of batch `index` of an epoch.

        Raises:
            ImageError: an image cannot be read.
        """
        rows, targets = self.rows(epoch, index)
        parts = [np.unique(part, return_inverse=True) for part in np.split(rows, self.devices)]
        step = -(-len(rows) // (self.devices * _SIZES))
        size = -(-max(len(distinct) for distinct, _ in parts) // step) * step
        images = [np.resize(self.decoded(parts[i][0]), (size, *self.size, 3)) for i in self.own]
        positions = [parts[i][1] + (0 if self.apart else i * size) for i in self.own]
        own = slice(self.own.start * len(rows) // self.devices, self.own.stop * len(rows) // self.devices)
        return (np.concatenate(positions).astype(np.int32), np.concatenate(images)), targets[own]

    def decoded(self, positions: np.ndarray) -> np.ndarray:
        """Return images by their positions, (n, height, width, 3) uint8."""
        try:
            return self.whole.decoded(positions)
        finally:
            self.failure = self.whole.failure
