"""The custom Keras layers; importing this module registers them, so that saved models load.

Around the ConvNet: `ImageNetCentering`, `Mirror`, `GradientScale`; in one, `LocalResponseNormalization`. For
the blend: what sums up the positions of an activation map beside their mean and maximum (`Spread`,
`Quadrants`, `SecondMoments`, `SignedRoot`), and the colour path (`LabColour`, `ColourHistogram`).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from deep_ranking.errors import expect

_register = keras.saving.register_keras_serializable("deep_ranking")
_EPSILON = 1e-6


class _SameShape(keras.layers.Layer):
    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@_register
class ImageNetCentering(_SameShape):
    """RGB 0..255 to what VGG and ResNet weights were trained on: BGR with ImageNet's mean subtracted.

    Input and output: (batch, height, width, 3). The means are those of `keras.applications`' "caffe" mode.
    """

    MEAN_BGR = (103.939, 116.779, 123.68)

    def call(self, images: Any) -> Any:
        return ops.flip(images, axis=-1) - ops.convert_to_tensor(self.MEAN_BGR, images.dtype)


@_register
class GradientScale(_SameShape):
    """Pass values on; scale the gradient that comes back.

    Under plain gradient descent, with momentum or without, what lies before it learns at `factor` times the
    learning rate.

    Args:
        factor: 0 or more.

    Raises:
        DeepRankingError: a factor below 0.
    """

    def __init__(self, factor: float, **kwargs: Any):
        super().__init__(**kwargs)
        expect("factor", factor >= 0, "0 or more", factor)
        self.factor = factor

    def call(self, values: Any) -> Any:
        return values + (self.factor - 1) * (values - ops.stop_gradient(values))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@_register
class LocalResponseNormalization(_SameShape):
    """Divide each activation by the strength of its neighbours in the channels.

    b_i = a_i / (bias + alpha * sum_{j = i-radius}^{i+radius} a_j^2) ^ beta, channels beyond the ends count 0.
    Input and output: (batch, height, width, channels). Source: Krizhevsky et al. 2012, section 3.3, whose
    ConvNet the paper takes; the constants are theirs.
    """

    def __init__(
        self, radius: int = 2, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any
    ):
        super().__init__(**kwargs)
        expect("radius", radius >= 0, "0 or more channels on each side", radius)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, activations: Any) -> Any:
        channels = activations.shape[-1]
        around = [[0, 0]] * (len(activations.shape) - 1) + [[self.radius, self.radius]]
        squares = ops.pad(ops.square(activations), around)
        energy = sum(squares[..., i : i + channels] for i in range(2 * self.radius + 1))
        return activations / ops.power(self.bias + self.alpha * energy, self.beta)

    def get_config(self) -> dict[str, Any]:
        constants = {name: getattr(self, name) for name in ("radius", "bias", "alpha", "beta")}
        return {**super().get_config(), **constants}


@_register
class Mirror(_SameShape):
    """Exchange left and right: (b, h, w, c) -> (b, h, w, c)."""

    def call(self, images: Any) -> Any:
        return ops.flip(images, axis=2)


@_register
class Spread(keras.layers.Layer):
    """The standard deviation of each channel over the positions: (b, h, w, c) -> (b, c).

    Where the mean tells how much of something there is, this tells how unevenly it lies.
    """

    def call(self, activations: Any) -> Any:
        """Return the root of the variances; of a constant channel, 0.001 (a finite gradient there)."""
        return ops.sqrt(ops.var(activations, axis=(1, 2)) + _EPSILON)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[-1])


@_register
class Quadrants(keras.layers.Layer):
    """The mean of each channel in each quarter of the image: (b, h, w, c) -> (b, 4c), so layout is kept.

    The order is top left, top right, bottom left, bottom right. Of an odd side the quarters share the middle
    row or column. A side has 2 positions or more.
    """

    def call(self, activations: Any) -> Any:
        rows, columns = map(_halves, activations.shape[1:3])
        means = [ops.mean(activations[:, r, c], axis=(1, 2)) for r in rows for c in columns]
        return ops.concatenate(means, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], 4 * input_shape[-1])


@_register
class SecondMoments(keras.layers.Layer):
    """The mean product of each two channels over the positions: (b, h, w, c) -> (b, c (c + 1) / 2).

    Which patterns occur together, wherever they do: texture and style. The upper triangle of X^T X over the
    positions, row by row.

    Source: Gatys, Ecker and Bethge 2015, "Texture synthesis using convolutional neural networks".
    """

    def call(self, activations: Any) -> Any:
        _, height, width, channels = activations.shape
        flat = ops.reshape(activations, (-1, height * width, channels))
        products = ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / (height * width)
        row, column = np.triu_indices(channels)
        products = ops.reshape(products, (-1, channels * channels))
        return ops.take(products, row * channels + column, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[-1] * (input_shape[-1] + 1) // 2)


@_register
class SignedRoot(_SameShape):
    """x / sqrt(|x| + 1e-6), nearly sign(x) sqrt(|x|): few large values no longer drown the many small.

    Source: Perronnin, Sanchez and Mensink 2010, "Improving the Fisher kernel", section 3.2.
    """

    def call(self, values: Any) -> Any:
        return values / ops.sqrt(ops.abs(values) + _EPSILON)


_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
    np.float32,
)
_WHITE = np.array([0.95047, 1.0, 1.08883], np.float32)
_LOW, _HIGH = (0.0, -50.0, -50.0), (100.0, 50.0, 50.0)


@_register
class LabColour(_SameShape):
    """sRGB 0..255 to CIE LAB (D65): (..., 3) -> (..., 3), L 0..100, a and b about -100..100.

    Equal steps look about equally large there. Source: CIE 15:2004; sRGB by IEC 61966-2-1.
    """

    def call(self, images: Any) -> Any:
        # Clipped where the other branch is taken, so that no power of a negative number is differentiated.
        rgb = ops.clip(images / 255.0, 0.0, 1.0)
        linear = ops.where(
            rgb > 0.04045, ops.power((ops.maximum(rgb, 0.04045) + 0.055) / 1.055, 2.4), rgb / 12.92
        )
        xyz = ops.matmul(linear, ops.convert_to_tensor((_TO_XYZ / _WHITE[:, None]).T, linear.dtype))
        root = ops.power(ops.maximum(xyz, 0.008856), 1 / 3)
        f = ops.where(xyz > 0.008856, root, 7.787 * xyz + 16 / 116)
        x, y, z = f[..., 0], f[..., 1], f[..., 2]
        return ops.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@_register
class ColourHistogram(keras.layers.Layer):
    """The share of the pixels near each point of a grid in LAB: (b, h, w, 3) -> (b, 245), 1 together.

    The grid has 5 points along L from 0 to 100 and 7 along a and b from -50 to 50 (stronger colours
    count at its edge). A pixel is shared out among the eight points around it, the nearer the
    more, so that a slight change of colour makes a slight change of the histogram.
    """

    BINS = (5, 7, 7)

    def call(self, lab: Any) -> Any:
        _, height, width, _ = lab.shape
        lab = ops.reshape(lab, (-1, height * width, 3))
        shares = []
        for axis, (low, high, bins) in enumerate(zip(_LOW, _HIGH, self.BINS, strict=True)):
            place = ops.clip((lab[..., axis] - low) / (high - low), 0.0, 1.0) * (bins - 1)
            points = ops.arange(bins, dtype=place.dtype)
            shares.append(ops.relu(1 - ops.abs(place[..., None] - points)))
        light, a, b = shares
        colour = ops.reshape(a[..., :, None] * b[..., None, :], (-1, height * width, 49))
        counts = ops.matmul(ops.transpose(light, (0, 2, 1)), colour) / (height * width)
        return ops.reshape(counts, (-1, 245))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], 245)


def _halves(side: int) -> tuple[slice, slice]:
    half = -(-side // 2)
    return slice(0, half), slice(side - half, side)
