"""The ConvNets to choose from: images -> features. Keras is imported when one is built.

`BACKBONES` are those that the project knows most of; `find_backbone` gives every other of
`keras.applications`, and of KerasHub by "hub:" and its preset.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import keras

HUB = "hub:"
"""Begins the name of a backbone of KerasHub's; what follows is a preset's name or folder."""

Tokens = Literal["auto", "class", "mean", "patches"]
Preprocessing = Literal["centered", "signed", "standard", "inside"]


@dataclass(frozen=True)
class Backbone:
    """A ConvNet and what it needs around it.

    Args:
        build: called with the image size; returns a `keras.Model` without a top.
        preprocessing: what its ImageNet weights expect: "centered" is BGR less the mean, "signed" is
            -1..1, "standard" is less the mean by the deviation, "inside" means that the network does it
            itself from 0..255.
        application: its name in `keras.applications`, where ImageNet weights exist.
        hidden: sizes of the fully connected layers that follow, each with dropout.
        pooling: average over the positions before what follows; otherwise flatten.
        saves_as_h5: Keras reads it back from an `.h5` file; not so where it has layers that it does not
            register (ConvNeXt's LayerScale).
        gains_from_bfloat16: it trains faster in it on a processor that multiplies bfloat16; convolutions by
            single channels do not (docs/performance.md).
    """

    build: Callable[[int], "keras.Model"]
    preprocessing: Preprocessing
    application: str | None = None
    hidden: tuple[int, ...] = ()
    pooling: bool = True
    saves_as_h5: bool = True
    gains_from_bfloat16: bool = False


def _application(name: str, preprocessing: Preprocessing, **kwargs) -> Backbone:
    def build(image_size: int) -> "keras.Model":
        import keras

        with warnings.catch_warnings():
            # MobileNetV2 has ImageNet weights for 96 to 224 pixels. They fit any size, and it was chosen.
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
            return getattr(keras.applications, name)(
                weights=None, include_top=False, input_shape=(image_size, image_size, 3)
            )

    return Backbone(build, preprocessing, application=name, **kwargs)


def _alexnet(image_size: int) -> "keras.Model":
    """Krizhevsky et al. 2012, section 3.5, before its fully connected layers; on one GPU, so ungrouped."""
    import keras
    from keras import layers

    from deep_ranking.network.layers import LocalResponseNormalization

    def convolution(size: int, filters: int, **kwargs) -> "keras.layers.Layer":
        return layers.Conv2D(filters, size, padding="same", activation="relu", **kwargs)

    image = keras.Input((image_size, image_size, 3))
    x = convolution(11, 96, strides=4)(image)
    x = layers.MaxPooling2D(3, 2, padding="same")(LocalResponseNormalization()(x))
    x = convolution(5, 256)(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(LocalResponseNormalization()(x))
    for filters in (384, 384, 256):
        x = convolution(3, filters)(x)
    return keras.Model(image, layers.MaxPooling2D(3, 2, padding="same")(x), name="alexnet")


def _simple(image_size: int) -> "keras.Model":
    """Four strided convolutions: learns a small data set from nothing in a minute on a laptop."""
    import keras
    from keras import layers

    image = x = keras.Input((image_size, image_size, 3))
    for number, filters in enumerate((32, 64, 128, 256), 1):
        name = f"convolution_{number}"
        x = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu", name=name)(x)
    return keras.Model(image, x, name="simple")


BACKBONES = {
    "vgg16": _application("VGG16", "centered", hidden=(4096, 4096), gains_from_bfloat16=True),
    "alexnet": Backbone(_alexnet, "centered", hidden=(4096, 4096), pooling=False, gains_from_bfloat16=True),
    "resnet50": _application("ResNet50", "centered", gains_from_bfloat16=True),
    "resnet101": _application("ResNet101", "centered", gains_from_bfloat16=True),
    "mobilenetv2": _application("MobileNetV2", "signed"),
    "efficientnetv2b0": _application("EfficientNetV2B0", "inside"),
    "convnext_tiny": _application("ConvNeXtTiny", "inside", saves_as_h5=False),
    "simple": Backbone(_simple, "signed"),
}

_OTHERS: dict[Preprocessing, str] = {
    "centered": "VGG19 ResNet152",
    "signed": "MobileNet ResNet50V2 ResNet101V2 ResNet152V2 InceptionV3 InceptionResNetV2 Xception "
    "NASNetMobile NASNetLarge",
    "standard": "DenseNet121 DenseNet169 DenseNet201",
    "inside": "MobileNetV3Small MobileNetV3Large EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 "
    "EfficientNetB4 EfficientNetB5 EfficientNetB6 EfficientNetB7 EfficientNetV2B1 EfficientNetV2B2 "
    "EfficientNetV2B3 EfficientNetV2S EfficientNetV2M EfficientNetV2L ConvNeXtSmall ConvNeXtBase "
    "ConvNeXtLarge ConvNeXtXLarge",
}
"""The rest of `keras.applications`, by what their weights expect."""

APPLICATIONS = {
    name.lower().replace("convnext", "convnext_"): (name, preprocessing)
    for preprocessing, names in _OTHERS.items()
    for name in names.split()
}


def is_backbone(name: str) -> bool:
    """Tell whether a name is a backbone's; of "hub:PRESET" only KerasHub can tell, when it is built."""
    return name in BACKBONES or name in APPLICATIONS or (name.startswith(HUB) and name != HUB)


def find_backbone(name: str, tokens: Tokens = "auto") -> Backbone:
    """Return the backbone of a name for which `is_backbone` holds.

    Args:
        name: in `BACKBONES` or `APPLICATIONS`, or "hub:" and a preset's name or folder.
        tokens: of a transformer's tokens, as of `hub.build_hub`.

    Example:
        >>> find_backbone("densenet121").application, find_backbone("convnext_base").saves_as_h5
        ('DenseNet121', False)
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith(HUB):
        pooling = tokens != "patches"
        return Backbone(
            partial(_hub, name.removeprefix(HUB), tokens), "inside", pooling=pooling, saves_as_h5=False
        )
    application, preprocessing = APPLICATIONS[name]
    return _application(application, preprocessing, saves_as_h5="ConvNeXt" not in application)


def _hub(preset: str, tokens: Tokens, image_size: int) -> "keras.Model":
    from deep_ranking.network.hub import build_hub

    return build_hub(preset, image_size, tokens)
