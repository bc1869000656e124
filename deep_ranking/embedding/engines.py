"""What runs the network over pixels: Keras itself, or OpenVINO, several times faster on processors."""

import logging
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np

from deep_ranking.embedding.runner import (
    Engine,
    Runner,
    check_process,
    import_openvino,
    multiplies_bfloat16,
)
from deep_ranking.errors import DeepRankingError, MissingExtraError, reason

logger = logging.getLogger(__name__)


class KerasEngine:
    """Keras's own forward pass, in the number types that the network was built with."""

    def __init__(self, network: keras.Model):
        check_process()  # it has been made here, which is to run it
        self.network = network

    def __call__(self, images: np.ndarray) -> np.ndarray:
        check_process()
        return np.asarray(self.network.predict_on_batch(images), np.float32)


class ReplicaEngine:
    """The forward pass of one device of several that train a network together, on JAX or TensorFlow.

    The weights of such a network are on all devices, and what Keras computes with them it computes on all at
    once. This takes the copy that the process has.
    """

    def __init__(self, network: keras.Model):
        self.network = network
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self._forward = tf.function(lambda images: network(images, training=False), reduce_retracing=True)
            return
        import jax

        stateless = jax.jit(
            lambda weights, state, images: network.stateless_call(weights, state, images, training=False)[0]
        )

        def forward(images: np.ndarray) -> Any:
            weights, state = (
                [variable.value.addressable_data(0) for variable in variables]
                for variables in (network.trainable_variables, network.non_trainable_variables)
            )
            return stateless(weights, state, images)

        self._forward = forward

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._forward(images), np.float32)


class OpenVINOEngine(Runner):
    """The network converted for OpenVINO's CPU plugin, once, which takes seconds; see `Runner`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, network: keras.Model, precision: str = "float32"):
        super().__init__(convert(network), precision)
        self._made_of = network, precision

    def __reduce__(self) -> tuple[Any, ...]:  # another process converts it again
        return OpenVINOEngine, self._made_of


def convert(network: keras.Model) -> Any:
    """Return a network as OpenVINO's model, which `Runner` takes.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    try:
        openvino = import_openvino()
    except ImportError:
        raise MissingExtraError("openvino", "fast", "--engine openvino") from None
    function = _concrete_function(network)
    model = openvino.convert_model(function)
    if len(model.outputs) > 1:  # what some layer computes and nobody reads is an output too
        names = {output.name for output in function.outputs}
        wanted = [output for output in model.outputs if names & output.get_names()]
        sources = [output.get_node().input_value(0) for output in wanted[:1] or model.outputs[:1]]
        model = openvino.Model(sources, model.get_parameters())
    return model


class AutoEngine:
    """OpenVINO; Keras where OpenVINO does not take the network. Converted when first used, not before."""

    def __init__(self, network: keras.Model, precision: str):
        self.network, self.precision = network, precision

    @cached_property
    def _chosen(self) -> Engine:
        try:
            return OpenVINOEngine(self.network, self.precision)
        except Exception as error:  # of its own kinds, and TensorFlow's
            logger.warning("OpenVINO does not take this network (%s); Keras runs it", reason(error))
            return KerasEngine(self.network)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._chosen(images)

    def __reduce__(self) -> tuple[Any, ...]:
        return AutoEngine, (self.network, self.precision)


def resolve(engine: str, precision: str) -> tuple[str, str]:
    """Return the engine and number type that "auto" stands for on this machine; others stay as they are.

    OpenVINO where it is installed and no accelerator is, else Keras; with OpenVINO bfloat16 if the processor
    multiplies it. (Measured in docs/performance.md.)
    """
    if engine == "auto":
        at_hand = find_spec("openvino") is not None and keras.backend.backend() == "tensorflow"
        engine = "openvino" if at_hand and not has_accelerator() else "keras"
    if precision == "auto":
        precision = "bfloat16" if engine == "openvino" and multiplies_bfloat16() else "float32"
    return engine, precision


def make_engine(name: str, network: keras.Model, precision: str = "float32") -> Engine:
    """Return the engine "keras" or "openvino", or with "auto" the one that suits the machine (`resolve`).

    Raises:
        DeepRankingError: another name, or a precision that the engine does not have.
        MissingExtraError: OpenVINO is not installed.
    """
    chosen, precision = resolve(name, precision)
    if chosen not in ("keras", "openvino"):
        raise DeepRankingError(f"engine: expected auto, keras or openvino, found {name!r}")
    if chosen == "openvino":
        return (AutoEngine if name == "auto" else OpenVINOEngine)(network, precision)
    if precision != "float32":
        raise DeepRankingError(
            "precision: the engine keras computes as the network was trained; --engine openvino has bfloat16"
        )
    return KerasEngine(network)


def named_engine(name: str, network: keras.Model) -> Engine:
    """Return the engine whose name holds its number type: "keras", "openvino" or "openvino-bfloat16".

    Raises:
        DeepRankingError, MissingExtraError: as of `make_engine`.
    """
    engine, _, precision = name.partition("-")
    return make_engine(engine, network, precision or "float32")


def _concrete_function(network: keras.Model) -> Any:
    """Trace the forward pass; OpenVINO reads TensorFlow's graphs, so this works on that backend alone."""
    if keras.backend.backend() != "tensorflow":
        raise DeepRankingError("--engine openvino needs Keras on TensorFlow; unset KERAS_BACKEND")
    import tensorflow as tf

    signature = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    return tf.function(lambda images: network(images, training=False)).get_concrete_function(signature)


def has_accelerator() -> bool:
    """Tell whether the backend computes on a GPU or TPU."""
    # Asked for a kind of device that it has not, JAX raises.
    return any(not name.lower().startswith("cpu") for name in keras.distribution.list_devices())
