"""OpenVINO runs a converted network over pixels, without Keras: neither imported nor needed."""

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deep_ranking.errors import DeepRankingError

PRECISIONS = ("float32", "bfloat16")
_ran_in: int | None = None  # the process in which a network has run first
_AT_ONCE = 4  # images a core of OpenVINO's works on: few enough for its cache to hold what passes the layers


def check_process(runs: bool = True) -> None:
    """Refuse to go on in a process that was forked from one in which a network has run: it waits for ever.

    Of the threads that compute, a fork leaves none.

    Args:
        runs: a network is about to run here.

    Raises:
        DeepRankingError: it is such a process.
    """
    global _ran_in
    if _ran_in is None:
        _ran_in = os.getpid() if runs else None
    elif _ran_in != os.getpid():
        raise DeepRankingError(
            "a model has run before this process was forked, so it cannot run here; start processes by "
            "multiprocessing.get_context('spawn'), or load the model in each of them alone"
        )


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


class Runner:
    """A network as OpenVINO's CPU plugin runs it; takes bytes as they come from the decoder.

    It is set for many images: each core works on some of its own. One image alone takes longer so.

    Args:
        model: OpenVINO's, from images (n, height, width, 3) to vectors.
        precision: "float32", or "bfloat16" where the processor has it: twice as fast on some networks; with
            MobileNetV2's trained weights the cosine to float32 is 0.998 in the median, 0.98 at worst.

    Raises:
        DeepRankingError: another precision.
    """

    def __init__(self, model: Any, precision: str = "float32"):
        if precision not in PRECISIONS:
            raise DeepRankingError(f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}")
        openvino = import_openvino()
        from openvino.preprocess import PrePostProcessor

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
        """Return the vectors, (n, d) float32; n is 1 or more."""
        check_process()
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
