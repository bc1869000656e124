"""What runs the network over pixels: Keras itself, or OpenVINO, several times faster on processors."""

import logging
import platform
import sys
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16")
_AT_ONCE = 4  # images a core of OpenVINO's works on: few enough for its cache to hold what passes the layers


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    It tells its makers over the network of each conversion, from a fork of the process that may hang, and
    that keeps open what was open there. A program that has imported it before has made its own choice.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # importing it fails then
    import openvino

    return openvino


class Engine(Protocol):
    """Takes (n, height, width, 3) uint8 or float, RGB 0..255; returns (n, d) float32."""

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


class KerasEngine:
    """Keras's own forward pass, in the number types that the network was built with."""

    def __init__(self, network: keras.Model):
        self.network = network

    def __call__(self, images: np.ndarray) -> np.ndarray:
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


class OpenVINOEngine:
    """The network converted for OpenVINO's CPU plugin; takes bytes as they come from the decoder.

    It is set for many images: each core works on some of its own. One image alone takes longer so.

    Args:
        network: converted once, which takes seconds.
        precision: "float32", or "bfloat16" where the processor has it (twice as fast on some networks; the
            cosine to the Keras result stays above 0.999).

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, network: keras.Model, precision: str = "float32"):
        try:
            openvino = import_openvino()
            from openvino.preprocess import PrePostProcessor
        except ImportError:
            raise MissingExtraError("openvino", "fast", "--engine openvino") from None
        if precision not in PRECISIONS:
            raise DeepRankingError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
        model = openvino.convert_model(_concrete_function(network))
        steps = PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8)
        hints: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32" if precision == "float32" else "bf16",
            "PERFORMANCE_HINT": "THROUGHPUT",
        }
        compiled = openvino.Core().compile_model(steps.build(), "CPU", hints)
        self._queue = openvino.AsyncInferQueue(compiled)  # as many at once as suit the processor
        self._queue.set_callback(_keep)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        images = np.rint(images) if images.dtype.kind == "f" else images  # pixels are whole numbers here
        images = np.ascontiguousarray(images, np.uint8)
        found: dict[int, np.ndarray] = {}
        for start in range(0, len(images), _AT_ONCE):
            self._queue.start_async({0: images[start : start + _AT_ONCE]}, (found, start))
        self._queue.wait_all()
        return np.concatenate([found[start] for start in sorted(found)])


def _keep(request: Any, place: tuple[dict[int, np.ndarray], int]) -> None:
    """Take an answer of OpenVINO, whose memory is used again, to its place."""
    found, start = place
    found[start] = np.array(request.get_output_tensor().data, np.float32)


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


def resolve(engine: str, precision: str) -> tuple[str, str]:
    """Return the engine and number type that "auto" stands for on this machine; others stay as they are.

    OpenVINO where it is installed and no accelerator is, else Keras; with OpenVINO bfloat16 if the processor
    multiplies it. (Measured in docs/performance.md; the cosine to Keras's float32 stays above 0.999.)
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


@cache
def multiplies_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 by itself: AVX512-BF16, AMX, or Arm's BF16.

    Without it bfloat16 is emulated and slower than float32. Known on Linux; elsewhere taken as no.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    wanted = {"bf16"} if platform.machine() == "aarch64" else {"avx512_bf16", "amx_bf16"}
    return not flags.isdisjoint(wanted)


def has_accelerator() -> bool:
    """Tell whether the backend computes on a GPU or TPU."""
    # Asked for a kind of device that it has not, JAX raises.
    return any(not name.lower().startswith("cpu") for name in keras.distribution.list_devices())
