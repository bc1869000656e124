"""Networks of the npm package nsfwjs, as a .keras file that recipes.any_network takes.

Source: nsfwjs (MIT); a MobileNetV2 and an InceptionV3, learned from ImageNet's classes and then from five
kinds of pictures, drawn or photographed, fit for work or not. Its files are JavaScript that holds Keras's own
description of the network, and the weights, of 8 bits each. (Its third network, a MobileNetV2 1.4 times as
wide, is TensorFlow.js's graph of fused operations, not read here.)
Hardware: any; seconds.

    npm pack nsfwjs@4.3.0 && tar xf nsfwjs-4.3.0.tgz
    python -m recipes.nsfwjs package/dist/models/mobilenet_v2 nsfwjs-mobilenet.keras
    python -m recipes.any_network --network nsfwjs-mobilenet.keras ...
"""

import argparse
import base64
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers


def main() -> None:
    """Build Keras's own network of that name, copy the weights by their names, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the network, in the package")
    parser.add_argument("output", help="ends in .keras")
    args = parser.parse_args()
    weights = read_weights(args.folder)
    build = {"mobilenet_v2": "MobileNetV2", "inception_v3": "InceptionV3"}[args.folder.name]
    convnet = getattr(keras.applications, build)(
        weights=None, include_top=False, input_shape=(224, 224, 3), name="nsfwjs"
    )
    for layer, name in named(convnet):
        for weight in layer.weights:
            key = f"{name}/{weight.name}"
            weight.assign(weights[key if key in weights else f"{name}/depthwise_{weight.name}"])
    image = keras.Input((224, 224, 3))
    x = layers.GlobalAveragePooling2D()(convnet(layers.Rescaling(1 / 255)(image)))
    keras.Model(image, x).save(args.output)


def named(convnet: keras.Model) -> list[tuple[keras.Layer, str]]:
    """Return the layers with weights and their names in the package.

    Keras numbers those of InceptionV3 in the order in which a process makes them; the package from 1.
    """
    found = [layer for layer in convnet.layers if layer.weights]
    if convnet.get_layer(index=1).name.startswith("Conv1"):
        return [(layer, layer.name) for layer in found]
    kinds: dict[str, list[keras.Layer]] = {}
    for layer in sorted(found, key=lambda layer: int((re.search(r"\d+$", layer.name) or [0])[0])):
        kinds.setdefault(re.sub(r"_\d+$", "", layer.name), []).append(layer)
    return [(one, f"{kind}_{at}") for kind, own in kinds.items() for at, one in enumerate(own, 1)]


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights by their names, from 8 bits to what they stand for."""
    shards = [base64.b64decode(longest_text(path)) for path in sorted(folder.glob("group1-*"))]
    data, at, found = b"".join(shards), 0, {}
    for about in described(folder)["weightsManifest"][0]["weights"]:
        how = about.get("quantization", {"dtype": about["dtype"], "scale": 1, "min": 0})
        count, kind = int(np.prod(about["shape"])), np.dtype(how["dtype"])
        values = np.frombuffer(data, kind, count, at) * np.float32(how["scale"]) + np.float32(how["min"])
        found[about["name"]], at = (
            values.astype(np.float32).reshape(about["shape"]),
            at + count * kind.itemsize,
        )
    assert at == len(data)
    return found


def described(folder: Path) -> Any:
    """Return what a minified JavaScript file says of the network: JSON but for some habits."""
    text = (folder / "model.min.js").read_text()
    text = text[text.index("={modelTopology") + 1 :]
    for pattern, change in ((r"([{,])(\w+):", r'\1"\2":'), (r":!0", ":true"), (r":!1", ":false")):
        text = re.sub(pattern, change, text)
    text = re.sub(r"([:,\[]-?)(\.\d)", r"\g<1>0\2", text)
    return json.JSONDecoder().raw_decode(text)[0]


def longest_text(path: Path) -> str:
    """Return the longest text that stands in quotation marks."""
    return max(re.findall(r'"([A-Za-z0-9+/=]+)"', path.read_text()), key=len)


if __name__ == "__main__":
    main()
