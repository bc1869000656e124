"""The file of the ratings, and what raters agree on."""

import math
import os
import sqlite3
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.ratings import ANSWERS, POLICIES, Rating, RatingStore, read_judgements, tally
from deep_ranking.ratings.export import within
from deep_ranking.ratings.store import AnsweredError, Given
from deep_ranking.sqlite import StoreError
from deep_ranking.triplets import Triplet


@pytest.fixture
def store(tmp_path):
    with RatingStore(tmp_path / "ratings.sqlite") as store:
        yield store


def test_ratings_come_back_in_order_of_time_by_rater_and_by_page(store):
    odd = os.fsdecode(b"caf\xe9/1.png")  # not UTF-8
    for number, rater in enumerate(["Ann", "Bob", "Ann", "Ann"]):
        assert store.add(rater, odd, "x.png", f"{number}.png", ANSWERS[number]) == number + 1
    assert [(r.rater, r.query, r.a, r.b, r.answer) for r in store.ratings("Ann")] == [
        ("Ann", odd, "x.png", f"{number}.png", ANSWERS[number]) for number in (0, 2, 3)
    ]
    assert [r.id for r in store.ratings(offset=1, limit=2)] == [2, 3]
    assert (store.count(), store.count("Ann"), store.count("Eve")) == (4, 3, 0)
    times = [r.at for r in store.ratings()]
    assert times == sorted(times)


def test_many_ratings_pass_by_in_order_and_take_little_memory(store):
    with sqlite3.connect(store.path) as database:
        database.executemany(
            "INSERT INTO ratings (rater, query, a, b, answer, at) VALUES (?, 'q', 'x', 'y', 'a', 0)",
            ((f"rater {number}",) for number in range(20_000)),
        )
    store.undo("rater 7")
    tracemalloc.start()
    seen = sum(rating.id != 8 for rating in store.stream())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == store.count() == 19_999
    assert peak < 2 * 2**20  # all at once take ten megabytes
    assert list(store.stream()) == store.ratings()


def test_what_is_kept_is_there_for_the_next_process_and_for_another_at_once(store):
    store.add("Ann", "q", "x", "y", "a")
    with RatingStore(store.path) as other:
        assert other.count() == 1
        other.add("Bob", "q", "x", "y", "a")
    assert store.count() == 2


def test_undo_takes_back_the_last_answer_of_the_rater_alone_and_it_can_be_given_again(store):
    for rater, b in [("Ann", "1"), ("Ann", "2"), ("Bob", "1")]:
        store.add(rater, "q", "x", b, "a")
    assert store.undo("Ann").b == "2"
    store.add("Ann", "q", "x", "2", "b")
    assert [store.undo("Ann").answer for _ in range(2)] == ["b", "a"]
    assert store.undo("Ann") is None
    assert store.count() == 1


def test_a_question_is_answered_once_by_a_rater_whichever_side_it_is_shown_from(store):
    store.add("Ann", "q", "x", "y", "a")
    with pytest.raises(AnsweredError, match="Ann has answered"):
        store.add("Ann", "q", "y", "x", "a")
    store.add("Bob", "q", "y", "x", "a")
    store.add("Ann", "x", "q", "y", "a")
    assert store.count() == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("", "q", "x", "y", "a"), "rater: expected a name"),
        ((" Ann", "q", "x", "y", "a"), "rater: expected a name"),
        (("A" * 65, "q", "x", "y", "a"), "rater: expected a name"),
        (("A\nB", "q", "x", "y", "a"), "rater: expected a name"),
        (("\ud800", "q", "x", "y", "a"), "rater: expected a name"),
        (("Ann", "q", "x", "y", "c"), "answer: expected one of"),
        (("Ann", "q", "x", "x", "a"), "three different images"),
        (("Ann", "x", "x", "y", "a"), "three different images"),
    ],
)
def test_what_is_no_rating_is_refused(store, values, message):
    with pytest.raises(DeepRankingError, match=message):
        store.add(*values)
    assert store.count() == 0


def test_threads_lose_nothing_and_answer_each_question_once(store):
    refused = []

    def rate(rater):
        for number in range(25):
            try:
                store.add(rater, "q", "x", str(number), "a")
            except AnsweredError:
                refused.append(number)

    threads = [threading.Thread(target=rate, args=(rater,)) for rater in "AABB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (store.count(), len(refused)) == (50, 50)


def test_other_files_are_explained_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no database, but long enough to be looked at" * 30)
    with pytest.raises(DeepRankingError, match="damaged, or no SQLite file"):
        RatingStore(text)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE meta (x)")
    other.close()
    with pytest.raises(DeepRankingError, match="expected a file of ratings, found another"):
        RatingStore(tmp_path / "other.sqlite")
    with pytest.raises(DeepRankingError, match="expected a folder"):
        RatingStore(tmp_path / "none" / "ratings.sqlite")
    assert text.read_text().startswith("no database")


votes = st.lists(
    st.tuples(st.sampled_from("ABCD"), st.sampled_from("uvw"), st.booleans(), st.sampled_from(ANSWERS)),
    unique_by=lambda vote: vote[:2],
    max_size=12,
)


@given(votes, st.integers(1, 4))
def test_unanimous_triplets_are_those_that_a_slow_count_finds(votes, min_raters):
    ratings, said = [], {}
    for number, (rater, query, swapped, answer) in enumerate(votes):
        a, b = ("y", "x") if swapped else ("x", "y")
        ratings.append(Rating(number, rater, query, a, b, answer, 0.0))
        said.setdefault(query, []).append({"a": a, "b": b}.get(answer))
    found = tally(ratings).unanimous(min_raters)
    for query, answers in said.items():
        for positive, negative in ("xy", "yx"):
            everyone = all(answer == positive for answer in answers) and len(answers) >= min_raters
            assert (Triplet(query, positive, negative) in found) == everyone
    assert len(found) == len({triplet.query for triplet in found})
    assert tally(ratings).disputed == sum(len(set(answers)) > 1 for answers in said.values())


weighed = st.lists(
    st.tuples(st.sampled_from("uv"), st.sampled_from(ANSWERS), st.sampled_from([0.5, 1.0, 2.0, 3.0])),
    max_size=9,
)


@given(weighed, st.integers(1, 4))
def test_policies_and_agreement_are_those_of_a_slow_count(answers, min_raters):
    """An answer of weight n counts as n people who are not told apart, one of less than 1 as one person."""
    ratings = [Rating(n, f"{n}", query, "x", "y", a, 0, w) for n, (query, a, w) in enumerate(answers)]
    counted = tally(ratings)
    found = {policy: [*counted.agreed(policy, min_raters)] for policy in POLICIES}
    pairs = alike = 0.0
    for query in "uv":
        own = [(answer, weight) for asked, answer, weight in answers if asked == query]
        people = [answer for answer, weight in own for _ in range(max(1, int(weight)))]
        for side, positive, negative in (("a", "x", "y"), ("b", "y", "x")):
            weight = sum(w for answer, w in own if answer == side)
            rest = sum(w for answer, w in own if answer != side)
            triplet, enough = Triplet(query, positive, negative), len(people) >= min_raters
            assert ((triplet, weight) in found["all"]) == (enough and weight > 0)
            assert ((triplet, weight - rest) in found["majority"]) == (enough and weight > rest)
            assert ((triplet, weight) in found["unanimous"]) == (enough and weight > 0 and rest == 0)
        voted = [answer for answer in people if answer in ("a", "b")]
        both = [one == other for i, one in enumerate(voted) for j, other in enumerate(voted) if i != j]
        if both:
            pairs += len(voted)
            alike += len(voted) * sum(both) / len(both)
    assert counted.agreement.votes == pairs
    assert counted.agreement.value == pytest.approx(alike / pairs if pairs else math.nan, nan_ok=True)
    assert all(weight > 0 for some in found.values() for _, weight in some)


@pytest.mark.parametrize("raters", [2, 3, 10])
def test_the_best_that_a_model_can_do_lies_between_the_ceilings(raters):
    """Questions on which a known share of all people prefers one candidate; the model knows the shares."""
    rng = np.random.default_rng(raters)
    shares = rng.beta(0.7, 0.7, 3000)
    answers = rng.random((3000, raters)) < shares[:, None]
    counted = tally(
        Rating(0, f"{rater}", f"{question}", "x", "y", "a" if answer else "b", 0)
        for question, row in enumerate(answers)
        for rater, answer in enumerate(row)
    )
    best = np.maximum(shares, 1 - shares).mean()
    low, high = counted.agreement.ceiling
    assert counted.agreement.value == pytest.approx((shares**2 + (1 - shares) ** 2).mean(), abs=0.015)
    assert low + 0.02 < best < high - 0.005  # of a beta distribution neither is sharp
    # What is told most often, the share of each question's larger half, flatters where few were asked.
    flattered = np.maximum(answers.mean(1), 1 - answers.mean(1)).mean()
    assert flattered > best + (0.05 if raters == 2 else 0.002)


def test_raters_who_all_agree_leave_a_ceiling_of_1_and_one_rater_tells_nothing():
    two = [Rating(n, f"{n}", "q", "x", "y", "a", 0) for n in range(2)]
    assert tally(two).agreement.ceiling == (1, 1)
    assert tally(two[:1]).agreement.questions == 0
    assert math.isnan(tally(two[:1]).agreement.value)
    against = [*two[:1], Rating(2, "2", "q", "x", "y", "b", 0)]
    assert tally(against).agreement.ceiling == (0.5, 0.5)


def test_there_is_no_other_policy():
    with pytest.raises(
        DeepRankingError, match="policy: expected one of unanimous, majority, all, found 'some'"
    ):
        [*tally([]).agreed("some")]


def test_a_triplet_file_is_read_as_votes_and_other_files_are_explained(tmp_path, caplog):
    path = tmp_path / "t.txt"
    path.write_text("q,x,y\nq,x,y\nq,y,x\nu,x,x\nu,y,x\n")
    triplets, weights = read_judgements(path, "all")
    assert caplog.messages == [f"{path}: left out 1 triplets that name an image twice"]
    assert triplets.tolist() == [["q", "x", "y"], ["q", "y", "x"], ["u", "y", "x"]]
    assert weights.tolist() == [2, 1, 1]
    path.write_text("q,x,y\nq,y,x\nu,y,x\n")
    caplog.clear()
    assert read_judgements(path).triplets.tolist() == [["u", "y", "x"]]
    assert caplog.messages == [
        f"{path}: 1 of 2 questions are left out: their answers contradict each other or state no order"
    ]
    path.write_text("")
    triplets, weights = read_judgements(path)
    assert (triplets.shape, weights.shape) == ((0, 3), (0,))
    with pytest.raises(DeepRankingError, match="expected ratings, found none; rate some with"):
        read_judgements(tmp_path / "none")


def test_triplets_of_images_since_removed_are_left_out():
    triplets = [Triplet("q", "x", "y"), Triplet("q", "x", "gone")]
    assert within(triplets, ["q", "x", "y", "z"]) == triplets[:1]


def test_at_least_one_rater_is_asked_for():
    with pytest.raises(DeepRankingError, match="min_raters: expected 1 or more, found 0"):
        tally([]).unanimous(0)


UNWEIGHTED = (
    "CREATE TABLE ratings (id INTEGER PRIMARY KEY AUTOINCREMENT, rater TEXT NOT NULL, query TEXT NOT NULL,"
    " a TEXT NOT NULL, b TEXT NOT NULL, answer TEXT NOT NULL, at REAL NOT NULL)",
    "CREATE UNIQUE INDEX one_answer ON ratings (rater, query, min(a, b), max(a, b))",
    "PRAGMA user_version = 1",
)
"""What version 0.1.0 made before ratings had a weight."""


def test_ratings_that_were_given_before_they_had_a_weight_are_kept_and_weigh_1(tmp_path):
    path = tmp_path / "ratings.sqlite"
    with sqlite3.connect(path) as database:
        for line in UNWEIGHTED:
            database.execute(line)
        database.execute(
            "INSERT INTO ratings (rater, query, a, b, answer, at) VALUES ('Ann','q','x','y','a',5)"
        )
    database.close()
    for count in (1, 2, 2):
        with RatingStore(path) as store:
            assert store.ratings()[0] == (1, "Ann", "q", "x", "y", "a", 5.0, 1.0)
            assert store.add_all([Given("Bob", "q", "y", "x", "b", 3)]) == (count == 1)
            assert store.count() == 2
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 1")  # says that it lacks what it has
    database.close()
    with pytest.raises(DeepRankingError, match="expected a file of ratings, found another"):
        RatingStore(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(DeepRankingError, match=r"found layout 9; a later version of deep-ranking made it"):
        RatingStore(path)


def test_many_answers_are_kept_at_once_or_none_of_them(store):
    odd = os.fsdecode(b"caf\xe9.png")
    some = [Given("Ann", odd, "x", f"{number}", "a", 0.5) for number in range(5)]
    assert store.add_all(some) == 5
    assert store.add_all([*some, Given("Ann", odd, "y", "x", "both_similar")]) == 1
    assert store.ratings()[0][1:6] == ("Ann", odd, "x", "0", "a")
    assert store.ratings()[0].weight == 0.5
    for wrong, message in [
        (Given("Ann", odd, "0", "x", "a", 0.5), "Ann has answered about .* otherwise before"),
        (Given("Ann", odd, "x", "0", "a", 1), "otherwise before"),
        (Given(" Ann", "q", "x", "y", "a"), "rater: expected a name"),
        (Given("Ann", "q", "x", "x", "a"), "three different images"),
        (Given("Ann", "q", "x", "y", "c"), "answer: expected one of"),
        (Given("Ann", "q", "x", "y", "a", 0), "weight: expected a finite number above 0, found 0"),
        (Given("Ann", "q", "x", "y", "a", math.nan), "weight: expected"),
    ]:
        with pytest.raises(DeepRankingError, match=message):
            store.add_all([Given("Eve", "q", "x", "y", "a"), wrong])
    assert store.count() == 6

    def interrupted():
        yield Given("Eve", "q", "x", "y", "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add_all(interrupted())
    assert store.count() == 6
    store.add("Eve", "q", "x", "y", "a")  # and it can be written on


@pytest.mark.parametrize("made_anew", [False, True])
def test_no_answer_is_taken_for_or_read_from_a_file_that_was_deleted(store, made_anew):
    """SQLite would go on writing to the deleted file, and the answers would be lost with the process."""
    store.add("Ann", "q", "x", "y", "a")
    for file in store.path.parent.glob("ratings.sqlite*"):
        file.unlink()
    if made_anew:
        RatingStore(store.path).close()
    for use in (
        lambda: store.add("Bob", "q", "x", "y", "a"),
        lambda: store.undo("Ann"),
        store.ratings,
        store.count,
    ):
        with pytest.raises(StoreError, match="deleted or replaced"):
            use()
