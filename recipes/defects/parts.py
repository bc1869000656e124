"""Images to learn from, to choose the learning rate by, and to measure on: no image is in two of them."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deep_ranking.datasets.demo import DemoSettings, draw_demo
from deep_ranking.datasets.tiny_imagenet import prepare_tiny_imagenet
from deep_ranking.images.decode import read_image
from deep_ranking.images.find import find_classes
from deep_ranking.triplets.sampler import UniformSampler

SIZE = 64


@dataclass(frozen=True)
class Part:
    """Images of classes, and triplets of them.

    Attributes:
        images: (n, SIZE, SIZE, 3) uint8, or (n, d) features of them.
        labels: (n,) the class of each.
        triplets: (t, 3) positions, query by query in the order of the images.
    """

    images: np.ndarray
    labels: np.ndarray
    triplets: np.ndarray

    @classmethod
    def read(cls, classes: Mapping[str, Sequence[Path]], positives: int, negatives: int, seed: int) -> "Part":
        """Read images, class by class, and draw triplets as the blog does."""
        sampler = UniformSampler(
            {name: [str(path) for path in paths] for name, paths in classes.items()},
            num_pos_images=positives,
            num_neg_images=negatives,
            seed=seed,
        )
        pixels = np.stack([read_image(path, (SIZE, SIZE)) for path in sampler.images])
        labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in classes.values()])
        return cls(pixels, labels, np.concatenate(list(sampler.blocks())))


class Parts(NamedTuple):
    """What is learned from, what the rate is chosen by, and what is measured on."""

    training: Part
    validation: Part
    test: Part

    def described(self, vectors: Sequence[np.ndarray]) -> "Parts":
        """Return the same parts, their images as numbers that describe them."""
        return Parts(*(replace(part, images=found) for part, found in zip(self, vectors, strict=True)))


def drawn(count: int, seed: int = 0) -> Parts:
    """Draw the demo's 8 classes, so many images of each in each part."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for part in range(3):
            root = Path(folder) / str(part)
            draw_demo(root, DemoSettings(count, SIZE, seed, part), quiet=True)
            found.append(_paths(root, 0, count))
        return _read(found, seed)


def tiny_imagenet(archive: str, classes: int, count: int, seed: int = 0) -> Parts:
    """Take Tiny ImageNet's first classes: two parts of its training images, one of its validation images."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tiny"
        prepare_tiny_imagenet(root, archive, classes, quiet=True)
        train, val = root / "train", root / "val"
        return _read([_paths(train, 0, count), _paths(train, count, count), _paths(val, 0, count)], seed)


def _paths(root: Path, first: int, count: int) -> dict[str, list[Path]]:
    return {
        name: [root / image for image in images[first : first + count]]
        for name, images in find_classes(root).items()
    }


def _read(found: Sequence[Mapping[str, Sequence[Path]]], seed: int) -> Parts:
    """Few triplets of each image to learn from, more of each to measure with."""
    paths = [path for classes in found for path in chain(*classes.values())]
    assert len(set(paths)) == len(paths)
    return Parts(*(Part.read(c, *n, seed) for c, n in zip(found, ((2, 1), (5, 2), (5, 2)), strict=True)))
