"""The custom Keras layers; importing this module registers them, so that saved models load."""

from typing import Any

import keras
from keras import ops

from deep_ranking.errors import expect
from deep_ranking.network import colour, mirror, pooling  # noqa: F401 - registered with those here


@keras.saving.register_keras_serializable("deep_ranking")
class ImageNetCentering(keras.layers.Layer):
    """RGB 0..255 to what VGG and ResNet weights were trained on: BGR with ImageNet's mean subtracted.

    Input and output: (batch, height, width, 3). The means are those of `keras.applications`' "caffe" mode.
    """

    MEAN_BGR = (103.939, 116.779, 123.68)

    def call(self, images: Any) -> Any:
        """Reverse the channels and subtract their means."""
        return ops.flip(images, axis=-1) - ops.convert_to_tensor(self.MEAN_BGR, images.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


@keras.saving.register_keras_serializable("deep_ranking")
class GradientScale(keras.layers.Layer):
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
        """Return the values."""
        return values + (self.factor - 1) * (values - ops.stop_gradient(values))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the factor."""
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("deep_ranking")
class LocalResponseNormalization(keras.layers.Layer):
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
        """Normalize across channels."""
        channels = activations.shape[-1]
        around = [[0, 0]] * (len(activations.shape) - 1) + [[self.radius, self.radius]]
        squares = ops.pad(ops.square(activations), around)
        energy = sum(squares[..., i : i + channels] for i in range(2 * self.radius + 1))
        return activations / ops.power(self.bias + self.alpha * energy, self.beta)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constants."""
        constants = {name: getattr(self, name) for name in ("radius", "bias", "alpha", "beta")}
        return {**super().get_config(), **constants}
