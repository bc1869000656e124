"""A gradient on whatever backend Keras runs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def value_and_gradient(function: Callable[[Any], Any], at: np.ndarray) -> tuple[float, np.ndarray]:
    """Return a function's value at an array, and its slope in each coordinate."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        place = tf.Variable(at)
        with tf.GradientTape() as tape:
            value = function(place)
        return float(value), np.asarray(tape.gradient(value, place))
    if backend == "jax":
        import jax

        value, slope = jax.value_and_grad(function)(jax.numpy.asarray(at))
        return float(value), np.asarray(slope)
    import torch

    place = torch.tensor(at, requires_grad=True)
    value = function(place)
    value.backward()
    return float(value.detach()), place.grad.numpy()
