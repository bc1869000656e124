"""Batches of P classes with K images each, for mining triplets inside a batch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect


@dataclass(frozen=True, eq=False)
class ClassBatches:
    """Deals the images of a data set into batches of P classes x K distinct images.

    In an epoch each class's images are shuffled and dealt in hands of K; no image comes twice. Each batch
    takes a hand from each of P classes, those with many hands left more often, until fewer than P classes
    have one. What is left over, another epoch deals otherwise. A class with fewer than K images has no hand.

    Args:
        categories: integers, shape (n,): the class of each image.
        classes_per_batch: P, 2 or more (a negative is of another class).
        images_per_class: K, 2 or more (a positive is another image).
        seed: 0 or more; with the number of the epoch it decides the batches.

    Raises:
        DeepRankingError: a count below 2, a seed below 0, or fewer than P classes with K images.

    Example:
        >>> categories = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
        >>> batches = ClassBatches(categories, classes_per_batch=2, images_per_class=2)
        >>> [batch.tolist() for batch in batches.epoch(0)]
        [[1, 3, 7, 8], [2, 0, 6, 5]]

    Source: the P x K batches of Hermans, Beyer and Leibe, "In defense of the triplet loss for person
    re-identification", 2017.
    """

    categories: NDArray[np.int64]
    classes_per_batch: int
    images_per_class: int
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("classes_per_batch", 2), ("images_per_class", 2), ("seed", 0)):
            expect(name, getattr(self, name) >= least, f"{least} or more", getattr(self, name))
        large = len(self._classes()[1])
        if large < self.classes_per_batch:
            raise DeepRankingError(
                f"expected {self.classes_per_batch} classes (classes_per_batch) with {self.images_per_class} "
                f"images or more (images_per_class), found {large}; lower one of the two"
            )

    @property
    def small_classes(self) -> NDArray[np.int64]:
        """The classes that take no part, having fewer than K images."""
        return self._classes()[0]

    def epoch(self, number: int) -> Iterator[NDArray[np.int64]]:
        """Yield the batches of an epoch: positions of images, (P * K,), the images of a class together."""
        rng = np.random.default_rng([self.seed, number])
        hands = [rng.permutation(np.flatnonzero(self.categories == name)) for name in self._classes()[1]]
        left = np.array([len(images) // self.images_per_class for images in hands])
        while np.count_nonzero(left) >= self.classes_per_batch:
            with np.errstate(divide="ignore"):
                ranks = rng.exponential(size=len(left)) / left
            batch = np.argpartition(ranks, self.classes_per_batch - 1)[: self.classes_per_batch]
            left[batch] -= 1
            starts = left[batch] * self.images_per_class
            yield np.concatenate(
                [
                    hands[c][start : start + self.images_per_class]
                    for c, start in zip(batch, starts, strict=True)
                ]
            )

    def _classes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        names, sizes = np.unique(self.categories, return_counts=True)
        return names[sizes < self.images_per_class], names[sizes >= self.images_per_class]
