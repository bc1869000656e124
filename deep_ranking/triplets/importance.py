"""The paper's importance sampling of triplets."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.candidates import Candidates, ImportanceSettings, Rows
from deep_ranking.triplets.relevance import Relevance
from deep_ranking.triplets.uniforms import uniforms

_ROWS_AT_ONCE = 1 << 17
_HOPELESS = 1000
_KIND, _QUERY, _POSITIVE, _NEGATIVE = range(4)


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

    def draw(self, count: int) -> NDArray[np.int64]:
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

    def blocks(self, count: int) -> Iterator[NDArray[np.int64]]:
        """Yield the next `count` triplets as `draw` does, a part at a time; keeps the memory flat."""
        for start in range(0, count, _ROWS_AT_ONCE):
            yield self.draw(min(_ROWS_AT_ONCE, count - start))

    def _triplets(self, numbers: Rows) -> Rows:
        """Return triplets of places; the number of each is all that its draws depend on."""
        candidates = self._candidates
        outside = uniforms(self.seed, _KIND, numbers) < self.settings.out_of_class_ratio
        triplets = np.empty((len(numbers), 3), np.int64)
        pending, tried, found, attempt = np.arange(len(numbers)), np.zeros(2), np.zeros(2), 0
        while len(pending):
            query = self._query(numbers[pending], attempt)
            near = np.argsort(query)  # what is compared next lies near in memory: half the time
            query, pending = query[near], pending[near]
            number, out = numbers[pending], outside[pending]
            positive, relevance = candidates.relevant(query, number, (_POSITIVE, attempt))
            negative = np.full(len(query), -1)
            negative[out] = candidates.outsider(
                query[out], uniforms(self.seed, _NEGATIVE, attempt, number[out])
            )
            inside = np.flatnonzero(~out & (positive >= 0))
            negative[inside], _ = candidates.relevant(
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
