"""Images to learn from, to choose the learning rate by, and to measure on: no image is in two of them."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deep_ranking import (
    DemoSettings,
    UniformSampler,
    draw_demo,
    find_classes,
    prepare_tiny_imagenet,
    read_image,
)

SIZE = 64


@dataclass(frozen=True)
class Part:
    """Images of classes, and triplets of them.

    Attributes:
        images: what a network takes: pixels, (n, SIZE, SIZE, 3) uint8, and features where it makes none.
        labels: (n,) the class of each.
        triplets: (t, 3) positions, query by query in the order of the images.
    """

    images: tuple[np.ndarray, ...]
    labels: np.ndarray
    triplets: np.ndarray


class Parts(NamedTuple):
    """What is learned from, what the rate is chosen by, and what is measured on."""

    training: Part
    validation: Part
    test: Part


def drawn(count: int) -> Parts:
    """Draw the demo's 8 classes, so many images of each in each part."""
    with tempfile.TemporaryDirectory() as folder:
        roots = [Path(folder) / str(part) for part in range(3)]
        for part, root in enumerate(roots):
            draw_demo(root, DemoSettings(count, SIZE, part=part), quiet=True)
        return _parts(*((root, slice(count)) for root in roots))


def tiny_imagenet(archive: str, classes: int, count: int) -> Parts:
    """Take Tiny ImageNet's first classes: two parts of its training images, one of its validation images."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tiny"
        prepare_tiny_imagenet(root, archive, classes, quiet=True)
        train = root / "train"
        return _parts((train, slice(count)), (train, slice(count, 2 * count)), (root / "val", slice(count)))


def _parts(training: tuple[Path, slice], *measured: tuple[Path, slice]) -> Parts:
    """Few triplets of each image to learn from, more of each to measure with."""
    return Parts(_part(*training, 2, 1), *(_part(*where, 5, 2) for where in measured))


def _part(root: Path, chosen: slice, positives: int, negatives: int) -> Part:
    classes = {name: images[chosen] for name, images in find_classes(root).items()}
    sampler = UniformSampler(classes, positives, negatives)
    pixels = np.stack([read_image(root / image, (SIZE, SIZE)) for image in sampler.images])
    labels = np.repeat(np.arange(len(classes)), [len(images) for images in classes.values()])
    return Part((pixels,), labels, np.concatenate(list(sampler.blocks())))
