"""Which question a rater is asked next."""

import hashlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, islice
from operator import itemgetter

import numpy as np

from deep_ranking.files import path_key
from deep_ranking.ratings.export import Key, key, preferred
from deep_ranking.ratings.store import Rating
from deep_ranking.search.options import Options
from deep_ranking.search.snapshot import Snapshot

RATERS = 3
"""Raters that a question is put to, as in the paper."""

ROUNDS = 2
"""Questions that an image is the query of: a near and a disputed one."""

NEAR = 10
"""Candidates are of so many images nearest to the query."""

COMPARED = 8
"""Questions of which the one that would teach most is asked."""

_REMEMBERED = 256  # queries asked last, that a new one is to be unlike

Rows = tuple[int, int, int]  # of a query and its two candidates
_RowOf = Callable[[str], int | None]  # by the path of an image

_LOOKED_AT = 32  # so that among many copies of one image there are still different ones
_TRIES = 200  # queries without a question to pass over, before giving up


@dataclass(frozen=True)
class Question:
    """A query and its two candidates, as rows of a snapshot, in the order in which they are shown.

    `remaining` is how many questions there may be for this rater, this one among them.
    """

    query: int
    a: int
    b: int
    remaining: int


def choose(
    snapshot: Snapshot, ratings: Iterable[Rating], rater: str, seed: int = 0, skip: int = 0
) -> Question | None:
    """Return the next question for a rater, or None when none is left.

    1. Questions that others have answered and that can still become unanimous (all of them prefer the
       same candidate, and fewer than `RATERS` have been asked), those with the most raters first, then the
       oldest: so that triplets are finished before new ones are begun.
    2. Otherwise a new question, of the next `COMPARED` the one that would teach most (`telling`). Queries are
       all images in an order drawn by the seed, so that no class and no folder comes first. Each is asked
       about twice, in two rounds; its candidates are of its `NEAR` nearest
       images, copies left out. A **near** question compares the two nearest. A **disputed** question compares
       two whose order is in doubt: first those where the labels speak against the distances (the nearer
       has another label than the query, the farther has the same), and of these, or else of all, the two
       whose distances to the query differ relatively the least. Near and disputed questions take turns
       from query to query.

    Which candidate is shown first depends on the seed, the rater and the question, so that a habit of the
    left key favours no image. The same index, ratings, rater and seed give the same question.

    Args:
        snapshot: the index.
        ratings: all that were given so far, in order of time.
        rater: who is asked.
        seed: of the order of the queries and candidates.
        skip: choose the question that comes after so many more answers of this rater.
    """
    asked: dict[Key, _Asked] = {}
    for rating in ratings:
        _take_in(asked, rating, rater)
    row = cache(snapshot.row)  # an image is in many questions
    while (chosen := _next(snapshot, asked, rater, seed, row)) is not None and skip:
        query, a, b = (snapshot.images[number].path for number in (chosen.query, chosen.a, chosen.b))
        _take_in(asked, Rating(0, rater, query, a, b, "both_similar", 0.0), rater)
        skip -= 1
    return chosen


@dataclass(slots=True)
class _Asked:
    """What there is to know of a question's ratings: far less than they are, where there are many."""

    raters: int
    favourite: str | None  # the path of the candidate that all preferred
    answered: bool  # by the rater who is asked now


def _take_in(asked: dict[Key, _Asked], rating: Rating, rater: str) -> None:
    name, favourite = key(rating.query, rating.a, rating.b), preferred(rating)
    question = asked.get(name)
    if question is None:
        question = asked[name] = _Asked(0, favourite, answered=False)
    question.raters += 1
    question.answered |= rating.rater == rater
    if favourite != question.favourite:
        question.favourite = None


def _next(
    snapshot: Snapshot, asked: dict[Key, _Asked], rater: str, seed: int, row: _RowOf
) -> Question | None:
    opened = list(_open(asked, row))
    times = Counter(query for query, _, _ in asked)
    done = sum(min(ROUNDS, count) for path, count in times.items() if row(path) is not None)
    remaining = len(opened) + ROUNDS * len(snapshot.images) - done
    if opened:
        rows: Rows | None = max(opened, key=itemgetter(0))[1]  # of equals, the oldest
    else:
        rows = next(_new(snapshot, asked.keys(), times, seed), None)
    return rows and _shown(snapshot, *rows, rater, seed, remaining)


def _open(asked: dict[Key, _Asked], row: _RowOf) -> Iterator[tuple[int, Rows]]:
    """Yield each question that needs more raters: how many it has, and its rows."""
    for paths, question in asked.items():
        if question.raters < RATERS and question.favourite is not None and not question.answered:
            query, a, b = map(row, paths)
            if query is not None and a is not None and b is not None:
                yield question.raters, (query, a, b)


def _new(snapshot: Snapshot, known: Container[Key], asked: Counter[str], seed: int) -> Iterator[Rows]:
    images, tries, found = snapshot.images, 0, list[Rows]()
    order = np.random.default_rng(seed).permutation(len(images)).tolist()
    for number in range(ROUNDS):
        for query in order:
            path = images[query].path
            if asked[path] != number:
                continue
            near, disputed = candidate_pairs(snapshot, query)
            pairs = [*disputed, *near] if asked.total() % 2 else [*near, *disputed]
            new = (pair for pair in pairs if key(path, *(images[row].path for row in pair)) not in known)
            found += [(query, *pair) for pair in islice(new, 1)]
            tries += 1
            if len(found) == COMPARED or tries == _TRIES:
                break
        if found or tries == _TRIES:
            break
    if found:
        before = [row for path in asked if (row := snapshot.row(path)) is not None][-_REMEMBERED:]
        yield found[int(np.argmax(telling(snapshot.matrix, np.array(found), before)))]


def telling(vectors: np.ndarray, questions: np.ndarray, asked: Sequence[int]) -> np.ndarray:
    """Return how much the answer to each question would teach, (m,): how unsure it is, times how new.

    Unsure is 1 - |a - b| / max(a, b), of the query's distances a and b to its candidates: near 1 where the
    vectors, which are those of what was learned so far, leave open which is nearer. New is how far the query
    is from the nearest one that was asked about.

    Args:
        vectors: (n, d).
        questions: (m, 3), rows of a query and its candidates.
        asked: rows of the queries that were asked about.

    Source: uncertainty sampling, Lewis and Gale 1994; the farthest-first traversal, Gonzalez 1985.

    Example:
        >>> vectors = np.array([[0.0], [1.0], [1.2], [9.0], [8.0], [3.0]])
        >>> telling(vectors, np.array([[0, 1, 2], [3, 4, 5]]), [0]).round(2).tolist()
        [0.0, 1.5]
    """
    query, a, b = (np.asarray(vectors[rows], np.float64) for rows in np.asarray(questions).T)
    one, other = np.linalg.norm(query - a, axis=1), np.linalg.norm(query - b, axis=1)
    unsure = 1 - np.abs(one - other) / np.maximum(np.maximum(one, other), 1e-12)
    if not len(asked):
        return unsure
    new = np.linalg.norm(query[:, None] - np.asarray(vectors[list(asked)], np.float64)[None], axis=2).min(
        axis=1
    )
    return np.asarray(unsure * new)


def candidate_pairs(snapshot: Snapshot, query: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the near pair of a query, and its disputed pairs, the most disputed first, as rows."""
    images = snapshot.images
    seen = {images[query].hash}
    (hits,) = snapshot.search(snapshot.matrix[query : query + 1], _LOOKED_AT, Options(), tuple(seen))
    rows: list[int] = []
    distances: list[float] = []
    for hit in hits:
        row = snapshot.row(hit.path)
        if row is not None and images[row].hash not in seen and len(rows) < NEAR:
            seen.add(images[row].hash)
            rows.append(row)
            distances.append(hit.distance)
    own = [images[query].label != "" and images[row].label == images[query].label for row in rows]
    doubts = []
    for i, j in combinations(range(len(rows)), 2):
        margin = (distances[j] - distances[i]) / distances[j] if distances[j] else 0.0
        against_label = own[j] and not own[i]
        doubts.append((not against_label, margin, i, j))
    near = [(rows[0], rows[1])] if len(rows) > 1 else []
    disputed = [(rows[i], rows[j]) for _, _, i, j in sorted(doubts) if (i, j) != (0, 1)]
    return near, disputed


def _shown(snapshot: Snapshot, query: int, a: int, b: int, rater: str, seed: int, remaining: int) -> Question:
    first, second = sorted((a, b))
    paths = (snapshot.images[row].path for row in (query, first, second))
    text = "\0".join([str(seed), rater, *paths])
    if hashlib.sha256(path_key(text)).digest()[0] % 2:
        first, second = second, first
    return Question(query, first, second, remaining)
