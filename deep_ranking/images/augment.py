"""Random augmentation: how far `train` varies images.

The Keras layers that do it act while training only. A table of settings imports nothing heavy. The blog's
generator, which varies images by Keras's own formulas, is `images.generator`.
"""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from deep_ranking.settings import Settings, setting, up_to

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Augmentation(Settings):
    """How far images are varied; everything is off at 0. Each image draws its own variation.

    Args:
        pixel_shift: whole pixels up to which an image moves in each direction (the paper's).
        horizontal_flip: mirror every other image left to right.
        vertical_flip: mirror every other image top to bottom.
        rotation_range: degrees in each direction, 0..180.
        zoom_range: share by which the scale changes in each direction, 0 or more and below 1.
        shear_range: radians in each direction, 0 or more and below 1.5.
        width_shift_range: share of the width in each direction, 0..1.
        height_shift_range: share of the height in each direction, 0..1.
        fill_mode: what fills the border: "nearest", "reflect", "wrap" or "constant".
        cval: the constant, 0..255.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    pixel_shift: int = setting(0, check=up_to(10_000))
    horizontal_flip: bool = False
    vertical_flip: bool = False
    rotation_range: float = setting(0.0, check=up_to(180))
    zoom_range: float = setting(0.0, check=up_to(0.99))
    shear_range: float = setting(0.0, check=up_to(1.5))
    width_shift_range: float = setting(0.0, check=up_to(1))
    height_shift_range: float = setting(0.0, check=up_to(1))
    fill_mode: str = setting("nearest", choices=("nearest", "reflect", "wrap", "constant"))
    cval: float = setting(0.0, check=up_to(255))

    @property
    def is_off(self) -> bool:
        """Whether images pass unchanged."""
        return not any(getattr(self, f.name) for f in fields(self) if f.name not in ("fill_mode", "cval"))

    def layers(self, seed: int) -> "list[keras.layers.Layer]":
        """Return the Keras layers, in the order in which they act; draws depend on the seed alone."""
        from keras import layers

        from deep_ranking.images.pixel_shift import RandomPixelShift

        fill: dict[str, Any] = {"fill_mode": self.fill_mode, "fill_value": self.cval}
        shear, shift = math.tan(self.shear_range), (self.height_shift_range, self.width_shift_range)
        flips = [name for name in ("horizontal", "vertical") if getattr(self, f"{name}_flip")]
        chosen = [
            (self.pixel_shift, lambda s: RandomPixelShift(self.pixel_shift, seed=s)),
            (flips, lambda s: layers.RandomFlip("_and_".join(flips), seed=s)),
            (self.rotation_range, lambda s: layers.RandomRotation(self.rotation_range / 360, seed=s, **fill)),
            (self.zoom_range, lambda s: layers.RandomZoom(self.zoom_range, self.zoom_range, seed=s, **fill)),
            (self.shear_range, lambda s: layers.RandomShear(shear, shear, seed=s, **fill)),
            (any(shift), lambda s: layers.RandomTranslation(*shift, seed=s, **fill)),
        ]
        return [make(seed * 16 + number) for number, (on, make) in enumerate(chosen) if on]


PAPER = Augmentation(pixel_shift=8)
"""The paper's random pixel shift; it does not say how far."""

BLOG = Augmentation(
    horizontal_flip=True, vertical_flip=True, zoom_range=0.2, shear_range=0.2, rotation_range=30
)

MIRROR = Augmentation(pixel_shift=8, horizontal_flip=True)
"""The paper's shift, and every other image mirrored: for photographs, which have no left and right."""

FLIP = Augmentation(horizontal_flip=True)
"""Every other image mirrored, and nothing else."""

PRESETS = {"paper": PAPER, "mirror": MIRROR, "flip": FLIP, "blog": BLOG, "none": Augmentation()}
