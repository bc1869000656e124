"""The contract of a hand-made feature: an image becomes a vector, and near vectors mean similar images."""

import hashlib
import importlib
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from PIL import Image

from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.files import read_arrays, written_whole
from deep_ranking.images.decode import read_image
from deep_ranking.progress import progress

SIDE = 128
"""Images are stretched to SIDE x SIDE pixels first, so that one feature has one length for all of them."""


@dataclass(frozen=True)
class Feature(ABC):
    """What turns an image into a vector; its fields are its settings.

    The squared Euclidean distance of two vectors is the distance of the images. Histograms are square-rooted
    (the Hellinger distance), so that a linear method on the vectors works as well.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the same settings give other vectors, so that cached ones are not taken for them."""

    @property
    @abstractmethod
    def dimension(self) -> int:
        """The length of the vector."""

    @abstractmethod
    def compute(self, image: np.ndarray) -> np.ndarray:
        """Describe one image.

        Args:
            image: (height, width, 3) uint8, RGB 0..255, of any size.

        Returns:
            (dimension,) float32, finite.

        Raises:
            MissingExtraError: scikit-image or PyWavelets is not installed.
        """

    def fingerprint(self) -> str:
        """Return a digest of all that the vectors depend on besides the image."""
        digest = hashlib.sha256(f"{self.name} {self.version}".encode())
        for setting in fields(self):
            if setting.name != "codebook":
                digest.update(f" {setting.name}={getattr(self, setting.name)!r}".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class CodebookFeature(Feature):
    """A feature of local descriptors, counted against a codebook that `fit` learns from images, unlabelled.

    Args:
        seed: of the images, the descriptors and the clustering.
        codebook: the arrays that `fit` learned; give none.
    """

    seed: int = 0
    codebook: dict[str, np.ndarray] | None = field(default=None, repr=False, compare=False)

    images_to_fit: ClassVar[int] = 800
    descriptors_to_fit: ClassVar[int] = 80_000

    @abstractmethod
    def descriptors(self, image: np.ndarray) -> np.ndarray:
        """Return the (n, d) float32 local descriptors of an image."""

    @abstractmethod
    def learn(self, descriptors: np.ndarray) -> dict[str, np.ndarray]:
        """Return the codebook of (n, d) descriptors."""

    def fit(self, paths: Sequence[str | os.PathLike[str]], quiet: bool = True) -> Self:
        """Return this feature with a codebook learned from a sample of the images.

        Raises:
            DeepRankingError: no images, or one that cannot be read.
        """
        if not len(paths):
            raise DeepRankingError(f"{self.name}: expected images to learn the codebook from, found none")
        rng = np.random.default_rng(self.seed)
        chosen = rng.permutation(len(paths))[: self.images_to_fit]
        share = -(-self.descriptors_to_fit // len(chosen))
        sample = [
            rng.permutation(self.descriptors(read_image(paths[i])))[:share]
            for i in progress(np.sort(chosen), f"{self.name} codebook", "images", quiet=quiet)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few or equal descriptors make a poor codebook, no error
            return replace(self, codebook=self.learn(np.concatenate(sample)))

    def learned(self) -> dict[str, np.ndarray]:
        """Return the codebook.

        Raises:
            DeepRankingError: `fit` has not been called.
        """
        if self.codebook is None:
            raise DeepRankingError(f"{self.name}: has no codebook yet; call fit(paths) or load one")
        return self.codebook

    def fingerprint(self) -> str:
        """Return a digest of the settings and the codebook."""
        digest = hashlib.sha256(super().fingerprint().encode())
        for name, array in sorted(self.learned().items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the codebook as `.npz`, whole or not at all, with the digest of the settings it belongs to.

        Raises:
            DeepRankingError: there is no codebook yet.
        """
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, settings=super().fingerprint(), **self.learned())  # type: ignore[arg-type]

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Return this feature with the codebook that `save` wrote.

        Raises:
            DeepRankingError: the file is no codebook, or one of other settings.
            OSError: the file cannot be read.
        """
        arrays, name = read_arrays(path), os.fspath(path)
        if "settings" not in arrays:
            found = ", ".join(arrays) or "no arrays"
            raise DeepRankingError(
                f"{name}: expected a codebook as CodebookFeature.save writes it; found {found}"
            )
        if str(arrays.pop("settings")) != super().fingerprint():
            raise DeepRankingError(
                f"{name}: the codebook of another feature, or of other settings than {self}; "
                "give its own, or learn one"
            )
        return replace(self, codebook=arrays)


def stretched(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Resize (height, width, 3) uint8 to (side, side, 3), antialiased bilinear, the proportions given up."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def lightness(image: np.ndarray) -> np.ndarray:
    """Return the luma of (height, width, 3) uint8 RGB as float32, 0..1 (ITU-R 601 weights)."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255


def extra(module: str, package: str) -> Any:
    """Import a module of the extra `features`, when it is first needed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(package, "features", "a hand-made feature") from error
