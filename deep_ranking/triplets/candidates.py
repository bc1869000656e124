"""Draws of one image, given a query: by eq. 7, or of another category."""

import numpy as np
from numpy.typing import NDArray

from deep_ranking.triplets.relevance import Relevance
from deep_ranking.triplets.settings import ImportanceSettings
from deep_ranking.triplets.uniforms import uniforms

Rows = NDArray[np.int64]

_PAIRS_AT_ONCE = 1 << 14  # few enough to stay in the cache
_PAIRS_A_ROUND = 10


class Candidates:
    """The images that may be positives and negatives, sorted by category.

    Here an image is a place: its position in `order`, where a category is one stretch.

    Args:
        relevance: of n images.
        copies: shape (n,): how many images each stands for.
        settings: see `ImportanceSettings`.
        seed: any integer.

    Attributes:
        order: the image at each place, shape (n,).
    """

    def __init__(
        self,
        relevance: Relevance,
        copies: NDArray[np.float64],
        settings: ImportanceSettings,
        seed: int,
    ):
        self._relevance, self._settings, self._seed = relevance, settings, seed
        self.order: Rows = np.argsort(relevance.categories, kind="stable")
        _, starts, self._category, sizes = np.unique(
            relevance.categories[self.order], return_index=True, return_inverse=True, return_counts=True
        )
        self._start, self._end, self._size = starts, starts + sizes, sizes
        self._place = np.argsort(self.order)
        self._smallest = relevance.smallest()[self.order]
        # How many images a query is compared with when none is left out; some pairs cost as much as a round.
        self._reach = sizes[self._category] if relevance.reach is None else relevance.reach[self.order]
        self.quick_rounds = min(200, int(self._reach.mean()) // _PAIRS_A_ROUND) if len(sizes) else 0
        self._copies = copies[self.order]
        self._up_to = np.concatenate([[0.0], np.cumsum(self._copies)])  # copies before each place
        self._low, self._high = self._up_to[self._start], self._up_to[self._end]
        self._bound = min(settings.relevance_cap, relevance.maximum)

    @property
    def categories(self) -> int:
        """How many categories have images."""
        return len(self._size)

    def outsider(self, query: Rows, uniform: NDArray[np.float64]) -> Rows:
        """Return a place of another category than each query's, any image as likely as another."""
        category = self._category[query]
        low, high, whole = self._low[category], self._high[category], self._up_to[-1]
        point = uniform * (whole - (high - low))
        before = point < low
        place = np.searchsorted(self._up_to, np.where(before, point, point + (high - low)), side="right") - 1
        # Rounding may put the point on a border: of the query's category, or of all.
        place = np.where(
            before, np.minimum(place, self._start[category] - 1), np.maximum(place, self._end[category])
        )
        return np.minimum(place, len(self.order) - 1)

    def relevant(
        self, query: Rows, number: Rows, purpose: tuple[int, int], ceiling: NDArray[np.float64] | None = None
    ) -> tuple[Rows, NDArray[np.float64]]:
        """Draw an image of each query's category by eq. 7; return places (-1 for none) and relevances.

        With `ceiling`, the relevances of the positives, only what eq. 8 allows is taken, and the failures
        are counted.

        A few rounds propose an image at random and accept it by its relevance, whatever the size of the
        category. The rest, where few proposals are accepted, are drawn from the whole category. Each
        accepted image follows eq. 7 however long it took, so the two ways together do.
        """
        limit = self._settings.failure_limit
        chosen, relevance = np.full(len(query), -1), np.zeros(len(query))
        failures = np.zeros(len(query), np.int64)
        pending = np.flatnonzero(self._legal(self._smallest[query], ceiling, np.arange(len(query))))
        for round_number in range(self.quick_rounds):
            if not len(pending):
                return chosen, relevance
            proposed = self._member(query[pending], self._uniforms(purpose, round_number, 0, number[pending]))
            r = self._relevance(self.order[query[pending]], self.order[proposed])
            threshold = self._uniforms(purpose, round_number, 1, number[pending]) * self._bound
            accepted = threshold < np.minimum(self._settings.relevance_cap, r)
            legal = accepted & self._legal(r, ceiling, pending)
            chosen[pending[legal]], relevance[pending[legal]] = proposed[legal], r[legal]
            failures[pending] += accepted & ~legal
            pending = pending[~legal & (failures[pending] < limit)]
        pending = pending[np.argsort(self._reach[query[pending]], kind="stable")]
        succeeds = self._uniforms(purpose, self.quick_rounds, 0, number[pending])
        point = self._uniforms(purpose, self.quick_rounds, 1, number[pending])
        start = 0
        while start < len(pending):
            which = slice(start, start + self._rows_of(query[pending[start:]]))
            rows, start = pending[which], which.stop
            place, r, weight = self._whole_category(query[rows])
            total = weight.sum(axis=1)
            weight *= self._legal(r, None if ceiling is None else ceiling[:, None], rows)
            up_to = np.cumsum(weight, axis=1)
            # Trials that succeed with probability p: one of the next k does with 1 - (1 - p)^k.
            p = np.divide(up_to[:, -1], total, out=np.zeros(len(rows)), where=total > 0)
            hit = succeeds[which] < 1 - (1 - np.minimum(p, 1)) ** (limit - failures[rows])
            column = (up_to <= (point[which] * up_to[:, -1])[:, None]).sum(axis=1)
            last = weight.shape[1] - 1 - (weight > 0)[:, ::-1].argmax(axis=1)  # rounding may step over it
            column = np.minimum(column, last)
            chosen[rows[hit]] = place[hit, column[hit]]
            relevance[rows[hit]] = r[hit, column[hit]]
        return chosen, relevance

    def _legal(
        self, relevance: NDArray[np.float64], ceiling: NDArray[np.float64] | None, rows: Rows
    ) -> NDArray[np.bool_]:
        if ceiling is None:
            return np.ones(relevance.shape, np.bool_)
        return ceiling[rows] - relevance >= self._settings.relevance_margin

    def _uniforms(
        self, purpose: tuple[int, int], round_number: int, use: int, number: Rows
    ) -> NDArray[np.float64]:
        return uniforms(self._seed, *purpose, round_number, use, number)

    def _member(self, query: Rows, uniform: NDArray[np.float64]) -> Rows:
        """Return a place of each query's category, by its copies."""
        category = self._category[query]
        low, high = self._low[category], self._high[category]
        place = np.searchsorted(self._up_to, low + uniform * (high - low), side="right") - 1
        return np.clip(place, self._start[category], self._end[category] - 1)

    def _rows_of(self, query: Rows) -> int:
        """Return how many of the rows, sorted by reach, to compare with all images at once."""
        reach = self._reach[query[: _PAIRS_AT_ONCE // max(1, int(self._reach[query[0]])) + 1]]
        pairs = reach * np.arange(1, len(reach) + 1)
        return max(1, int(np.searchsorted(pairs, _PAIRS_AT_ONCE, side="right")))

    def _whole_category(self, query: Rows) -> tuple[Rows, NDArray[np.float64], NDArray[np.float64]]:
        """Return the places of all that may be relevant to each query, their relevance, their weight."""
        neighbours = self._relevance.neighbours(self.order[query])
        if neighbours is None:
            category = self._category[query]
            columns = np.arange(self._size[category].max())
            inside = columns < self._size[category][:, None]
            place = np.where(inside, self._start[category][:, None] + columns, query[:, None])
        else:
            place = self._place[neighbours]
        r = self._relevance(self.order[query[:, None]], self.order[place])
        return place, r, np.minimum(self._settings.relevance_cap, r) * self._copies[place]
