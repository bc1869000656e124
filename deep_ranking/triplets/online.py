"""Importance sampling of triplets from a stream that does not fit in memory."""

import functools
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import read_arrays, written_whole
from deep_ranking.triplets.importance import ImportanceSampler
from deep_ranking.triplets.relevance import LabelRelevance, Relevance, SubsetRelevance
from deep_ranking.triplets.reservoir import Reservoirs
from deep_ranking.triplets.settings import ImportanceSettings
from deep_ranking.triplets.table import LabelledImages

RelevanceOf = Callable[[NDArray[np.int64], Mapping[str, NDArray]], Relevance]
"""Makes the relevance of some images from their categories and from what is carried with them."""


class OnlineSampler:
    """Draws triplets of the images seen so far, keeping `capacity` of each category.

    The images of the reservoirs, each standing for as many as `Reservoirs` says, go into an
    `ImportanceSampler`. So where all images fit, the draws are exactly eqs. 6-8; where few fit,
    they are the paper's: queries alike from the buffer, a positive taken with probability proportional to
    r_ij / r_j. In between, the paper's rule favours images of low relevance, and this one does not.

    An image's weight is its mean relevance r_j / (n_c - 1), n_c the images of its category: the total
    divided by a number that all of the category share, so the sample is the paper's, and a stream whose
    length is not known can have it.

    Args:
        capacity: images a category, 3 or more for an in-class negative.
        relevance: called with categories and with what is carried; class labels where left out. For
            features: `functools.partial(FeatureRelevance, scale=...)`, and the features are carried.
        settings: see `ImportanceSettings`.
        seed: any integer; the draws depend on it and on the images alone.

    Example:
        >>> sampler = OnlineSampler(capacity=5, settings=ImportanceSettings(out_of_class_ratio=1), seed=1)
        >>> for start in range(0, 1000, 100):
        ...     ids = np.arange(start, start + 100)
        ...     sampler.add(ids, categories=ids % 3)
        >>> sampler.draw(4) % 3
        array([[2, 2, 1],
               [2, 2, 1],
               [0, 0, 1],
               [1, 1, 2]])

    Source: Wang et al. 2014, section 5.1 and figure 4.
    """

    def __init__(
        self,
        capacity: int,
        relevance: RelevanceOf | None = None,
        settings: ImportanceSettings | None = None,
        seed: int = 0,
    ):
        self.settings = ImportanceSettings() if settings is None else settings
        self.reservoirs = Reservoirs(capacity, seed)
        self.drawn = 0
        self._relevance = relevance or (lambda categories, carried: LabelRelevance(categories))
        self._sampler: ImportanceSampler | None = None

    def add(
        self,
        ids: ArrayLike,
        categories: ArrayLike,
        mean_relevance: ArrayLike | None = None,
        carried: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Take in the next images of the stream; see `Reservoirs.add`, whose weight is `mean_relevance`."""
        self.reservoirs.add(ids, categories, mean_relevance, carried)
        self._sampler = None

    def merge(self, other: "OnlineSampler") -> None:
        """Take in what another sampler of the same settings has seen, of other images."""
        self.reservoirs.merge(other.reservoirs)
        self._sampler = None

    def draw(self, count: int) -> NDArray[np.int64]:
        """Return the next `count` triplets: numbers of query, positive and negative, shape (count, 3).

        The first draw after images came prepares the reservoirs; draw many at a time.

        Raises:
            DeepRankingError: as `ImportanceSampler` does.
        """
        if self._sampler is None:
            self._sampler = self._prepared()
        self._sampler.drawn = self.drawn
        triplets = self.reservoirs.ids[self._sampler.draw(count)]
        self.drawn += count
        return triplets

    def estimated_relevance(
        self, ids: ArrayLike, categories: ArrayLike, carried: Mapping[str, ArrayLike]
    ) -> NDArray[np.float64]:
        """Return the mean relevance of images to those in the reservoirs, shape (m,): an unbiased estimate.

        For a relevance of features, whose totals are not known beforehand: a first pass over the stream
        fills one sampler with all weights 1, and gives the weights of the second pass into another. A
        category of which the reservoirs hold no other image has the estimate 0.
        """
        ids, categories = np.asarray(ids, np.int64), np.asarray(categories, np.int64)
        kept = self.reservoirs
        relevance = self._relevance(
            np.concatenate([kept.categories, categories]),
            {name: np.concatenate([rows, carried[name]]) for name, rows in kept.carried.items()},
        )
        copies = 1 / kept.inclusion
        mean = np.zeros(len(ids))
        for category in np.unique(categories):
            rows = np.flatnonzero(categories == category)
            members = np.flatnonzero(kept.categories == category)
            weight = copies[members] * (ids[rows, None] != kept.ids[members])
            total = (weight * relevance(len(kept.ids) + rows[:, None], members[None, :])).sum(axis=1)
            np.divide(total, weight.sum(axis=1), out=total, where=weight.sum(axis=1) > 0)
            mean[rows] = total
        return mean

    def state(self) -> dict[str, NDArray]:
        """Return all there is to know but the relevance, as plain arrays."""
        own = {"drawn": np.array(self.drawn), "settings": np.array(json.dumps(asdict(self.settings)))}
        return own | self.reservoirs.state()

    @classmethod
    def restored(cls, state: Mapping[str, NDArray], relevance: RelevanceOf | None = None) -> "OnlineSampler":
        """Make the sampler whose `state` it is; it draws on as if nothing had happened.

        Raises:
            DeepRankingError: an array is missing, or does not fit the others.
        """
        missing = [name for name in ("drawn", "settings") if name not in state]
        if missing:
            raise DeepRankingError(f"the state of a sampler lacks {', '.join(missing)}; was it saved whole?")
        reservoirs = Reservoirs.restored(state)
        settings = ImportanceSettings(**json.loads(str(state["settings"])))
        made = cls(reservoirs.capacity, relevance, settings, reservoirs.seed)
        made.reservoirs, made.drawn = reservoirs, int(state["drawn"])
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state to a `.npz` file, whole or not at all; it holds numbers and text, no objects."""
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **self.state())  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | os.PathLike[str], relevance: RelevanceOf | None = None) -> "OnlineSampler":
        """Read what `save` wrote.

        Raises:
            DeepRankingError: the file is not such a one.
            OSError: the file cannot be read.
        """
        state = read_arrays(path)
        try:
            return cls.restored(state, relevance)
        except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise DeepRankingError(f"{os.fspath(path)}: not a sampler's saved state ({error})") from error

    def _prepared(self) -> ImportanceSampler:
        kept = self.reservoirs
        categories, copies = kept.categories, 1 / kept.inclusion
        size = len(kept.counts)
        # In a category the sample gives the shares; between them, the sums over all that came are exact.
        share = copies / np.bincount(categories, copies, size)[categories]
        weight = copies * kept.weights
        sums = np.bincount(categories, weight, size)[categories]
        query = np.divide(weight, sums, out=np.zeros(len(weight)), where=sums > 0)
        has_positive = np.bincount(categories, minlength=size) > 1
        totals = query * (has_positive * (kept.counts - 1) * kept.weight_sums)[categories]
        return ImportanceSampler(
            self._relevance(categories, kept.carried),
            self.settings,
            kept.seed,
            totals=totals,
            copies=share * kept.counts[categories],
        )


class OnlineTriplets:
    """Triplets drawn anew in each epoch, in place of a triplet file.

    In an epoch all images pass once through an `OnlineSampler` with a seed of its own, and the epoch's
    triplets are drawn from the reservoirs. So the images of a large category change from epoch to epoch,
    each as often as its relevance asks for. The seed and the number of the epoch are the whole state:
    a training that stopped draws on from its step, and nothing else need be kept.

    Args:
        labelled: the images; their labels are those that `relevance` was made with.
        relevance: of these images. Its categories may be wider than the classes.
        count: triplets an epoch, 1 or more.
        capacity: images a category in an epoch's reservoirs, 2 or more; 3 or more for in-class negatives.
        settings: see `ImportanceSettings`.
        seed: 0 or more.

    Raises:
        DeepRankingError: a number is out of its range, or there is no triplet to draw.

    Example:
        >>> from deep_ranking.triplets.relevance import LabelRelevance
        >>> pets = LabelledImages.of({"cat": ["cat/1", "cat/2"], "dog": ["dog/1", "dog/2"]}, "pets")
        >>> settings = ImportanceSettings(out_of_class_ratio=1)
        >>> triplets = OnlineTriplets(pets, LabelRelevance(pets.labels), count=2, settings=settings)
        >>> [triplets.epoch(number).tolist() for number in (0, 1)]
        [[[1, 0, 2], [0, 1, 3]], [[2, 3, 0], [3, 2, 0]]]

    Source: Wang et al. 2014, section 5.1.
    """

    def __init__(
        self,
        labelled: LabelledImages,
        relevance: Relevance,
        count: int,
        capacity: int = 100,
        settings: ImportanceSettings | None = None,
        seed: int = 0,
    ):
        for name, least, found in (("count", 1, count), ("capacity", 2, capacity), ("seed", 0, seed)):
            expect(name, found >= least, f"{least} or more", found)
        expect("labelled", len(labelled.images) > 0, "images with classes", labelled.images)
        self.images, self.relevance = labelled.images, relevance
        self.count, self.capacity, self.seed = count, capacity, seed
        self.settings = ImportanceSettings() if settings is None else settings
        others = np.bincount(relevance.categories)[relevance.categories] - 1
        self._mean_relevance = relevance.totals() / np.maximum(others, 1)
        # Two epochs, since readers run ahead of training at an epoch's end; a lock, since there are several.
        self._drawn, self._lock = functools.lru_cache(maxsize=2)(self._draw), threading.Lock()
        first = self.epoch(0).astype("<i4").tobytes()
        self.fingerprint = hashlib.sha256(labelled.fingerprint.encode() + first).hexdigest()

    def __len__(self) -> int:
        """Return the number of triplets of an epoch."""
        return self.count

    @property
    def description(self) -> dict[str, Any]:
        """What a model file tells of the data that it was trained on."""
        return {
            "count": self.count,
            "images": len(self.images),
            "sha256": self.fingerprint,
            "sampling": "online",
            "relevance": type(self.relevance).__name__,
            "capacity": self.capacity,
            **asdict(self.settings),
        }

    def epoch(self, number: int) -> NDArray[np.int32]:
        """Return the triplets of an epoch, (count, 3) positions in `images`: the same at each call."""
        with self._lock:
            return self._drawn(number)

    def _draw(self, number: int) -> NDArray[np.int32]:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)[0])
        sampler = OnlineSampler(self.capacity, self._among, self.settings, seed)
        positions = np.arange(len(self.images))
        sampler.add(positions, self.relevance.categories, self._mean_relevance, {"position": positions})
        return sampler.draw(self.count).astype(np.int32)

    def _among(self, _: NDArray[np.int64], carried: Mapping[str, NDArray]) -> Relevance:
        return SubsetRelevance(self.relevance, carried["position"])
