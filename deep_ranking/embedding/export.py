"""A saved model in the formats of other runtimes, each checked against the model after writing."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.embedding.engines import import_openvino
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.files import temporary_folder

if TYPE_CHECKING:
    from deep_ranking.embedding.model import Model

Runner = Callable[[Path, np.ndarray], Any]

LOWEST_COSINE = 0.9999
"""Between what the exported model and the model itself give for the same image."""


def export(embedder: "Model", path: str | os.PathLike[str], format: str | None = None) -> float:
    """Write the network for another runtime, run it there, and compare: `Model.export`, which says how."""
    path = Path(path)
    format, (ending, keras_name, run) = _format_of(path, format)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, *embedder.size, 3)).astype(np.float32)
    expected = embedder.embed_pixels(images)
    # Beside its place, so that the renames stay on one file system.
    with temporary_folder(path) as folder:
        written = folder / path.name
        try:
            if format == "openvino":
                import_openvino()  # before Keras does, who would bring its telemetry
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the converters, about their own dependencies
                if format == "onnx":
                    _teach_erfc()
                embedder.network.export(str(written), format=keras_name, verbose=False)
                if format == "onnx":
                    _hold_constants(embedder.network, written)
                found = np.asarray(run(written, images), np.float32)
        except ImportError as error:
            raise MissingExtraError(error.name or str(error), "export", f"--format {format}") from None
        except OSError:
            raise
        except Exception as error:  # of the converters' and runtimes' own kinds
            said = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
            raise DeepRankingError(
                f"{path}: the network cannot be converted ({said}); nothing was written"
            ) from error
        lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
        cosine = float((np.sum(expected * found, axis=1) / lengths).min())
        if not cosine >= LOWEST_COSINE:
            raise DeepRankingError(
                f"{path}: the exported model differs from the model (cosine {cosine:.5f}, expected "
                f"{LOWEST_COSINE} or more); nothing was written"
            )
        # The part that is opened by name comes last; an earlier one must not be left beside new weights.
        if ending and len(list(folder.iterdir())) > 1:
            path.unlink(missing_ok=True)
        for part in sorted(folder.iterdir(), key=lambda part: part.name == path.name):
            part.replace(path.parent / part.name)
    return cosine


def _format_of(path: Path, format: str | None) -> tuple[str, tuple[str, str, Runner]]:
    """Return the format's name and what `FORMATS` says of it; refuse a path that does not fit."""
    if format is None:
        by_ending = {ending: name for name, (ending, *_) in FORMATS.items()}
        if path.suffix not in by_ending:
            raise DeepRankingError(
                f"{path}: expected a name that ends in {', '.join(filter(None, by_ending))}, or the name of "
                "a folder, without an ending; or say the format"
            )
        format = by_ending[path.suffix]
    if format not in FORMATS:
        raise DeepRankingError(f"format: expected one of {', '.join(FORMATS)}, found {format!r}")
    ending = FORMATS[format][0]
    if path.suffix != ending:
        wanted = f"a name that ends in {ending}" if ending else "the name of a folder, without an ending"
        raise DeepRankingError(f"{path}: expected {wanted} for the format {format}")
    if not ending and path.exists():
        raise DeepRankingError(f"{path}: is there already; remove it or choose another name")
    return format, FORMATS[format]


def _teach_erfc() -> None:
    """Tell tf2onnx of Erfc, 1 - Erf, by which TensorFlow computes the transformers' GELU."""
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **options: Any) -> None:
            kinds = {"outputs": node.output, "shapes": node.output_shapes, "dtypes": node.output_dtypes}
            erf = ctx.make_node("Erf", node.input)
            one = ctx.make_const(f"{node.name}_one", np.array(1, np.float32))
            ctx.remove_node(node.name)
            ctx.make_node("Sub", [one.output[0], erf.output[0]], **kinds)


def _hold_constants(network: Any, path: Path) -> None:
    """Convert anew where tf2onnx made inputs of what layers keep as tensors, and put these in."""
    import onnx

    if len(onnx.load(path).graph.input) == 1:
        return
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32, name="image")]
    function = tf.function(lambda image: network(image, training=False), input_signature=signature)
    graph = (model := tf2onnx.convert.from_function(function, signature)[0]).graph
    captures = function.get_concrete_function().graph.captures
    kept = {inner.name: outer for outer, inner in captures if outer.dtype != tf.resource}
    for entry in [entry for entry in graph.input if entry.name in kept]:
        graph.initializer.append(onnx.numpy_helper.from_array(kept[entry.name].numpy(), entry.name))
        graph.input.remove(entry)
    onnx.save(model, path)


def _run_onnx(path: Path, images: np.ndarray) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def _run_openvino(path: Path, images: np.ndarray) -> Any:
    import openvino

    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(str(path), "CPU", precise)(images)[0]


def _run_litert(path: Path, images: np.ndarray) -> Any:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    entry = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(entry, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _run_saved_model(path: Path, images: np.ndarray) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # its variables live no longer than it
    return loaded.serve(images)


FORMATS: dict[str, tuple[str, str, Runner]] = {
    "onnx": (".onnx", "onnx", _run_onnx),
    "openvino": (".xml", "openvino", _run_openvino),
    "litert": (".tflite", "litert", _run_litert),
    "saved_model": ("", "tf_saved_model", _run_saved_model),
}
"""Format -> its file's ending, Keras's name of it, and how it is run."""
