"""Several processes, or several devices, that train one network, each with its share of every batch."""

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from deep_ranking.errors import DeepRankingError, MissingExtraError, expect, reason


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

    def shares(self) -> tuple[int, range, bool]:
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
