"""The paper's importance sampling of triplets; images are drawn by eq. 7, or of another category."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.relevance import Relevance
from deep_ranking.triplets.settings import ImportanceSettings
from deep_ranking.triplets.uniforms import uniforms

Rows = NDArray[np.int64]
Reals = NDArray[np.float64]

_ROWS_AT_ONCE = 1 << 17
_HOPELESS = 1000
_KIND, _QUERY, _POSITIVE, _NEGATIVE = range(4)
_PAIRS_AT_ONCE = 1 << 14  # few enough to stay in the cache
_PAIRS_A_ROUND = 10


class ImportanceSampler:
    """Draws triplets of n images, known by position, with the probabilities of the paper.

    - The query is image i with probability r_i / sum of all r (eq. 6).
    - The positive is image j of its category with probability min(T_p, r_ij) / Z_i (eq. 7).
    - The negative is, out of class, any image of another category with equal probability; in class, an image
      by eq. 7 again, drawn until r(i, positive) - r(i, negative) >= T_r (eq. 8) or the failures reach
      their limit. Then the query and the positive are discarded and drawn anew.

    Whether a triplet's negative is of its class is drawn first and stays when a query is discarded, so the
    share of out-of-class negatives is the setting. Each triplet is a pure function of the seed and its
    number: pieces of any size make the same sequence.

    Args:
        relevance: of the n images.
        settings: see `ImportanceSettings`.
        seed: any integer.
        totals: r_i in eq. 6, shape (n,); the relevance's own where left out.
        copies: how many images of the whole each stands for, shape (n,): 1 where the n images are all there
            are, more where they are a sample (see `OnlineSampler`). Positives and negatives are drawn from
            the copies.

    Attributes:
        drawn: the number of the next triplet. Setting it resumes there.

    Raises:
        DeepRankingError: no image has a positive, or a negative of another category is wanted and there
            is one category.

    Example:
        >>> from deep_ranking.triplets.relevance import LabelRelevance
        >>> settings = ImportanceSettings(out_of_class_ratio=1)
        >>> ImportanceSampler(LabelRelevance([0, 0, 1]), settings, seed=1).draw(3)
        array([[1, 0, 2],
               [1, 0, 2],
               [0, 1, 2]])

    Source: Wang et al. 2014, section 5.1.
    """

    def __init__(
        self,
        relevance: Relevance,
        settings: ImportanceSettings | None = None,
        seed: int = 0,
        *,
        totals: ArrayLike | None = None,
        copies: ArrayLike | None = None,
    ):
        self.settings = ImportanceSettings() if settings is None else settings
        self.seed, self.drawn = seed, 0
        count = len(relevance.categories)
        totals = relevance.totals() if totals is None else np.asarray(totals, np.float64)
        copies = np.ones(count) if copies is None else np.asarray(copies, np.float64)

        self._candidates = Candidates(relevance, copies, self.settings, seed)
        totals = totals[self._candidates.order]
        self._totals_up_to = np.cumsum(totals)
        if not totals.sum() > 0:
            raise DeepRankingError(
                "no image has a relevance above 0 to another image of its category, so there is no query "
                "with a positive; expected a category of two images or more that are relevant to each other"
            )
        self._last_query = int(np.flatnonzero(totals > 0)[-1])
        if self._candidates.categories == 1 and self.settings.out_of_class_ratio > 0:
            raise DeepRankingError(
                "all images are of one category, so there is no out-of-class negative; "
                "add another category, or set out_of_class_ratio to 0"
            )

    def draw(self, count: int) -> Rows:
        """Return the next `count` triplets: positions of query, positive and negative, shape (count, 3).

        Raises:
            DeepRankingError: fewer than one query in a thousand gets a positive and a legal negative.
        """
        triplets = np.empty((count, 3), np.int64)
        for start in range(0, count, _ROWS_AT_ONCE):
            rows = slice(start, min(count, start + _ROWS_AT_ONCE))
            triplets[rows] = self._triplets(np.arange(self.drawn + rows.start, self.drawn + rows.stop))
        self.drawn += count
        return self._candidates.order[triplets]

    def check(self) -> None:
        """Raise what `draw` would, where there is nothing to draw; the draws to come stay as they are."""
        self._triplets(np.arange(100))

    def blocks(self, count: int) -> Iterator[Rows]:
        """Yield the next `count` triplets as `draw` does, a part at a time; keeps the memory flat."""
        for start in range(0, count, _ROWS_AT_ONCE):
            yield self.draw(min(_ROWS_AT_ONCE, count - start))

    def _triplets(self, numbers: Rows) -> Rows:
        """Return triplets of places; the number of each is all that its draws depend on."""
        outside = uniforms(self.seed, _KIND, numbers) < self.settings.out_of_class_ratio
        triplets = np.empty((len(numbers), 3), np.int64)
        pending, tried, found, attempt = np.arange(len(numbers)), np.zeros(2), np.zeros(2), 0
        while len(pending):
            query = self._query(numbers[pending], attempt)
            near = np.argsort(query)  # what is compared next lies near in memory: half the time
            query, pending = query[near], pending[near]
            number, out = numbers[pending], outside[pending]
            positive, relevance = self._candidates.relevant(query, number, (_POSITIVE, attempt))
            negative = np.full(len(query), -1)
            negative[out] = self._candidates.outsider(
                query[out], uniforms(self.seed, _NEGATIVE, attempt, number[out])
            )
            inside = np.flatnonzero(~out & (positive >= 0))
            negative[inside], _ = self._candidates.relevant(
                query[inside], number[inside], (_NEGATIVE, attempt), relevance[inside]
            )
            done = (positive >= 0) & (negative >= 0)
            triplets[pending[done]] = np.stack([query, positive, negative], axis=1)[done]
            tried += np.bincount(out, minlength=2)
            found += np.bincount(out[done], minlength=2)
            pending, attempt = pending[~done], attempt + 1
            hopeless = tried > _HOPELESS * (found + 1)
            if hopeless.any():
                self._give_up(in_class=bool(hopeless[0]))
        return triplets

    def _query(self, number: Rows, attempt: int) -> Rows:
        point = uniforms(self.seed, _QUERY, attempt, number) * self._totals_up_to[-1]
        # Rounding may put the point on the very end, beyond the last image that can be a query.
        return np.minimum(np.searchsorted(self._totals_up_to, point, side="right"), self._last_query)

    def _give_up(self, in_class: bool) -> None:
        if in_class:
            raise DeepRankingError(
                f"fewer than one query in {_HOPELESS:,} has an in-class negative less relevant than its "
                f"positive by {self.settings.relevance_margin}; with class labels alone none has. "
                "Set out_of_class_ratio to 1, lower relevance_margin, or use a finer source of relevance"
            )
        raise DeepRankingError(
            f"fewer than one query in {_HOPELESS:,} finds a positive; expected in most categories two images "
            "or more that are relevant to each other"
        )


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

    def __init__(self, relevance: Relevance, copies: Reals, settings: ImportanceSettings, seed: int):
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

    def outsider(self, query: Rows, uniform: Reals) -> Rows:
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
        self, query: Rows, number: Rows, purpose: tuple[int, int], ceiling: Reals | None = None
    ) -> tuple[Rows, Reals]:
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

    def _legal(self, relevance: Reals, ceiling: Reals | None, rows: Rows) -> NDArray[np.bool_]:
        if ceiling is None:
            return np.ones(relevance.shape, np.bool_)
        return ceiling[rows] - relevance >= self._settings.relevance_margin

    def _uniforms(self, purpose: tuple[int, int], round_number: int, use: int, number: Rows) -> Reals:
        return uniforms(self._seed, *purpose, round_number, use, number)

    def _member(self, query: Rows, uniform: Reals) -> Rows:
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

    def _whole_category(self, query: Rows) -> tuple[Rows, Reals, Reals]:
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
