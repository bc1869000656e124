"""What is asked of embeddings: triplets to rank, classes to find. Names of images, no pixels, no models.

Whoever has vectors of the images can be asked: a network, a baseline, a file from elsewhere.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics import Measurement, measure_retrieval, measure_triplets
from deep_ranking.evaluation.metrics.measure import NOTHING_TO_FIND
from deep_ranking.files import first_of_same_content, first_of_same_file
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler
from deep_ranking.vectors import Embeddings

logger = logging.getLogger(__name__)

Classes = Mapping[str, Sequence[str]]
"""Class name -> its images, as `images.find_classes` gives them."""


@dataclass(frozen=True, eq=False)
class TripletTask:
    """Rank triplets; see `metrics.measure_triplets`.

    Args:
        images: those of the triplets, and all others of their groups.
        triplets: shape (t, 3), rows of `images`.
        groups: the text query or the class of each image; None: there is no score-at-top-K.
    """

    images: Sequence[str]
    triplets: np.ndarray
    groups: Sequence[str] | None = None

    @classmethod
    def of_table(cls, table: Triplets, classes: Classes) -> "TripletTask":
        """Return the task of a triplet file.

        Args:
            table: the triplets.
            classes: the images of each text query or class, named as the table names them. Where an image
                of the triplets is in none, the task has no groups.
        """
        group = {image: name for name, images in classes.items() for image in images}
        images = list(dict.fromkeys([*table.images, *group]))
        row = {image: i for i, image in enumerate(images)}
        triplets = np.array([row[image] for image in table.images])[table.rows]
        grouped = all(image in group for image in images)
        return cls(images, triplets, [group[image] for image in images] if grouped else None)

    @classmethod
    def sampled(
        cls, classes: Classes, positives: int = 3, negatives: int = 3, seed: int = 0
    ) -> "TripletTask":
        """Return triplets drawn from classes: every image a query; the seed makes them the same.

        Raises:
            DeepRankingError: fewer than two classes, or no class with two images.
        """
        sampler = UniformSampler(classes, positives, negatives, seed)
        return cls(sampler.images, np.concatenate(list(sampler.blocks())), class_of_each(classes))

    def measure(self, embeddings: Embeddings, top: int = 30) -> Measurement:
        """Return `similarity_precision` and, with groups, `score_at_top_K`."""
        vectors = embeddings.vectors[embeddings.rows(self.images)]
        return measure_triplets(vectors, self.triplets, self.groups, top)


@dataclass(frozen=True, eq=False)
class RetrievalTask:
    """Find the images of a query's class; see `metrics.measure_retrieval`.

    An image in both is left out of its own results: with the same classes twice, each image of a folder
    looks for the others of its class.

    Args:
        queries: class name -> images.
        gallery: class name -> images.
        same: the image of the gallery that a query of another name is, as `same_images` tells.
    """

    queries: Classes
    gallery: Classes
    same: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_files(cls, queries: Classes, gallery: Classes, root: str = "") -> "RetrievalTask":
        """Return the task of images that are files: links to gallery images and copies of them are known."""
        same = same_images(images_of(queries), images_of(gallery), root)
        if same:
            logger.warning(
                "%s of %s queries are images of the gallery too, as links or copies; each is left out of its "
                "own results, the first: %s is %s",
                *(f"{len(same):,}", f"{sum(map(len, queries.values())):,}", *next(iter(same.items()))),
            )
        return cls(queries, gallery, same)

    def check(self) -> None:
        """Look, before anything is embedded, whether there is something to find, and something to mistake.

        Raises:
            DeepRankingError: no query has another image of its class in the gallery.
        """
        held = class_of_each(self.gallery)
        counts, own = Counter(held), self.leave_out
        found = zip(class_of_each(self.queries), own.tolist(), strict=True)
        if not any(counts[label] > (row >= 0 and held[row] == label) for label, row in found):
            raise DeepRankingError(NOTHING_TO_FIND)
        if len(counts) == 1:
            told = "all images of the gallery are of one class, %r, so whatever is found is right"
            logger.warning(told, held[0])

    @property
    def images(self) -> list[str]:
        """The gallery's, then those of the queries that it does not hold."""
        return list(dict.fromkeys([*images_of(self.gallery), *images_of(self.queries)]))

    @property
    def leave_out(self) -> np.ndarray:
        """For each query its own row in the gallery, or -1."""
        rows = {image: row for row, image in enumerate(images_of(self.gallery))}
        names = (self.same.get(image, image) for image in images_of(self.queries))
        return np.array([rows.get(name, -1) for name in names], np.intp)

    @property
    def most(self) -> int:
        """How many neighbours each query can have."""
        return sum(map(len, self.gallery.values())) - int((self.leave_out >= 0).any())

    def vectors(self, embeddings: Embeddings) -> tuple[np.ndarray, np.ndarray]:
        """Return those of the queries and of the gallery; the same array where both are the same."""
        gallery = embeddings.vectors[embeddings.rows(images_of(self.gallery))]
        if self.queries is self.gallery:
            return gallery, gallery
        return embeddings.vectors[embeddings.rows(images_of(self.queries))], gallery

    def measure(
        self, embeddings: Embeddings, at: Sequence[int], voters: Sequence[int], whole: bool = False
    ) -> Measurement:
        """Return what `metrics.measure_retrieval` does: precision@K and Recall@K for each K, and so on."""
        queries, gallery = self.vectors(embeddings)
        sought, held = class_of_each(self.queries), class_of_each(self.gallery)
        return measure_retrieval(queries, sought, gallery, held, self.leave_out, at, voters, whole=whole)


def same_images(queries: Iterable[str], gallery: Iterable[str], root: str = "") -> dict[str, str]:
    """Return the image of the gallery that a query is under another name: a link to it, or a copy.

    Only files of the same size are read. What is no file (vectors may be of images that are elsewhere) is
    known by its name alone, and not among these.

    Returns:
        query -> image of the gallery, for those that have one, and whose name is not in the gallery.
    """
    gallery = list(gallery)
    names = set(gallery)
    both = [*gallery, *(query for query in queries if query not in names)]
    paths = [os.path.join(root, name) for name in both]  # noqa: PTH118 - for each image
    same = {}
    for query, *firsts in zip(both, first_of_same_file(paths), first_of_same_content(paths), strict=True):
        other = next((first for first in firsts if first < len(gallery)), None)
        if other is not None and query not in names:
            same[query] = gallery[other]
    return same


def distinct_images(
    images: Sequence[str], labels: Sequence[object] | NDArray[Any], so: str, root: str = ""
) -> NDArray[np.intp]:
    """Return the places of the images that are no copies, byte for byte, of another of their class before.

    Warnings count the copies, and tell of images that two classes have.

    Args:
        images: paths.
        labels: the class of each.
        so: what the copies of one class come to.
        root: that the paths are relative to.
    """
    first = first_of_same_content([os.path.join(root, name) for name in images])  # noqa: PTH118
    seen: dict[tuple[int, object], int] = {}
    for place, (content, label) in enumerate(zip(first, labels, strict=True)):
        seen.setdefault((content, label), place)
    kept = np.fromiter(seen.values(), np.intp, len(seen))
    if copies := len(images) - len(kept):
        told = "%s of %s images are copies of others of their class (the same bytes); %s"
        logger.warning(told, f"{copies:,}", f"{len(images):,}", so)
    torn = [(place, content) for (content, label), place in seen.items() if labels[content] != label]
    if torn:
        logger.warning(
            "%s images are in two classes, byte for byte, the first: %s is %s; take one of each away",
            f"{len(torn):,}",
            *(images[place] for place in torn[0]),
        )
    return kept


def classes_by_folder(images: Iterable[str], root: str) -> dict[str, list[str]]:
    """Group paths by the sub-folder of `root` that they lie in; those that lie in none are left out.

    Example:
        >>> classes_by_folder(["data/cat/1.jpg", "data/dog/old/1.jpg", "data/3.jpg", "else/4.jpg"], "data")
        {'cat': ['data/cat/1.jpg'], 'dog': ['data/dog/old/1.jpg']}
    """
    classes: dict[str, list[str]] = {}
    for image in images:
        folder, *below = Path(os.path.relpath(image, root)).parts
        if below and folder != os.pardir:
            classes.setdefault(folder, []).append(image)
    return classes


def images_of(classes: Classes) -> list[str]:
    """Return all images, class by class.

    Example:
        >>> images_of({"cat": ["a", "b"], "dog": ["c"]}), class_of_each({"cat": ["a", "b"], "dog": ["c"]})
        (['a', 'b', 'c'], ['cat', 'cat', 'dog'])
    """
    return list(chain.from_iterable(classes.values()))


def class_of_each(classes: Classes) -> list[str]:
    """Return the class of each of `images_of(classes)`."""
    return [name for name, images in classes.items() for _ in images]


def sample_classes(classes: Classes, images_per_class: int | None, seed: int = 0) -> dict[str, list[str]]:
    """Return at most so many images of each class, the same for the same seed; all of them for None.

    Raises:
        DeepRankingError: `images_per_class` is below 1.

    Example:
        >>> sample_classes({"cat": ["a", "b", "c"], "dog": ["d"]}, 2, seed=1)
        {'cat': ['a', 'b'], 'dog': ['d']}
    """
    enough = images_per_class is None or images_per_class >= 1
    expect("images_per_class", enough, "1 or more", images_per_class)
    rng = np.random.default_rng([seed, 2])
    return {
        name: [images[i] for i in sorted(rng.permutation(len(images))[:images_per_class])]
        for name, images in classes.items()
    }
