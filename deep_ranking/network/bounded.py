"""A network built from a description that need not be true."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from deep_ranking.errors import DeepRankingError

_one_at_a_time = threading.RLock()


@contextmanager
def at_most_weights(most: int) -> Iterator[None]:
    """Let no more weights be made in the block than this, all layers together.

    A description of a few bytes may ask for terabytes, which Keras would take before it looks for the values.

    Raises:
        DeepRankingError: the block asked for more; none of that was taken.

    Example:
        >>> with at_most_weights(10):
        ...     _ = keras.Sequential([keras.Input((3,)), keras.layers.Dense(100)])
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: it asks for 300 weights or more, where there is room for 10
    """
    made, thread = 0, threading.get_ident()
    add_weight = keras.Layer.add_weight

    def counted(layer: keras.Layer, shape: Any = None, *args: Any, **options: Any) -> Any:
        nonlocal made
        if threading.get_ident() == thread:
            made += math.prod(shape or ())
            if made > most:
                raise MemoryError
        return add_weight(layer, shape, *args, **options)

    with _one_at_a_time:
        keras.Layer.add_weight = counted
        try:
            yield
        except Exception as error:
            if made <= most:
                raise
            raise DeepRankingError(  # Keras has wrapped the other in words of its own
                f"it asks for {made:,} weights or more, where there is room for {most:,}"
            ) from error
        finally:
            keras.Layer.add_weight = add_weight
