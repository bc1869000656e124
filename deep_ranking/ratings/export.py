"""What the raters of each question agree on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deep_ranking.errors import expect
from deep_ranking.ratings.store import Rating
from deep_ranking.triplets import Triplet

Key = tuple[str, str, str]


def key(query: str, a: str, b: str) -> Key:
    """Return what identifies a question, in whichever order its candidates are shown."""
    return (query, *sorted((a, b)))  # type: ignore[return-value]


def preferred(rating: Rating) -> str | None:
    """Return the path of the candidate that a rater found more similar; None for an answer without order."""
    return {"a": rating.a, "b": rating.b}.get(rating.answer)


@dataclass(frozen=True)
class Tally:
    """Ratings, question by question.

    Attributes:
        preferences: for each question, in order of its first rating, what each rater preferred (None where
            both were similar, or both dissimilar).
    """

    preferences: dict[Key, list[str | None]] = field(default_factory=dict)

    @property
    def disputed(self) -> int:
        """Questions whose raters differ."""
        return sum(len(set(answers)) > 1 for answers in self.preferences.values())

    def unanimous(self, min_raters: int = 1) -> list[Triplet]:
        """Return a triplet for each question all of whose raters prefer the same candidate.

        Those who found both similar, or both dissimilar, have stated no order, so such a question gives none.

        Args:
            min_raters: pass over questions with fewer raters; the paper had 3.

        Example:
            >>> ratings = [Rating(1, "Ann", "q", "x", "y", "a", 0), Rating(2, "Bob", "q", "y", "x", "b", 0)]
            >>> tally(ratings).unanimous(min_raters=2)
            [Triplet(query='q', positive='x', negative='y')]

        Source: Wang et al. 2014, section 6.1.
        """
        expect("min_raters", min_raters >= 1, "1 or more", min_raters)
        found = []
        for (query, *candidates), answers in self.preferences.items():
            positive = answers[0]
            if positive is not None and len(answers) >= min_raters and set(answers) == {positive}:
                (negative,) = set(candidates) - {positive}
                found.append(Triplet(query, positive, negative))
        return found


def tally(ratings: Iterable[Rating]) -> Tally:
    """Sort ratings by question."""
    preferences: dict[Key, list[str | None]] = {}
    for rating in ratings:
        preferences.setdefault(key(rating.query, rating.a, rating.b), []).append(preferred(rating))
    return Tally(preferences)


def within(triplets: Sequence[Triplet], paths: Iterable[str]) -> list[Triplet]:
    """Return the triplets all of whose images are among `paths`, without those of images since removed."""
    known = set(paths)
    return [triplet for triplet in triplets if known.issuperset(triplet)]
