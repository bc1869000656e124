"""What the answers to each question come to, how far raters agree, and what is learned from."""

import csv
import logging
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import is_sqlite, written_whole
from deep_ranking.ratings.lines import rows
from deep_ranking.ratings.settings import POLICIES, Policy
from deep_ranking.ratings.store import Rating, RatingStore, preferred
from deep_ranking.triplets import Triplet, read_triplets

logger = logging.getLogger(__name__)

Key = tuple[str, str, str]

CSV_COLUMNS = "ref_path", "left_path", "right_path", "left_vote", "right_vote", "votes", "rater"
"""Of a .csv of ratings: those of NIGHTS, and who rated. An answer without order has two votes of 0."""


def key(query: str, a: str, b: str) -> Key:
    """Return what identifies a question, in whichever order its candidates are shown."""
    return (query, *sorted((a, b)))  # type: ignore[return-value]


class Agreement(NamedTuple):
    """How far those agree who were asked the same, over questions with two votes or more that state an order.

    Attributes:
        questions: of these.
        votes: on these.
        value: the probability that two votes on one question are alike, 0 to 1, each question counted by its
            votes; NaN where there is no such question. By chance it would be 0.5; 2 * value - 1 is what is
            above chance. Of a question with n votes, k of them for one candidate, it is
            (k (k - 1) + (n - k) (n - k - 1)) / (n (n - 1)), which is unbiased.

    Source: Fleiss 1971, "Measuring nominal scale agreement among many raters", P_i of two categories.
    """

    questions: int
    votes: float
    value: float

    @property
    def ceiling(self) -> tuple[float, float]:
        """What no model can go beyond in telling single votes, as a share: at least, and at most.

        A model answers a question always alike. If a share p of all people prefer one candidate, it is right
        on the next vote with max(p, 1 - p) at best, where two votes are alike with a = p^2 + (1 - p)^2.
        max(p, 1 - p) is at least a, and at least 1/2; it is (1 + sqrt(2 a - 1)) / 2, concave in a, so
        that its mean is at most that of the mean a (Jensen).

        Source: the best a metric can do, and the agreement of people, in Zhang et al. 2018, "The Unreasonable
        Effectiveness of Deep Features as a Perceptual Metric", section 3; the noise ceiling of Hebart et al.
        2020, "Revealing the multidimensional mental representations of natural objects".
        """
        return max(0.5, self.value), (1 + math.sqrt(max(0.0, 2 * self.value - 1))) / 2


@dataclass(frozen=True)
class Tally:
    """Ratings, question by question.

    Attributes:
        preferences: for each question, in order of its first rating, what each rater preferred (None where
            both were similar, or both dissimilar).
        weights: for each question, the weight of each of these.
    """

    preferences: dict[Key, list[str | None]] = field(default_factory=dict)
    weights: dict[Key, list[float]] = field(default_factory=dict)

    @property
    def disputed(self) -> int:
        """Questions whose raters differ."""
        return sum(len(set(answers)) > 1 for answers in self.preferences.values())

    def unanimous(self, min_raters: int = 1) -> list[Triplet]:
        """Return a triplet for each question all of whose raters prefer the same candidate.

        Those who found both similar, or both dissimilar, have stated no order, so such a question gives none.

        Args:
            min_raters: pass over questions with fewer votes; the paper had 3.

        Example:
            >>> ratings = [Rating(1, "Ann", "q", "x", "y", "a", 0), Rating(2, "Bob", "q", "y", "x", "b", 0)]
            >>> tally(ratings).unanimous(min_raters=2)
            [Triplet(query='q', positive='x', negative='y')]

        Source: Wang et al. 2014, section 6.1.
        """
        return [triplet for triplet, _ in self.agreed("unanimous", min_raters)]

    def agreed(self, policy: Policy = "unanimous", min_raters: int = 1) -> Iterator[tuple[Triplet, float]]:
        """Yield what the answers to each question come to, as triplets with their weights, all above 0.

        Args:
            policy: `unanimous`: the candidate that all prefer, by the weight of all. `majority`: the one that
                more than half of the weight prefers, answers without order counted against it, by what it has
                more than the rest. `all`: each candidate that anybody prefers, by the weight of who does, so
                that a disputed question gives two triplets that contradict each other.
            min_raters: pass over questions with fewer votes. An answer is one vote, or as many as its weight.

        Example:
            >>> ratings = [Rating(n, f"{n}", "q", "x", "y", answer, 0) for n, answer in enumerate("aab")]
            >>> [(t.positive, weight) for t, weight in tally(ratings).agreed("majority")]
            [('x', 1.0)]
            >>> [(t.positive, weight) for t, weight in tally(ratings).agreed("all")]
            [('x', 2.0), ('y', 1.0)]
            >>> list(tally(ratings).agreed("unanimous"))
            []
        """
        expect("policy", policy in POLICIES, f"one of {', '.join(POLICIES)}", policy)
        expect("min_raters", min_raters >= 1, "1 or more", min_raters)
        for question, answers in self.preferences.items():
            query, *candidates = question
            weights = self.weights[question]
            if sum(max(1.0, weight) for weight in weights) < min_raters:
                continue
            total = sum(weights)
            for positive, negative in (candidates, candidates[::-1]):
                own = sum(
                    weight for answer, weight in zip(answers, weights, strict=True) if answer == positive
                )
                ahead = own if policy == "all" else 2 * own - total
                if ahead > 0 and (policy != "unanimous" or {*answers} == {positive}):
                    yield Triplet(query, positive, negative), ahead

    @property
    def agreement(self) -> Agreement:
        """How far raters agree, and what that leaves to a model."""
        questions, votes, alike = 0, 0.0, 0.0
        for question, answers in self.preferences.items():
            sides = dict.fromkeys(question[1:], 0.0)
            for answer, weight in zip(answers, self.weights[question], strict=True):
                if answer is not None:
                    sides[answer] += max(1.0, weight)
            n = sum(sides.values())
            if n >= 2:
                questions, votes = questions + 1, votes + n
                alike += sum(k * (k - 1) for k in sides.values() if k) / (n - 1)  # n times its probability
        return Agreement(questions, votes, alike / votes if votes else math.nan)


def tally(ratings: Iterable[Rating]) -> Tally:
    """Sort ratings by question."""
    preferences: dict[Key, list[str | None]] = {}
    weights: dict[Key, list[float]] = {}
    for rating in ratings:
        question = key(*map(sys.intern, (rating.query, rating.a, rating.b)))  # there may be a million
        preferences.setdefault(question, []).append(preferred(rating))
        weights.setdefault(question, []).append(rating.weight)
    return Tally(preferences, weights)


def within(triplets: Sequence[Triplet], paths: Iterable[str]) -> list[Triplet]:
    """Return the triplets all of whose images are among `paths`, without those of images since removed."""
    known = set(paths)
    return [triplet for triplet in triplets if known.issuperset(triplet)]


class Judgements(NamedTuple):
    """What is learned from.

    Attributes:
        triplets: (n, 3) str objects, query, positive, negative, named as the ratings name them: by paths
            relative to the folder of an index's images.
        weights: (n,) float64, above 0.
    """

    triplets: NDArray[np.object_]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, counted: Tally, policy: Policy = "majority", min_raters: int = 1) -> "Judgements":
        """Return what answers come to; as of `Tally.agreed`."""
        found = [*counted.agreed(policy, min_raters)]
        triplets = np.array([triplet for triplet, _ in found], object).reshape(-1, 3)
        return cls(triplets, np.array([weight for _, weight in found]))


def read_judgements(
    path: str | os.PathLike[str], policy: Policy = "majority", min_raters: int = 1
) -> Judgements:
    """Return what people judged, with weights, from a file of ratings or a triplet file.

    Args:
        path: `ratings.sqlite`, as the page and `ratings import` write it (`store.ratings_file` says which is
            an index's), or a triplet file, each line of which is one vote.
        policy, min_raters: as of `Tally.agreed`. By `majority` and `unanimous` no two triplets contradict
            each other, and none repeats another; by `all`, none repeats another.

    Returns:
        judgements: none, of shapes (0, 3) and (0,), where nothing states an order. Triplets that name an
            image twice state none; a warning counts them, and one the questions that nothing comes of.

    Raises:
        DeepRankingError: there is no such file, or it is another.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "triplets.txt"
        ...     _ = path.write_text("q,x,y\\nq,y,x\\nq,x,y\\n")
        ...     triplets, weights = read_judgements(path)
        >>> triplets.tolist(), weights.tolist()
        ([['q', 'x', 'y']], [1.0])
    """
    path = Path(path)
    if not path.is_file():
        raise DeepRankingError(
            f"{path}: expected ratings, found none; rate some with: deep-ranking serve, or bring them with: "
            "deep-ranking ratings import"
        )
    if is_sqlite(path):
        with RatingStore(path) as store:
            counted = tally(store.stream())
    else:
        counted = tally(_votes(path))
    found = Judgements.of(counted, policy, min_raters)
    decided = len({key(*triplet) for triplet in found.triplets})
    if undecided := len(counted.preferences) - decided:
        told = "%s: %s of %s questions are left out: their answers contradict each other or state no order"
        few = f", or fewer than {min_raters} were given" if min_raters > 1 else ""
        logger.warning(told + few, path, f"{undecided:,}", f"{len(counted.preferences):,}")
    return found


def _votes(path: Path) -> Iterator[Rating]:
    """Yield a triplet file's lines as answers, and count in a warning what names an image twice."""
    left_out = 0
    for query, positive, negative in read_triplets(path):
        if len({query, positive, negative}) == 3:
            yield Rating(0, "", query, positive, negative, "a", 0.0)
        else:
            left_out += 1
    if left_out:
        logger.warning("%s: left out %s triplets that name an image twice", path, f"{left_out:,}")


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Tell by its header whether a file is what `write_csv` writes, so that its raters are ours."""
    return next(rows(Path(path)), ("", []))[1] == list(CSV_COLUMNS)


def write_csv(path: str | os.PathLike[str], ratings: Iterable[Rating]) -> int:
    """Write ratings with their raters and weights, as `import csv` reads them, and return how many."""
    count = 0
    with (
        written_whole(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for _, rater, query, a, b, answer, _, weight in ratings:
            writer.writerow(
                (query, a, b, int(answer == "a"), int(answer == "b"), repr(weight).removesuffix(".0"), rater)
            )
            count += 1
    return count
