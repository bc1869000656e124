"""What determines importance sampling."""

import math
from dataclasses import dataclass

from deep_ranking.settings import FINITE, POSITIVE, SHARE, Check, Settings, at_least, setting


@dataclass(frozen=True)
class ImportanceSettings(Settings):
    """The settings of the sampling layer.

    Args:
        relevance_cap: T_p, in units of relevance. A positive counts at most so much, so that near-duplicates
            do not crowd out the rest; infinite for no cap.
        relevance_margin: T_r. An in-class negative is less relevant than the positive by at least this much
            (eq. 8).
        out_of_class_ratio: the share of triplets whose negative is of another category. The paper found 0.2
            best for similarity precision (its figure 6).
        failure_limit: so many in-class negatives may be rejected for one query and positive; then these two
            are discarded, and others drawn.

    Raises:
        DeepRankingError: a setting is out of its range.
    """

    relevance_cap: float = setting(math.inf, "eq. 7 (default: none)", POSITIVE, "T_p")
    relevance_margin: float = setting(0.1, "eq. 8 (default: {default})", FINITE, "T_r")
    out_of_class_ratio: float = setting(
        0.2,
        "of triplets whose negative is of another category (default: {default}; 1 with labels alone, which "
        "have no in-class negative)",
        Check(SHARE.holds, "a number from 0 to 1"),
        "SHARE",
    )
    failure_limit: int = setting(
        100, "rejected in-class negatives before a query is discarded (default: {default})", at_least(1)
    )
