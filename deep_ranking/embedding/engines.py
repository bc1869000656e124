"""What runs the network over pixels: Keras itself, or OpenVINO, several times faster on processors."""

from typing import Any, Protocol

import keras
import numpy as np

from deep_ranking.errors import DeepRankingError, MissingExtraError

PRECISIONS = ("float32", "bfloat16")


class Engine(Protocol):
    """Takes (n, height, width, 3) uint8 or float, RGB 0..255; returns (n, d) float32."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Embed a batch."""


class KerasEngine:
    """Keras's own forward pass, in the number types that the network was built with."""

    def __init__(self, network: keras.Model):
        self.network = network

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Embed a batch."""
        return np.asarray(self.network.predict_on_batch(images), np.float32)


class OpenVINOEngine:
    """The network converted for OpenVINO's CPU plugin; takes bytes as they come from the decoder.

    Args:
        network: converted once, which takes seconds.
        precision: "float32", or "bfloat16" where the processor has it (twice as fast on some networks; the
            cosine to the Keras result stays above 0.999).

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, network: keras.Model, precision: str = "float32"):
        try:
            import openvino
            from openvino.preprocess import PrePostProcessor
        except ImportError:
            raise MissingExtraError("openvino", "fast", "--engine openvino") from None
        if precision not in PRECISIONS:
            raise DeepRankingError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
        model = openvino.convert_model(_concrete_function(network))
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8)
        hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32" if precision == "float32" else "bf16"}
        self._compiled = openvino.Core().compile_model(steps.build(), "CPU", hints)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Embed a batch; pixels are whole numbers here."""
        return np.array(self._compiled(np.ascontiguousarray(images, np.uint8))[0], np.float32)


def make_engine(name: str, network: keras.Model, precision: str = "float32") -> Engine:
    """Return the engine "keras" or "openvino".

    Raises:
        DeepRankingError: another name, or a precision that the engine does not have.
        MissingExtraError: OpenVINO is not installed.
    """
    if name == "openvino":
        return OpenVINOEngine(network, precision)
    if name != "keras":
        raise DeepRankingError(f"engine: expected keras or openvino, found {name!r}")
    if precision != "float32":
        raise DeepRankingError(
            "precision: the engine keras computes as the network was trained; --engine openvino has bfloat16"
        )
    return KerasEngine(network)


def _concrete_function(network: keras.Model) -> Any:
    """Trace the forward pass; OpenVINO reads TensorFlow's graphs, so this works on that backend alone."""
    if keras.backend.backend() != "tensorflow":
        raise DeepRankingError("--engine openvino needs Keras on TensorFlow; unset KERAS_BACKEND")
    import tensorflow as tf

    signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    return tf.function(lambda images: network(images, training=False)).get_concrete_function(signature)
