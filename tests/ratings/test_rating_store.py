"""The file of the ratings, and what raters agree on."""

import os
import sqlite3
import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.ratings import ANSWERS, Rating, RatingStore, tally
from deep_ranking.ratings.export import within
from deep_ranking.ratings.store import AnsweredError
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


def test_triplets_of_images_since_removed_are_left_out():
    triplets = [Triplet("q", "x", "y"), Triplet("q", "x", "gone")]
    assert within(triplets, ["q", "x", "y", "z"]) == triplets[:1]


def test_at_least_one_rater_is_asked_for():
    with pytest.raises(DeepRankingError, match="min_raters: expected 1 or more, found 0"):
        tally([]).unanimous(0)


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
