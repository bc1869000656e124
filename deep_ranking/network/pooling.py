"""What the positions of an activation map are summed up by, beside their mean and maximum: Keras layers."""

from typing import Any

import keras
import numpy as np
from keras import ops

PACKAGE = "deep_ranking"
_EPSILON = 1e-6


@keras.saving.register_keras_serializable(PACKAGE)
class Spread(keras.layers.Layer):
    """The standard deviation of each channel over the positions: (b, h, w, c) -> (b, c).

    Where the mean tells how much of something there is, this tells how unevenly it lies.
    """

    def call(self, activations: Any) -> Any:
        """Return the root of the variances; of a constant channel, 0.001 (a finite gradient there)."""
        return ops.sqrt(ops.var(activations, axis=(1, 2)) + _EPSILON)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (b, c)."""
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable(PACKAGE)
class Quadrants(keras.layers.Layer):
    """The mean of each channel in each quarter of the image: (b, h, w, c) -> (b, 4c), so layout is kept.

    The order is top left, top right, bottom left, bottom right. Of an odd side the quarters share the middle
    row or column. A side has 2 positions or more.
    """

    def call(self, activations: Any) -> Any:
        """Return the four means, one after the other."""
        _, height, width, _ = activations.shape
        rows, columns = _halves(height), _halves(width)
        means = [ops.mean(activations[:, r, c], axis=(1, 2)) for r in rows for c in columns]
        return ops.concatenate(means, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (b, 4c)."""
        return (input_shape[0], 4 * input_shape[-1])


@keras.saving.register_keras_serializable(PACKAGE)
class SecondMoments(keras.layers.Layer):
    """The mean product of each two channels over the positions: (b, h, w, c) -> (b, c (c + 1) / 2).

    Which patterns occur together, wherever they do: texture and style. The upper triangle, row by row.

    Source: Gatys, Ecker and Bethge 2015, "Texture synthesis using convolutional neural networks".
    """

    def call(self, activations: Any) -> Any:
        """Return the upper triangle of X^T X / positions."""
        _, height, width, channels = activations.shape
        flat = ops.reshape(activations, (-1, height * width, channels))
        products = ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / (height * width)
        row, column = np.triu_indices(channels)
        products = ops.reshape(products, (-1, channels * channels))
        return ops.take(products, row * channels + column, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (b, c (c + 1) / 2)."""
        return (input_shape[0], input_shape[-1] * (input_shape[-1] + 1) // 2)


@keras.saving.register_keras_serializable(PACKAGE)
class SignedRoot(keras.layers.Layer):
    """x / sqrt(|x| + 1e-6), nearly sign(x) sqrt(|x|): few large values no longer drown the many small.

    Source: Perronnin, Sanchez and Mensink 2010, "Improving the Fisher kernel", section 3.2.
    """

    def call(self, values: Any) -> Any:
        """Return the values' roots."""
        return values / ops.sqrt(ops.abs(values) + _EPSILON)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


def _halves(side: int) -> tuple[slice, slice]:
    half = -(-side // 2)
    return slice(0, half), slice(side - half, side)
