"""The blog's generator: the arguments of Keras's `ImageDataGenerator`, in its forms, over triplets.

What is drawn and what is made of it are Keras's to the number, image by image: one affine map of rotation,
shift, shear and zoom in that order, then channel shift, flips and brightness. NumPy does it, in float32.
Other than there, shifts go along the sides that they are named for, and an image turns about its own middle
also where its sides differ.
Source: keras/src/legacy/preprocessing/image.py, against which a test holds each argument.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.images.decode import MAX_PIXELS
from deep_ranking.settings import POSITIVE, SEED, Check, Settings, at_least, setting, up_to

if TYPE_CHECKING:
    from deep_ranking.images.batches import TripletBatches

Array = NDArray[np.float32]
Shift = float | int | list[float]

_GONE = {
    "featurewise_center": "preprocessing is inside the networks here",
    "featurewise_std_normalization": "preprocessing is inside the networks here",
    "zca_whitening": "preprocessing is inside the networks here",
    "zca_epsilon": "there is no ZCA",
    "validation_split": "`triplet_sampler.py --validation_split` holds images out, each class's own share",
    "interpolation_order": "images are interpolated linearly",
}


def _pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and 0 <= value[0] <= value[1]


_RANGE = Check(_pair, "two numbers of 0 or more, the lesser one first")
_ZOOM = Check(
    lambda zoom: zoom[0] > 0 if _pair(zoom) else isinstance(zoom, int | float) and 0 <= zoom < 1,
    "a share of 0 or more and below 1, or two numbers above 0, the lesser one first",
)
_SHIFT = Check(lambda shift: _is_shift(shift), "0 or more, or a list of shifts")
_FUNCTION = Check(callable, "a function of one image")


def _is_shift(shift: Any) -> bool:
    if isinstance(shift, Real):
        return float(shift) >= 0
    several = isinstance(shift, list | tuple | np.ndarray) and len(shift) > 0
    return several and all(isinstance(one, Real) for one in shift)


def _names_numbers(dtype: Any) -> bool:
    try:
        return np.dtype(dtype).kind in "uif"
    except TypeError:
        return False


@dataclass(frozen=True, kw_only=True)
class ImageDataGenerator(Settings):
    """The blog's interface: how images are varied, then `flow_from_directory`. Everything is off at first.

    Args:
        rotation_range: degrees in each direction.
        width_shift_range, height_shift_range: below 1 a share of the side; else pixels, whole ones if it is a
            whole number; of a list one is drawn, in either direction.
        shear_range: degrees in each direction.
        zoom_range: a share by which the scale changes in each direction, or (least, most); each side by its
            own. Below 1 an image grows.
        fill_mode: what fills the border: "nearest", "reflect", "wrap" or "constant".
        cval: the constant.
        channel_shift_range: grey levels, added to all of an image within its own least and most.
        horizontal_flip, vertical_flip: every other image.
        brightness_range, contrast_range: (least, most) of a factor; 1 leaves an image. (Keras has no
            contrast. Both make whole grey levels.)
        pixel_shift: whole pixels up to which an image moves in each direction: the paper's. Not Keras's.
        preprocessing_function: called with each image, float32 of 0..255, after that; returns such a one.
        rescale: each number is then multiplied by it; None leaves RGB 0..255, which is what the networks of
            this project take (their preprocessing is inside).
        samplewise_center, samplewise_std_normalization: then take its mean off each image, divide by its
            standard deviation.
        data_format: "channels_last" or "channels_first", of what is given and of what the function sees.
        dtype: of what is given; without any variation uint8 where it is None, and else float32.
        others: what Keras's has besides is refused, with the reason.

    Raises:
        DeepRankingError: a value is out of its range.

    Example:
        >>> generator = ImageDataGenerator(rescale=1 / 255, horizontal_flip=True, rotation_range=30)
        >>> sorted(generator.draw(np.random.RandomState(0), (224, 224)))[:3]
        ['brightness', 'channel_shift_intensity', 'contrast']
    """

    rotation_range: float = setting(0.0, check=at_least(0))
    width_shift_range: Shift = setting(0.0, check=_SHIFT)
    height_shift_range: Shift = setting(0.0, check=_SHIFT)
    shear_range: float = setting(0.0, check=at_least(0))
    zoom_range: float | tuple[float, float] = setting(0.0, check=_ZOOM)
    fill_mode: str = setting("nearest", choices=("nearest", "reflect", "wrap", "constant"))
    cval: float = setting(0.0, check=up_to(255))
    channel_shift_range: float = setting(0.0, check=at_least(0))
    horizontal_flip: bool = False
    vertical_flip: bool = False
    brightness_range: tuple[float, float] | None = setting(None, check=_RANGE)
    contrast_range: tuple[float, float] | None = setting(None, check=_RANGE)
    pixel_shift: int = setting(0, check=up_to(10_000))
    preprocessing_function: Callable[[Array], Array] | None = setting(None, check=_FUNCTION)
    rescale: float | None = setting(None, check=POSITIVE)
    samplewise_center: bool = False
    samplewise_std_normalization: bool = False
    data_format: str = setting("channels_last", choices=("channels_last", "channels_first"))
    dtype: str | None = setting(None, check=Check(_names_numbers, "a number type, as 'float32'"))

    def __new__(cls, *args: Any, **given: Any) -> "ImageDataGenerator":
        """Say of an argument that is gone where what it did is done now."""
        for name, instead in _GONE.items():
            if name in given:
                raise DeepRankingError(f"{name}: leave it out; {instead}")
        return super().__new__(cls)

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
            target_size: (height, width) in pixels, which need not be equal.
            seed: shuffling and augmentation depend on it alone.

        Raises:
            DeepRankingError: a bad triplet file, a missing image, or a bad size.
        """
        from deep_ranking.images.batches import TripletBatches
        from deep_ranking.triplets.table import Triplets

        sides = isinstance(target_size, tuple | list) and len(target_size) == 2
        sides = sides and all(isinstance(side, Integral) and side >= 1 for side in target_size)
        fits = sides and target_size[0] * target_size[1] <= MAX_PIXELS
        expect("target_size", fits, f"(height, width), 1 to {MAX_PIXELS:,} pixels in all", target_size)
        expect("seed", isinstance(seed, Integral) and SEED.holds(seed), SEED.expected, seed)
        plain = self == type(self)()
        return TripletBatches(
            Triplets.load(triplet_path, directory),
            batch_size,
            (target_size[0], target_size[1]),
            shuffle=shuffle,
            seed=seed,
            transform=None if plain else partial(self._batch, seed),
            workers=workers,
        )

    def _batch(self, seed: int, images: NDArray[np.uint8], number: int) -> NDArray[Any]:
        random = np.random.RandomState([seed, number])
        made = []
        for image in images.astype(np.float32):
            image = self.apply_transform(image, self.draw(random, image.shape[:2]))
            made.append(self.standardize(image if self._last else image.transpose(2, 0, 1)))
        return np.stack(made).astype(self.dtype or np.float32)

    @property
    def _last(self) -> bool:
        return self.data_format == "channels_last"

    def draw(self, random: np.random.RandomState, size: tuple[int, int]) -> dict[str, Any]:
        """Return what varies an image of a size: the names, the numbers and their order are Keras's own.

        Args:
            random: of the same state as NumPy's own, the numbers are the same as of Keras's
                `get_random_transform`.
            size: (height, width).
        """

        def within(most: float) -> float:
            return random.uniform(-most, most) if most else 0.0

        def shift(most: Shift, side: int) -> float:
            if not np.any(most):
                return 0.0
            try:  # a whole number, or a list
                by = random.choice(most) * random.choice([-1, 1])
            except ValueError:
                by = random.uniform(-most, most)  # type: ignore[operator]
            return by * side if np.max(most) < 1 else by

        def drawn(between: tuple[float, float] | None) -> float | None:
            return random.uniform(*between) if between is not None else None

        found: dict[str, Any] = {"theta": within(self.rotation_range)}
        found["tx"] = shift(self.height_shift_range, size[0])
        found["ty"] = shift(self.width_shift_range, size[1])
        found["shear"] = within(self.shear_range)
        zoom = self.zoom_range
        low, high = zoom if isinstance(zoom, tuple | list) else (1 - zoom, 1 + zoom)
        found["zx"], found["zy"] = (1, 1) if low == high == 1 else random.uniform(low, high, 2)
        found["flip_horizontal"] = (random.random_sample() < 0.5) * self.horizontal_flip
        found["flip_vertical"] = (random.random_sample() < 0.5) * self.vertical_flip
        found["channel_shift_intensity"] = within(self.channel_shift_range) or None
        found["brightness"] = drawn(self.brightness_range)
        found["contrast"] = drawn(self.contrast_range)
        if self.pixel_shift:
            by = random.randint(-self.pixel_shift, self.pixel_shift + 1, 2)
            found["tx"], found["ty"] = found["tx"] + by[0], found["ty"] + by[1]
        return found

    def apply_transform(self, image: Array, how: dict[str, Any]) -> Array:
        """Vary an image as `draw` says.

        Args:
            image: (height, width, channels), float32 of 0..255.
            how: what is not named leaves the image.
        """
        image = self._moved(image, _affine(how))
        if (by := how.get("channel_shift_intensity")) is not None:
            image = np.clip(image + np.float32(by), image.min(), image.max())
        image = image[:, ::-1] if how.get("flip_horizontal") else image
        image = image[::-1] if how.get("flip_vertical") else image
        for name, enhance in (("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast)):
            if (factor := how.get(name)) is not None:
                grey_levels = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
                image = np.asarray(enhance(grey_levels).enhance(factor), np.float32)
        return image

    def _moved(self, image: Array, matrix: NDArray[np.float64] | None) -> Array:
        """Take each pixel from where a map of (row, column) about the middle says, linearly interpolated."""
        if matrix is None:
            return image
        sides = np.array(image.shape[:2])
        middle = (sides - 1) / 2
        grid = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij"), axis=-1) - middle
        places = grid @ matrix[:2, :2].T + matrix[:2, 2] + middle  # (height, width, 2)
        last = sides - 1
        outside = ((places < 0) | (places > last)).any(axis=-1) & (self.fill_mode == "constant")
        if self.fill_mode == "wrap":  # SciPy's: the last pixel lies where the first one does
            places = np.where((places < 0) | (places > last), np.mod(places, np.maximum(last, 1)), places)
        first = np.floor(places).astype(np.int64)
        share = (places - first).astype(np.float32)
        near = [first, first + 1]
        if self.fill_mode == "reflect":
            near = [np.where((n := np.mod(at, 2 * sides)) < sides, n, 2 * sides - 1 - n) for at in near]
        near = [np.clip(at, 0, last) for at in near]
        down, right = share[..., :1], share[..., 1:]
        rows = [
            image[at[..., 0], near[0][..., 1]] * (1 - right) + image[at[..., 0], near[1][..., 1]] * right
            for at in near
        ]
        found = np.asarray(rows[0] * (1 - down) + rows[1] * down, np.float32)
        found[outside] = self.cval
        return found

    def standardize(self, image: Array) -> Array:
        """Apply what comes after the variation: the function, the scale, the image's own statistics."""
        if self.preprocessing_function is not None:
            made = np.asarray(self.preprocessing_function(image), np.float32)
            expect("preprocessing_function", made.shape == image.shape, f"an image {image.shape}", made.shape)
            image = made
        if self.rescale:
            image = image * np.float32(self.rescale)
        if self.samplewise_center or self.samplewise_std_normalization:
            image = image - image.mean()
        return image / (image.std() + 1e-6) if self.samplewise_std_normalization else image


def _affine(how: dict[str, Any]) -> NDArray[np.float64] | None:
    """Return the (3, 3) map from a pixel's place to where it is taken from; None for the identity.

    Keras's matrix, which it makes for columns first. So its height_shift_range moves an image sideways; here
    each moves it along its own side.
    """
    theta, shear = np.deg2rad(how.get("theta", 0)), np.deg2rad(how.get("shear", 0))
    down, right, zx, zy = (how.get(name, float(name[0] == "z")) for name in ("tx", "ty", "zx", "zy"))
    if not (theta or shear or down or right) and zx == zy == 1:
        return None
    turn = [[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]]
    move = [[1, 0, right], [0, 1, down], [0, 0, 1]]
    lean = [[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]]
    columns_first: NDArray[np.float64] = np.array(turn) @ move @ lean @ np.diag([zx, zy, 1])
    return columns_first[[1, 0, 2]][:, [1, 0, 2]]
