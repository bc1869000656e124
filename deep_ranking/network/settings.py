"""What determines a network's shape."""

from dataclasses import dataclass
from typing import Literal, get_args

from deep_ranking.errors import expect

LowResolution = Literal["paper", "blog", "none"]
Preprocessing = Literal["backbone", "unit"]


@dataclass(frozen=True)
class NetworkSettings:
    """The architecture, without its weights; it travels inside the saved model.

    Args:
        backbone: a name from `backbones.BACKBONES`.
        image_size: height and width of the input in pixels, 32 or more.
        embedding_size: length of the embedding; 0 leaves the linear layer out, so that the normalized
            features themselves are the embedding.
        low_resolution: "paper" averages pixels 4:1 and 8:1 before the two small nets; "blog" has them
            stride over the full image, as its code did; "none" is the ConvNet alone.
        preprocessing: "backbone" gives each backbone what its ImageNet weights expect; "unit" scales to
            0..1, as the blog did. Both take RGB 0..255.
        dropout: share of units dropped in the fully connected layers (the paper keeps 0.6 of them).

    Raises:
        DeepRankingError: a value is out of its range.

    Example:
        >>> NetworkSettings(backbone="mobilenetv2", embedding_size=128).low_resolution
        'paper'
    """

    backbone: str = "vgg16"
    image_size: int = 224
    embedding_size: int = 4096
    low_resolution: LowResolution = "paper"
    preprocessing: Preprocessing = "backbone"
    dropout: float = 0.4

    def __post_init__(self) -> None:
        from deep_ranking.network.backbones import BACKBONES

        expect("backbone", self.backbone in BACKBONES, f"one of {', '.join(BACKBONES)}", self.backbone)
        expect("image_size", self.image_size >= 32, "32 pixels or more", self.image_size)
        expect("embedding_size", self.embedding_size >= 0, "0 or more", self.embedding_size)
        paths = get_args(LowResolution)
        expect("low_resolution", self.low_resolution in paths, f"one of {paths}", self.low_resolution)
        scalings = get_args(Preprocessing)
        expect("preprocessing", self.preprocessing in scalings, f"one of {scalings}", self.preprocessing)
        expect("dropout", 0 <= self.dropout < 1, "0 or more and below 1", self.dropout)

    @classmethod
    def blog(cls) -> "NetworkSettings":
        """Return the blog's network, layer by layer; its weights files load into it."""
        return cls(low_resolution="blog", preprocessing="unit", dropout=0.6)
