"""Random augmentation: how far images are varied, and the blog's generator, whose arguments say so.

The Keras layers that do it act while training only. A table of settings imports nothing heavy.
"""

import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from deep_ranking.errors import expect
from deep_ranking.settings import Settings, setting, up_to

if TYPE_CHECKING:
    import keras
    import numpy as np

    from deep_ranking.images.batches import TripletBatches


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


class ImageDataGenerator:
    """The blog's generator interface: augmentation settings, then `flow_from_directory`.

    Args:
        rescale: each pixel is multiplied by it; None leaves RGB 0..255, which is what the networks of this
            project take (their preprocessing is inside).
        preprocessing_function: called with each image, (height, width, 3) float32 of 0..255, after the
            augmentation and before `rescale`, as Keras's generator does; returns one of the same shape.
        **augmentation: the fields of `Augmentation`: horizontal_flip, vertical_flip, rotation_range,
            zoom_range, shear_range, width_shift_range, height_shift_range, pixel_shift, fill_mode, cval.

    Raises:
        DeepRankingError: a value is out of its range.

    Example:
        >>> generator = ImageDataGenerator(rescale=1 / 255, horizontal_flip=True, rotation_range=30)
        >>> generator.augmentation.rotation_range
        30
    """

    def __init__(
        self,
        rescale: float | None = None,
        preprocessing_function: "Callable[[np.ndarray], np.ndarray] | None" = None,
        **augmentation: Any,
    ):
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.augmentation = Augmentation(**augmentation)

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        triplet_path: str | os.PathLike[str],
        batch_size: int = 24,
        target_size: tuple[int, int] = (224, 224),
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 1,
    ) -> "TripletBatches":
        """Return the batches of a triplet file, for `model.fit` or a `for` loop.

        Args:
            directory: root of the data set.
            triplet_path: the triplet file.
            batch_size, shuffle, workers: see `TripletBatches`.
            target_size: (height, width) in pixels.
            seed: shuffling and augmentation depend on it alone.

        Raises:
            DeepRankingError: a bad triplet file, a missing image, or a bad batch size.
        """
        from deep_ranking.images.batches import TripletBatches
        from deep_ranking.triplets.table import Triplets

        table, transform = Triplets.load(triplet_path, directory), self._transform(seed)
        return TripletBatches(
            table, batch_size, target_size, shuffle=shuffle, seed=seed, transform=transform, workers=workers
        )

    def _transform(self, seed: int) -> "Callable[[np.ndarray, int], np.ndarray] | None":
        if self.augmentation.is_off and self.rescale is None and self.preprocessing_function is None:
            return None
        import keras
        import numpy as np

        layers, lock = self.augmentation.layers(seed), threading.Lock()

        def transform(images: "np.ndarray", number: int) -> "np.ndarray":
            images = images.astype(np.float32)
            if layers:
                with lock:  # the layers' random state is set for each batch, so threads cannot mix it up
                    for layer in layers:
                        layer.generator.state.assign([layer.seed, number])
                        images = layer(images, training=True)
                images = keras.ops.convert_to_numpy(images)
            if self.preprocessing_function is not None:
                made = [np.asarray(self.preprocessing_function(image), np.float32) for image in images]
                shapes = {image.shape for image in made} - {images.shape[1:]}
                expect("preprocessing_function", not shapes, f"an image {images.shape[1:]}", shapes)
                images = np.stack(made)
            return images if self.rescale is None else images * np.float32(self.rescale)

        return transform
