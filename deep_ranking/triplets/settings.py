"""What determines importance sampling."""

import math
from dataclasses import dataclass

from deep_ranking.settings import FINITE, POSITIVE, Check, Settings, at_least, setting


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

    relevance_cap: float = setting(math.inf, "eq. 7 (default: none)", check=POSITIVE, metavar="T_p")
    relevance_margin: float = setting(0.1, "eq. 8 (default: {default})", check=FINITE, metavar="T_r")
    out_of_class_ratio: float = setting(
        0.2,
        "of triplets whose negative is of another category (default: {default}; 1 with labels alone, which "
        "have no in-class negative)",
        check=Check(lambda share: 0 <= share <= 1, "a number from 0 to 1"),
        metavar="SHARE",
    )
    failure_limit: int = setting(
        100,
        "rejected in-class negatives before a query is discarded (default: {default})",
        check=at_least(1),
        metavar="N",
    )
