"""The settings of the importance samplers."""

import math
from dataclasses import dataclass

from deep_ranking.errors import DeepRankingError


@dataclass(frozen=True)
class ImportanceSettings:
    """The settings of the sampling layer.

    Args:
        relevance_cap: T_p, in units of relevance. A positive counts at most so much, so that near-duplicates
            do not crowd out the rest; infinite for no cap.
        relevance_margin: T_r, above 0. An in-class negative is less relevant than the positive by at least
            this much (eq. 8).
        out_of_class_ratio: the share of triplets whose negative is of another category, 0 to 1. The paper
            found 0.2 best for similarity precision (its figure 6).
        failure_limit: so many in-class negatives may be rejected for one query and positive; then these two
            are discarded, and others drawn.

    Raises:
        DeepRankingError: a setting is out of its range.
    """

    relevance_cap: float = math.inf
    relevance_margin: float = 0.1
    out_of_class_ratio: float = 0.2
    failure_limit: int = 100

    def __post_init__(self) -> None:
        for name, expected, holds in [
            ("relevance_cap", "a number above 0", self.relevance_cap > 0),
            ("relevance_margin", "a finite number above 0", 0 < self.relevance_margin < math.inf),
            ("out_of_class_ratio", "a number from 0 to 1", 0 <= self.out_of_class_ratio <= 1),
            ("failure_limit", "1 or more", self.failure_limit >= 1),
        ]:
            if not holds:
                raise DeepRankingError(f"{name}: expected {expected}, found {getattr(self, name)}")
