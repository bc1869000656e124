"""A judgement that exists, as a file has it, and the forms in which files say it."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from deep_ranking.ratings.lines import bad


class Judgement(NamedTuple):
    """One answer to one question, as a file has it: whoever rated found `nearer` more similar to `query`.

    Attributes:
        query, nearer, farther: as the file names them.
        weight: of those who say so.
        against: of those who say the opposite. As much as `weight`: a tie. Both 0: one vote without an order.
        rater: who says so; "": not told.
        left_out: why this is no judgement; nothing else is looked at then. "": it is one.
    """

    query: str
    nearer: str
    farther: str
    weight: float = 1.0
    against: float = 0.0
    rater: str = ""
    left_out: str = ""


Judged = Iterator[Judgement]


def voted(query: str, a: str, b: str, for_a: float, for_b: float, rater: str = "") -> Judgement:
    """Return a judgement from the votes for each of two candidates."""
    if for_a < for_b:
        a, b, for_a, for_b = b, a, for_b, for_a
    return Judgement(query, a, b, for_a, for_b, rater)


def ranked(query: str, chosen: list[str], others: list[str], ranked: bool) -> Judged:
    """Yield that each chosen one is nearer than each other one; if ranked, than each chosen after it too."""
    pairs = [*combinations(chosen, 2)] if ranked else []
    pairs += [(nearer, farther) for nearer in chosen for farther in others]
    yield from (Judgement(query, nearer, farther) for nearer, farther in pairs)


_LEFT, _RIGHT = ("left", "a", "first"), ("right", "b", "second")


def answered(where: str, query: str, left: str, right: str, answer: str, rater: str) -> Judgement:
    """Return the judgement of a word for one of two candidates."""
    word = answer.strip()
    if not word:
        return Judgement("", "", "", left_out="no answer")
    if word == left or word.lower() in _LEFT:
        return Judgement(query, left, right, rater=rater)
    if word == right or word.lower() in _RIGHT:
        return Judgement(query, right, left, rater=rater)
    raise bad(where, f"one of {', '.join((*_LEFT, *_RIGHT))}, or a candidate's name", repr(answer))
