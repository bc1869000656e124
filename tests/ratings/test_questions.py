"""Which question a rater is asked next."""

import itertools
import tempfile
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rated import make_index, paths

from deep_ranking.ratings import ANSWERS, Rating, choose
from deep_ranking.ratings.export import key
from deep_ranking.ratings.questions import COMPARED, NEAR, RATERS, candidate_pairs, telling
from deep_ranking.search import Index

numbers = itertools.count(1)


@pytest.fixture
def snapshot(tmp_path):
    with make_index(tmp_path / "index", 40) as index:
        yield index.snapshot


def answered(snapshot, question, rater, answer):
    return Rating(next(numbers), rater, *paths(snapshot, question), answer, 0.0)


def preferring(snapshot, question, rater, path):
    """Answer a question for the candidate with this path, on whichever side it is shown."""
    return answered(snapshot, question, rater, "a" if snapshot.images[question.a].path == path else "b")


@settings(max_examples=30)
@given(
    count=st.integers(0, 9),
    labels=st.integers(0, 3),
    seed=st.integers(0, 3),
    script=st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from(ANSWERS)), max_size=40),
)
def test_whatever_is_answered_a_question_is_new_to_its_rater_and_sound(count, labels, seed, script):
    with tempfile.TemporaryDirectory() as folder, make_index(folder, count, labels, seed) as index:
        snapshot, ratings, asked = index.snapshot, [], set()
        for rater, answer in script:
            question = choose(snapshot, ratings, rater, seed)
            assert question == choose(snapshot, list(ratings), rater, seed)
            if question is None:
                assert count < 3 or len(ratings) >= count  # at most some images have nothing to ask about
                continue
            assert len({question.query, question.a, question.b}) == 3
            same = (rater, key(*paths(snapshot, question)))
            assert same not in asked
            asked.add(same)
            assert question.remaining > 0
            ratings.append(answered(snapshot, question, rater, answer))
        raters = Counter(question for _, question in asked)
        assert all(times <= RATERS for times in raters.values())


def test_questions_end_after_two_rounds_and_the_count_of_those_left_falls_to_none(snapshot):
    ratings, left = [], []
    while question := choose(snapshot, ratings, "Ann"):
        left.append(question.remaining)
        ratings.append(answered(snapshot, question, "Ann", "a"))
    assert left == list(range(80, 0, -1))
    queries = Counter(rating.query for rating in ratings)
    assert set(queries.values()) == {2}
    assert len({key(r.query, r.a, r.b) for r in ratings}) == 80
    assert len({r.query for r in ratings[:40]}) == 40  # all images once before any twice


def test_others_get_the_same_questions_until_three_agree(snapshot):
    ratings, first = [], []
    for _ in range(5):
        question = choose(snapshot, ratings, "Ann")
        first.append(key(*paths(snapshot, question)))
        ratings.append(preferring(snapshot, question, "Ann", first[-1][1]))
    for rater in ("Bob", "Cid"):
        for expected in first:
            question = choose(snapshot, ratings, rater)
            assert key(*paths(snapshot, question)) == expected
            ratings.append(preferring(snapshot, question, rater, expected[1]))
    fourth = choose(snapshot, ratings, "Dot")
    assert key(*paths(snapshot, fourth)) not in first


def test_a_question_nearer_to_its_third_rater_comes_first(snapshot):
    ratings = []
    for rater in ("Ann", "Ann", "Bob"):
        question = choose(snapshot, ratings, rater)
        ratings.append(preferring(snapshot, question, rater, key(*paths(snapshot, question))[1]))
    second, first = ratings[1], ratings[0]
    assert key(*ratings[2][2:5]) == key(*first[2:5])
    ratings.insert(2, Rating(0, "Eve", *second[2:5], second.answer, 0.0))
    ratings.insert(3, Rating(0, "Fay", *second[2:5], second.answer, 0.0))  # settled by three
    third = choose(snapshot, ratings, "Cid")
    assert key(*paths(snapshot, third)) == key(*first[2:5])


def test_memory_grows_with_the_questions_not_with_their_ratings(snapshot):
    question = choose(snapshot, [], "Ann")
    tracemalloc.start()
    ratings = (answered(snapshot, question, f"rater {number}", "a") for number in range(20_000))
    assert choose(snapshot, ratings, "Zoe") is not None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_looking_ahead_gives_the_questions_that_come(snapshot):
    ratings, ahead = [], [choose(snapshot, [], "Ann", skip=number) for number in range(10)]
    for expected in ahead:
        question = choose(snapshot, ratings, "Ann")
        assert question == expected
        ratings.append(answered(snapshot, question, "Ann", "both_similar"))


@pytest.mark.parametrize("answer", ["both_similar", "both_dissimilar"])
def test_what_can_no_longer_be_unanimous_is_asked_no_more(snapshot, answer):
    question = choose(snapshot, [], "Ann")
    ratings = [answered(snapshot, question, "Ann", answer)]
    other = choose(snapshot, ratings, "Bob")
    assert key(*paths(snapshot, other)) != key(*paths(snapshot, question))


def test_questions_of_images_that_are_gone_are_passed_over(snapshot):
    gone = Rating(1, "Ann", "gone.jpg", *[image.path for image in snapshot.images[:2]], "a", 0.0)
    assert choose(snapshot, [gone], "Bob") is not None


def test_near_pairs_are_the_two_nearest_and_disputed_ones_speak_against_the_labels(snapshot):
    """Against a slow oracle: all distances, sorted."""
    disputes = 0
    for query in range(len(snapshot.images)):
        lengths = np.linalg.norm(snapshot.matrix.astype(float) - snapshot.matrix[query], axis=1)
        order = [row for row in np.argsort(lengths) if row != query][:NEAR]
        labels = [image.label for image in snapshot.images]
        near, disputed = candidate_pairs(snapshot, query)
        assert near == [tuple(order[:2])]
        assert len(disputed) == NEAR * (NEAR - 1) // 2 - 1
        against = [labels[b] == labels[query] != labels[a] for a, b in disputed]
        assert against == sorted(against, reverse=True)
        disputes += sum(against)
        for part in (True, False):
            margins = [
                (lengths[b] - lengths[a]) / lengths[b]
                for (a, b), own in zip(disputed, against, strict=True)
                if own is part
            ]
            assert min(margins, default=0) >= 0
            assert np.all(np.diff(margins) >= -1e-6)
    assert disputes > 20


def test_near_and_disputed_questions_take_turns(snapshot):
    ratings, kinds = [], []
    for _ in range(10):
        question = choose(snapshot, ratings, "Ann")
        near, _ = candidate_pairs(snapshot, question.query)
        kinds.append({question.a, question.b} == set(near[0]))
        ratings.append(answered(snapshot, question, "Ann", "both_similar"))
    assert kinds == [True, False] * 5


def test_copies_are_no_candidates(tmp_path):
    from deep_ranking.search.image import Image

    with Index.create(tmp_path, 2, "x") as index:
        contents = [bytes([i]) * 32 for i in (1, 1, 1, 2, 2, 3)]
        vectors = {bytes([i]) * 32: np.array([1, i / 10], np.float32) for i in (1, 2, 3)}
        index.write([Image(f"{i}.jpg", c, 1, 1) for i, c in enumerate(contents)], vectors)
        for query in range(6):
            ((a, b),), _ = candidate_pairs(index.snapshot, query)
            assert len({contents[query], contents[a], contents[b]}) == 3


def test_the_seed_and_the_rater_decide_the_order_and_the_sides(snapshot):
    orders = {tuple(paths(snapshot, choose(snapshot, [], "Ann", seed))) for seed in range(10)}
    assert len(orders) > 5
    sides = Counter()
    for rater in map(str, range(60)):
        question = choose(snapshot, [], rater)
        sides[question.a] += 1
    assert len(sides) == 2
    assert min(sides.values()) > 15


def test_the_next_question_is_unsure_and_about_something_new(snapshot):
    """Against a plain loop; and queries spread: no copy of one that was asked about comes before others."""
    rng = np.random.default_rng(0)
    questions = np.array([rng.choice(40, 3, replace=False) for _ in range(20)])
    asked = [1, 2, 3]

    def length(one, other):
        return np.linalg.norm(snapshot.matrix[one].astype(float) - snapshot.matrix[other])

    expected = []
    for query, a, b in questions:
        near, far = sorted((length(query, a), length(query, b)))
        expected.append(near / far * min(length(query, other) for other in asked))
    np.testing.assert_allclose(telling(snapshot.matrix, questions, asked), expected, rtol=1e-6)
    assert COMPARED < 40


def test_queries_asked_about_first_are_farther_apart_than_drawn_ones(tmp_path):
    """In three tight groups of which one is large, each is asked about soon."""
    rng = np.random.default_rng(1)
    vectors = np.concatenate([rng.normal(c, 0.05, (n, 3)) for c, n in ((0, 80), (5, 10), (-5, 10))])
    first = []
    for seed in range(10):
        with Index.create(tmp_path / str(seed), 3, "x") as index:
            index.add([f"{i}.jpg" for i in range(100)], vectors)
            ratings, groups = [], set()
            for _ in range(6):
                question = choose(index.snapshot, ratings, "Ann", seed)
                groups.add(round(float(index.snapshot.matrix[question.query].mean()) / 5))
                ratings.append(answered(index.snapshot, question, "Ann", "a"))
            first.append(len(groups))
    assert np.mean(first) > 2.6  # of six drawn at random, 1.9 on average
