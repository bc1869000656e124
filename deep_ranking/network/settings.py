"""What determines a network, and which file its first weights are in, without Keras."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from deep_ranking.errors import DeepRankingError
from deep_ranking.network.backbones import BACKBONES, Tokens, is_backbone
from deep_ranking.settings import BELOW_1, WEIGHTS_VARIABLE, Check, Settings, at_least, setting

LowResolution = Literal["paper", "blog", "none"]
Preprocessing = Literal["backbone", "unit"]


@dataclass(frozen=True)
class NetworkSettings(Settings):
    """The architecture, without its weights; it travels inside the saved model.

    Args:
        backbone: a name for which `backbones.is_backbone` holds.
        image_size: height and width of the input in pixels, 32 to 9,433: a model of more is not loaded.
        embedding_size: length of the embedding; 0 leaves the linear layer out, so that the normalized
            features themselves are the embedding.
        low_resolution: "paper" averages pixels 4:1 and 8:1 before the two small nets; "blog" has them
            stride over the full image, as its code did; "none" is the ConvNet alone.
        preprocessing: "backbone" gives each backbone what its ImageNet weights expect; "unit" scales to
            0..1, as the blog did. Both take RGB 0..255.
        dropout: share of units dropped in the fully connected layers (the paper keeps 0.6 of them).
        fully_connected: VGG16 and AlexNet have their two hidden layers, for which no weights are published.
        tokens: of a backbone of KerasHub's that gives tokens: "class", "mean" of the patches' or "patches",
            all of these; "auto" is the class token where there is one, else the mean.

    Raises:
        DeepRankingError: a value is out of its range.

    Example:
        >>> NetworkSettings(backbone="mobilenetv2", embedding_size=128).low_resolution
        'paper'
    """

    backbone: str = setting(
        "vgg16",
        "{default} (default), alexnet, resnet50, resnet101, mobilenetv2, efficientnetv2b0, convnext_tiny, "
        "simple, a small net for first tries, any other of keras.applications in small letters, or "
        "hub:PRESET, a preset of KerasHub or its folder (docs/backbones.md)",
        Check(
            is_backbone,
            f"one of {', '.join(BACKBONES)}, another of keras.applications in small letters, or hub:PRESET",
        ),
    )
    image_size: int = setting(
        224, "pixels (default: {default})", Check(lambda size: 32 <= size <= 9433, "32 to 9,433 pixels")
    )
    embedding_size: int = setting(
        4096,
        "length of the vectors (default: {default}); 0: the normalized features themselves, without the "
        "linear layer",
        at_least(0),
    )
    low_resolution: LowResolution = setting(
        "paper",
        "the two small nets on downsampled images (default: the preset's)",
        choices=get_args(LowResolution),
    )
    preprocessing: Preprocessing = setting("backbone", choices=get_args(Preprocessing), flag=None)
    dropout: float = setting(0.4, "of units dropped (default: {default}; blog: {blog})", BELOW_1, "SHARE")
    fully_connected: bool = setting(True, flag=None)
    tokens: Tokens = setting(
        "auto",
        "what of a transformer's tokens describes the image: class token, mean of the patches', or all of "
        "these (default: the class token where there is one, else the mean)",
        choices=get_args(Tokens),
    )

    @classmethod
    def blog(cls) -> "NetworkSettings":
        """Return the blog's network, layer by layer; its weights files load into it."""
        return cls(low_resolution="blog", preprocessing="unit", dropout=0.6)

    @property
    def bare(self) -> "NetworkSettings":
        """The same backbone without any layer that no published weights fill: its features, normalized."""
        bare = replace(self, embedding_size=0, low_resolution="none", fully_connected=False)
        return replace(bare, preprocessing="backbone")


def named_weights(file: str | os.PathLike[str] | None = None) -> str | None:
    """Return the file of MobileNetV2's weights that is given, or named in the environment; None for neither.

    Raises:
        DeepRankingError: there is no such file.
    """
    source, found = (
        ("weights: ", file) if file else (f"{WEIGHTS_VARIABLE}=", os.environ.get(WEIGHTS_VARIABLE))
    )
    if found and not Path(found).is_file():
        raise DeepRankingError(
            f"{source}{os.fspath(found)}: expected a file of MobileNetV2's weights, found no such file"
        )
    return os.fspath(found) if found else None
