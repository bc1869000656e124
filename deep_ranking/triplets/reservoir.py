"""Reservoirs: a weighted sample of each category of a stream, in bounded memory."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.triplets.uniforms import uniforms

_KEY = 1 << 32  # apart from the purposes of the draws, which share the seed
_FAINT = 1e-300  # stands for a weight of 0: behind every other weight, yet in random order
_STATE = {"ids": "i8", "categories": "i8", "weights": "f8", "ranks": "f8"}
_COUNTS = {"thresholds": "f8", "counts": "i8", "weight_sums": "f8"}
"""The arrays of a row an image, and of a row a category, and their numbers."""


class Reservoirs:
    """One reservoir a category: of its images, those with the `capacity` largest keys u_j^(1/w_j).

    u_j is uniform on (0, 1), a function of the seed and the image's number; w_j is its weight. The sample is
    one without replacement with probabilities proportional to weight. It does not depend on the order of
    the stream or on how it is cut into pieces.

    Kept is -log of the key, the `rank`: exponentially distributed with rate w_j, and a key near 0 does not
    round to 0. Beside the images, the smallest rank t that fell out of each reservoir is kept: given t, an
    image of weight w is in with probability 1 - exp(-w t), and so stands for 1 / (1 - exp(-w t)) images
    of the stream. That makes unbiased what is computed from the sample.

    Args:
        capacity: images a category, 1 or more.
        seed: any integer.

    Attributes:
        counts: how many images of each category came, shape (categories,).
        weight_sums: the sum of their weights, shape (categories,).
        thresholds: t of each category when rows were last sorted in, infinite while none has fallen out.

    Example:
        >>> reservoirs = Reservoirs(capacity=2, seed=1)
        >>> reservoirs.add(ids=range(100), categories=[0] * 50 + [1] * 50)
        >>> reservoirs.categories, reservoirs.counts
        (array([0, 0, 1, 1]), array([50, 50]))

    Source: Wang et al. 2014, section 5.1; Efraimidis and Spirakis, "Weighted random sampling with a
    reservoir", 2006; Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007 (the probability).
    """

    def __init__(self, capacity: int, seed: int = 0):
        expect("capacity", capacity >= 1, "1 or more images a category", capacity)
        self.capacity, self.seed = capacity, seed
        self.counts = np.zeros(0, np.int64)
        self.weight_sums = np.zeros(0)
        self.thresholds = np.zeros(0)
        self._columns: dict[str, list[NDArray]] = {name: [np.zeros(0, kind)] for name, kind in _STATE.items()}
        self._carried: tuple[str, ...] = ()
        self._kept = self._waiting = 0

    def add(
        self,
        ids: ArrayLike,
        categories: ArrayLike,
        weights: ArrayLike | None = None,
        carried: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Take in the next images of the stream.

        Args:
            ids: the number of each image, shape (m,); each comes once.
            categories: 0 or more, shape (m,). Memory grows with the largest.
            weights: 0 or more, shape (m,); 1 where left out.
            carried: what is kept with each image, such as features: arrays of m rows, by name.

        Raises:
            DeepRankingError: shapes or values do not fit.
        """
        ids, categories = np.asarray(ids, np.int64), np.asarray(categories, np.int64)
        weights = np.ones(len(ids)) if weights is None else np.asarray(weights, np.float64)
        columns = {name: np.asarray(values) for name, values in (carried or {}).items()}
        for name, values in {"categories": categories, "weights": weights, **columns}.items():
            if len(values) != len(ids):
                raise DeepRankingError(f"{name}: expected {len(ids)}, one an image, found {len(values)}")
        if not len(ids):
            return
        if categories.min() < 0:
            raise DeepRankingError(f"categories: expected numbers of 0 or more, found {categories.min()}")
        if not (np.isfinite(weights).all() and weights.min() >= 0):
            raise DeepRankingError("weights: expected finite numbers of 0 or more")
        self._carry(columns)
        self._grow(int(categories.max()) + 1)
        self.counts += np.bincount(categories, minlength=len(self.counts))
        self.weight_sums += np.bincount(categories, weights, minlength=len(self.counts))
        ranks = -np.log(uniforms(self.seed, _KEY, ids)) / np.maximum(weights, _FAINT)
        self._append(
            np.flatnonzero(ranks < self.thresholds[categories]),
            {"ids": ids, "categories": categories, "weights": weights, "ranks": ranks, **columns},
        )

    def merge(self, other: "Reservoirs") -> None:
        """Take in all that another one has seen, of other images: the result is that of both streams.

        Raises:
            DeepRankingError: the two differ in capacity, seed, or in what they carry.
        """
        if (other.capacity, other.seed) != (self.capacity, self.seed):
            raise DeepRankingError(
                f"expected reservoirs of the same capacity and seed, found {self.capacity} and "
                f"{other.capacity}, {self.seed} and {other.seed}; make both with the same settings"
            )
        state = other.state()
        if not len(state["counts"]):
            return
        self._carry({name: state[f"carried.{name}"] for name in other._carried})
        self._grow(len(state["counts"]))
        for name in ("counts", "weight_sums"):
            getattr(self, name)[: len(state[name])] += state[name]
        smaller = self.thresholds[: len(state["thresholds"])]
        np.minimum(smaller, state["thresholds"], out=smaller)
        columns = {name: state[name if name in _STATE else f"carried.{name}"] for name in self._columns}
        self._append(np.arange(len(columns["ids"])), columns)

    def state(self) -> dict[str, NDArray]:
        """Return all there is to know, as plain arrays; `restored` makes the same reservoirs of it."""
        self._compact()
        settings = {"capacity": np.array(self.capacity), "seed": np.array(str(self.seed))}
        own = {name: self._columns[name][0] for name in _STATE}
        carried = {f"carried.{name}": self._columns[name][0] for name in self._carried}
        counts = {name: getattr(self, name).copy() for name in _COUNTS}
        return settings | own | carried | counts

    @classmethod
    def restored(cls, state: Mapping[str, NDArray]) -> "Reservoirs":
        """Make the reservoirs whose `state` it is.

        Raises:
            DeepRankingError: an array is missing, or they do not fit one another.
        """
        missing = [name for name in ("capacity", "seed", *_STATE, *_COUNTS) if name not in state]
        if missing:
            raise DeepRankingError(f"the state of reservoirs lacks {', '.join(missing)}; was it saved whole?")
        _check_state(state)
        made = cls(int(state["capacity"]), int(str(state["seed"])))
        names = {name: name.removeprefix("carried.") for name in state if name.startswith("carried.")}
        made._carried = tuple(names.values())
        names |= {name: name for name in _STATE}
        made._columns = {short: [np.array(state[name])] for name, short in names.items()}
        made._kept = len(state["ids"])
        for name in _COUNTS:
            setattr(made, name, np.array(state[name]))
        return made

    @property
    def ids(self) -> NDArray[np.int64]:
        """The images in the reservoirs, by category and from the largest key down, shape (n,)."""
        return self._column("ids")

    @property
    def categories(self) -> NDArray[np.int64]:
        """Their categories, shape (n,)."""
        return self._column("categories")

    @property
    def weights(self) -> NDArray[np.float64]:
        """Their weights, shape (n,)."""
        return self._column("weights")

    @property
    def carried(self) -> dict[str, NDArray]:
        """What is kept with them, arrays of n rows by name."""
        return {name: self._column(name) for name in self._carried}

    @property
    def inclusion(self) -> NDArray[np.float64]:
        """The probability, given t, that each of them is in its reservoir, shape (n,), above 0 to 1."""
        return -np.expm1(-np.maximum(self.weights, _FAINT) * self.thresholds[self.categories])

    def _column(self, name: str) -> NDArray:
        self._compact()
        return self._columns[name][0]

    def _carry(self, columns: Mapping[str, NDArray]) -> None:
        if not len(self.counts):
            self._carried = tuple(columns)
            self._columns |= {name: [values[:0].copy()] for name, values in columns.items()}
        for name in {*columns, *self._carried}:
            known = self._columns[name][0].shape[1:] if name in self._carried else "nothing"
            found = columns[name].shape[1:] if name in columns else "nothing"
            if known != found:
                raise DeepRankingError(
                    f"carried {name!r}: expected rows of the same shape in each piece of the stream, "
                    f"found {known} and {found}"
                )

    def _grow(self, categories: int) -> None:
        new = max(0, categories - len(self.counts))
        if new:
            self.counts = np.concatenate([self.counts, np.zeros(new, np.int64)])
            self.weight_sums = np.concatenate([self.weight_sums, np.zeros(new)])
            self.thresholds = np.concatenate([self.thresholds, np.full(new, np.inf)])

    def _append(self, rows: NDArray[np.int64], columns: Mapping[str, NDArray]) -> None:
        """Let rows wait; sorting them in now and then, not one by one, is what makes the stream fast."""
        if len(rows):
            for name, values in columns.items():
                self._columns[name].append(values[rows])
            self._waiting += len(rows)
            if self._waiting > max(1 << 14, self._kept):
                self._compact()

    def _compact(self) -> None:
        """Keep the smallest ranks of each category; remember the smallest of those that go."""
        if not self._waiting:
            return
        columns = {name: np.concatenate(pieces) for name, pieces in self._columns.items()}
        self._refuse_repeats(columns["ids"], columns["categories"])
        order = np.lexsort((columns["ranks"], columns["categories"]))
        category, rank = columns["categories"][order], columns["ranks"][order]
        starts = np.flatnonzero(np.diff(category, prepend=-1))
        sizes = np.diff(starts, append=len(category))
        place = np.arange(len(category)) - np.repeat(starts, sizes)
        np.minimum.at(self.thresholds, category[place == self.capacity], rank[place == self.capacity])
        kept = order[place < self.capacity]
        self._columns = {name: [values[kept]] for name, values in columns.items()}
        self._kept, self._waiting = len(kept), 0

    @staticmethod
    def _refuse_repeats(ids: NDArray[np.int64], categories: NDArray[np.int64]) -> None:
        order = np.lexsort((ids, categories))
        again = np.flatnonzero((np.diff(ids[order]) == 0) & (np.diff(categories[order]) == 0))
        if len(again):
            place = order[again[0]]
            raise DeepRankingError(
                f"image {ids[place]} of category {categories[place]} came twice; each image comes once, "
                "and another pass over the stream takes new reservoirs with another seed"
            )


def _check_state(state: Mapping[str, NDArray]) -> None:
    """Raise a DeepRankingError unless arrays fit one another as those of a `state` do."""
    images, categories = state["ids"].size, state["counts"].size
    expected = dict.fromkeys(_STATE, images) | dict.fromkeys(_COUNTS, categories)
    for name, kind in (_STATE | _COUNTS).items():
        values = state[name]
        if values.shape != (expected[name],) or values.dtype.kind != kind[0]:
            raise DeepRankingError(
                f"{name}: expected {expected[name]} numbers, found {values.dtype} of shape {values.shape}"
            )
        if name != "ids" and not (values >= 0).all():
            raise DeepRankingError(f"{name}: expected numbers of 0 or more, found others")
    if (state["categories"] >= categories).any():
        raise DeepRankingError(f"categories: expected numbers below {categories}, found larger ones")
    for name, values in state.items():
        if name.startswith("carried.") and values.shape[:1] != (images,):
            raise DeepRankingError(f"{name}: expected {images} rows, found the shape {values.shape}")
