"""The colour paths: CIE LAB pixels and their histogram, as Keras layers."""

from typing import Any

import keras
import numpy as np
from keras import ops

_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ],
    np.float32,
)
_WHITE = np.array([0.95047, 1.0, 1.08883], np.float32)
_LOW, _HIGH = (0.0, -50.0, -50.0), (100.0, 50.0, 50.0)


@keras.saving.register_keras_serializable("deep_ranking")
class LabColour(keras.layers.Layer):
    """sRGB 0..255 to CIE LAB (D65): (..., 3) -> (..., 3), L 0..100, a and b about -100..100.

    Equal steps look about equally large there. Source: CIE 15:2004; sRGB by IEC 61966-2-1.
    """

    def call(self, images: Any) -> Any:
        """Convert the last axis."""
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

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("deep_ranking")
class ColourHistogram(keras.layers.Layer):
    """The share of the pixels near each point of a grid in LAB: (b, h, w, 3) -> (b, 245).

    The grid has 5 points along L from 0 to 100 and 7 along a and b from -50 to 50 (stronger colours
    count at its edge). A pixel is shared out among the eight points around it, the nearer the
    more, so that a slight change of colour makes a slight change of the histogram.
    """

    BINS = (5, 7, 7)

    def call(self, lab: Any) -> Any:
        """Count; the shares of an image sum to 1."""
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
        """Return (b, 245)."""
        return (input_shape[0], 245)
