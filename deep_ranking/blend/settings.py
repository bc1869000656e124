"""What determines a blend: the one table of its settings, and what is read from each backbone."""

from dataclasses import dataclass
from typing import Literal

from deep_ranking.settings import ENGINES, Check, Settings, at_least, setting


@dataclass(frozen=True)
class Reading:
    """What is read from a backbone.

    Args:
        layer: whose activations.
        pooling: how its positions are summed up; see `network.layers`.
        channels: the activations are first reduced to so many principal components; None: not.
        power: of the description's own components; see `learn.Components`.
    """

    layer: str
    pooling: Literal["mean", "spread", "quadrants", "grid", "second_moments"]
    channels: int | None = None
    power: float = 0.0


READINGS: dict[str, dict[str, Reading]] = {
    "mobilenetv2": {
        "layout": Reading("out_relu", "quadrants"),
        "parts": Reading("block_13_project_BN", "second_moments", 64, 0.5),
        "texture": Reading("block_12_add", "second_moments", 64, 0.5),
    },
    "resnet50": {
        "layout": Reading("conv5_block3_out", "quadrants"),
        "parts": Reading("conv4_block6_out", "second_moments", 64, 0.5),
        "texture": Reading("conv3_block4_out", "second_moments", 64, 0.5),
    },
}
"""By backbone and name. MobileNetV2's were chosen on rated triplets (docs/experiments.md), ResNet50's by
analogy."""


@dataclass(frozen=True)
class LearnSettings(Settings):
    """How a network is made from rated triplets; what a setting does its help says, and `blend --help`.

    Args:
        backbone: a name in `READINGS`.
        weights: "imagenet", "none" or a file; see `network.weights.load_weights`.
        components: principal components kept of each description.
        engine: what reads the images; openvino is several times faster on processors.
        seed: of samples, and of random weights.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    backbone: str = setting(
        "mobilenetv2",
        "{default} (default) or resnet50",
        Check(lambda name: name in READINGS, f"one of {', '.join(READINGS)}"),
    )
    weights: str = setting("imagenet", "(default: {default})", metavar="imagenet|none|FILE")
    image_size: int = setting(
        224,
        "pixels, a multiple of 32 (default: {default})",
        Check(lambda size: size >= 64 and size % 32 == 0, "a multiple of 32 from 64 on"),
    )
    components: int = setting(256, "of each description (default: {default})", at_least(1))
    metric: bool = setting(True, "learn a metric on the weighted whole (default: yes)")
    average_mirror: bool = setting(
        True, "describe an image by the mean of itself and its mirror image, in twice the time (default: yes)"
    )
    folds: int = setting(5, "of the cross-validation (default: {default})", at_least(2))
    engine: str = setting("auto", "(default: {default}, the fastest)", choices=("auto", *ENGINES))
    seed: int = setting(0, "(default: {default})", at_least(0))
