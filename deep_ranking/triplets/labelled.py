"""The images of a folder of classes, as training takes them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their classes.

    Args:
        images: path of each image, as it can be opened.
        labels: (n,) int64, the class of each.
        fingerprint: SHA-256 of names and classes, 64 hexadecimal digits.

    Example:
        >>> LabelledImages.of({"cat": ["cat/1.png"], "dog": ["dog/1.png", "dog/2.png"]}, "pets").labels
        array([0, 1, 1])
    """

    images: list[str]
    labels: NDArray[np.int64]
    fingerprint: str

    @classmethod
    def of(cls, classes: Mapping[str, Sequence[str]], root: str | os.PathLike[str]) -> "LabelledImages":
        """Return the images of classes, as `images.find_classes` gives them, class by class.

        Args:
            classes: class name -> its images, relative to `root`.
            root: folder of the data set.
        """
        digest = hashlib.sha256()
        for members in classes.values():
            digest.update("\0".join(members).encode("utf-8", "surrogateescape") + b"\n")
        # Path objects would cost more than all else here: there may be millions of images.
        images = [os.path.join(root, name) for members in classes.values() for name in members]  # noqa: PTH118
        labels = np.repeat(np.arange(len(classes)), [len(members) for members in classes.values()])
        return cls(images, labels, digest.hexdigest())

    @property
    def description(self) -> dict[str, Any]:
        """What a model file tells of the data that it was trained on."""
        return {
            "images": len(self.images),
            "classes": len(np.unique(self.labels)),
            "sha256": self.fingerprint,
        }
