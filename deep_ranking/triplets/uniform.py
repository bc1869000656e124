"""Samplers that know classes alone: the blog's, and batches of P classes with K images each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect

BALANCES = ("images", "classes")

_BLOCK = 200_000
"""About as many triplets are made at a time; keeps the memory flat."""


@dataclass(frozen=True)
class UniformSampler:
    """The blog's sampler: uniform triplets over a folder of classes.

    Each image is a query once. It gets `num_pos_images` distinct positives of its class (or all, where
    the class has fewer), and each of these pairs gets `num_neg_images` distinct images of other classes.

    Args:
        classes: class name -> its images, as `images.find_classes` gives them.
        num_pos_images: positives a query, 1 or more.
        num_neg_images: negatives a (query, positive) pair, 1 or more.
        seed: the same seed gives the same triplets in the same order.
        balance: "images": each image is a query once. "classes": each class of two images or more gives the
            queries of as many triplets, in all as many as by images; of a large class only some images are
            queries then, of a small one each is several times, with positives drawn anew. Negatives are of
            each other image alike in both.

    Raises:
        DeepRankingError: a count or a seed out of range, fewer than two classes, or no class of two images.

    Example:
        >>> sampler = UniformSampler({"a": ["a/1", "a/2"], "b": ["b/1"]}, num_pos_images=1, num_neg_images=1)
        >>> sampler.single_image_classes
        ['b']
        >>> [[sampler.images[i] for i in row] for block in sampler.blocks() for row in block]
        [['a/1', 'a/2', 'b/1'], ['a/2', 'a/1', 'b/1']]

    Source: the blog's `triplet_sampler.py`. Here the time is linear in the triplets and the memory in the
    images; there, each (query, positive) pair shuffles all images.
    """

    classes: Mapping[str, Sequence[str]]
    num_pos_images: int = 10
    num_neg_images: int = 5
    seed: int = 0
    balance: Literal["images", "classes"] = "images"

    def __post_init__(self) -> None:
        for name, least in (("num_pos_images", 1), ("num_neg_images", 1), ("seed", 0)):
            _expect_whole(name, getattr(self, name), least)
        expect("balance", self.balance in BALANCES, " or ".join(BALANCES), self.balance)
        if len(self.classes) < 2:
            raise DeepRankingError(
                f"expected two classes or more, found {len(self.classes)} ({', '.join(self.classes)}); "
                "a negative comes from another class than its query, so add a second sub-folder of images"
            )
        if len(self.single_image_classes) == len(self.classes):
            raise DeepRankingError(
                "expected a class with two images or more, found one image in each class; "
                "a positive is another image of its query's class, so add images"
            )

    @property
    def images(self) -> list[str]:
        """All images, class by class; the triplets are given as positions in this list."""
        return [image for images in self.classes.values() for image in images]

    @property
    def single_image_classes(self) -> list[str]:
        """Classes whose only image has no positive; it still serves as a negative."""
        return [name for name, images in self.classes.items() if len(images) == 1]

    @property
    def triplets(self) -> dict[str, int]:
        """How many triplets have their query in each class."""
        each = {name: self._queries(name) * self._of_query(name) for name in self.classes}
        return {name: count for name, count in each.items() if count}

    def _of_query(self, name: str) -> int:
        size, total = len(self.classes[name]), sum(map(len, self.classes.values()))
        return min(self.num_pos_images, size - 1) * min(self.num_neg_images, total - size)

    def _queries(self, name: str) -> int:
        """Return how often an image of a class is a query."""
        size = len(self.classes[name])
        if self.balance == "images" or size < 2:
            return size
        sizes = {other: len(images) for other, images in self.classes.items() if len(images) > 1}
        share = sum(sizes[other] * self._of_query(other) for other in sizes) / len(sizes)
        return max(1, round(share / self._of_query(name)))

    def __len__(self) -> int:
        """Return the number of triplets."""
        return sum(self.triplets.values())

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the triplets as (k, 3) int64 arrays of positions in `images`; query, positive, negative.

        The rows of one (query, positive) pair stand together, and the pairs of one query.
        """
        rng = np.random.default_rng(self.seed)
        total = sum(len(images) for images in self.classes.values())
        start = 0
        for name, images in self.classes.items():
            size = len(images)
            positives = min(self.num_pos_images, size - 1)
            negatives = min(self.num_neg_images, total - size)
            step = max(1, _BLOCK // max(1, positives * negatives)) if positives else size
            queries = np.arange(size)
            if self.balance == "classes" and positives:
                whole, rest = divmod(self._queries(name), size)
                queries = np.sort(np.concatenate([np.tile(queries, whole), rng.permutation(size)[:rest]]))
            for first in range(0, len(queries) if positives else 0, step):
                query = queries[first : first + step]
                positive = choose(rng, len(query), size - 1, positives)
                positive += positive >= query[:, None]  # the query itself is stepped over
                negative = choose(rng, positive.size, total - size, negatives)
                negative += size * (negative >= start)  # and so is its whole class
                block = np.empty((negative.size, 3), np.int64)
                block[:, 0] = np.repeat(query + start, positives * negatives)
                block[:, 1] = np.repeat(positive.ravel() + start, negatives)
                block[:, 2] = negative.ravel()
                yield block
            start += size


def choose(rng: np.random.Generator, rows: int, population: int, k: int) -> np.ndarray:
    """Draw, for each row, `k` distinct numbers below `population`; every subset is equally likely.

    Drawing with replacement and drawing again what is there already is the same as drawing without
    replacement. When no more than half of the population is taken, a draw is a repeat at most every other
    time, so the work is linear in the numbers returned; when more is taken, a row of random keys is.

    Returns:
        (rows, k) int64, each row ascending.

    Example:
        >>> choose(np.random.default_rng(0), rows=2, population=3, k=3)
        array([[0, 1, 2],
               [0, 1, 2]])
    """
    if k == population:
        return np.tile(np.arange(population), (rows, 1))
    if 2 * k > population:
        # A part at a time, since the keys take `population` numbers a row.
        step = max(1, _BLOCK // population)
        parts = [
            np.argpartition(rng.random((min(step, rows - first), population)), k, axis=1)[:, :k]
            for first in range(0, rows, step)
        ]
        return np.sort(np.concatenate(parts), axis=1)
    drawn = rng.integers(population, size=(rows, k))
    pending = np.arange(rows)
    while len(pending):
        part = np.sort(drawn[pending], axis=1)
        repeat = np.zeros_like(part, bool)
        repeat[:, 1:] = part[:, 1:] == part[:, :-1]
        part[repeat] = rng.integers(population, size=repeat.sum())
        drawn[pending] = part
        pending = pending[repeat.any(axis=1)]
    return drawn


def split_images(
    classes: Mapping[str, Sequence[str]], share: float, seed: int = 0
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Split the images of each class into a training and a validation part.

    At least two images of a class stay on the training side, so that it keeps a positive; a class that is
    held out at all is held out with two images or more, for the same reason.

    Args:
        classes: class name -> its images.
        share: the validation part of each class, above 0 and below 1.
        seed: the same seed gives the same split, whatever the order of the images.

    Raises:
        DeepRankingError: `share` is out of range, or too few images for two classes on both sides.

    Example:
        >>> training, validation = split_images({"a": list("12345"), "b": list("6789")}, share=0.4)
        >>> {name: len(images) for name, images in validation.items()}
        {'a': 2, 'b': 2}
    """
    expect("validation_split", 0 < share < 1, "a share above 0 and below 1", share)
    _expect_whole("seed", seed, 0)
    training: dict[str, list[str]] = {}
    validation: dict[str, list[str]] = {}
    rng = np.random.default_rng([seed, 1])
    for name, images in classes.items():
        images = sorted(images)
        order = rng.permutation(len(images))
        held = min(max(2, math.floor(share * len(images) + 0.5)), len(images) - 2)
        if held < 2:
            held = 0
        training[name] = [images[i] for i in sorted(order[held:])]
        if held:
            validation[name] = [images[i] for i in sorted(order[:held])]
    if len(validation) < 2:
        raise DeepRankingError(
            f"validation_split: expected two classes or more with four images each, found {len(validation)}; "
            "add images, or train without a split"
        )
    return training, validation


@dataclass(frozen=True, eq=False)
class ClassBatches:
    """Deals the images of a data set into batches of P classes x K distinct images, for mining inside them.

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
            _expect_whole(name, getattr(self, name), least)
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
        size = self.images_per_class
        left = np.array([len(images) // size for images in hands])
        while np.count_nonzero(left) >= self.classes_per_batch:
            with np.errstate(divide="ignore"):
                ranks = rng.exponential(size=len(left)) / left
            batch = np.argpartition(ranks, self.classes_per_batch - 1)[: self.classes_per_batch]
            left[batch] -= 1
            starts = zip(batch, left[batch] * size, strict=True)
            yield np.concatenate([hands[c][start : start + size] for c, start in starts])

    def _classes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        names, sizes = np.unique(self.categories, return_counts=True)
        return names[sizes < self.images_per_class], names[sizes >= self.images_per_class]


def _expect_whole(name: str, given: object, least: int) -> None:
    expect(name, isinstance(given, Integral) and int(given) >= least, f"{least} or more", given)
