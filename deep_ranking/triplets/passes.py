"""A folder of images as a stream without end: each epoch is a pass through the online sampler."""

import functools
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.triplets.importance_settings import ImportanceSettings
from deep_ranking.triplets.labelled import LabelledImages
from deep_ranking.triplets.online import OnlineSampler
from deep_ranking.triplets.relevance import Relevance, SubsetRelevance


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
        for name, expected, found in (("count", 1, count), ("capacity", 2, capacity), ("seed", 0, seed)):
            if found < expected:
                raise DeepRankingError(f"{name}: expected {expected} or more, found {found}")
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
