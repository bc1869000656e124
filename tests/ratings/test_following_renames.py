"""Ratings go on to be about the same pictures, whatever these are called."""

import shutil
import sqlite3

import numpy as np
import pytest
from PIL import Image

import deep_ranking as dr
from deep_ranking.errors import DeepRankingError
from deep_ranking.ratings.store import Given
from deep_ranking.search.stores.local import LocalStore


class Pixels:
    """Embeds by colour, so that no network is needed."""

    fingerprint, dimension = "colours", 3

    def embed(self, paths, *, quiet=True):
        return np.stack([dr.read_image(path, (1, 1))[0, 0] for path in paths]).astype(np.float32), []


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate("abcde"):
        Image.new("RGB", (8, 8), (50 * number, 9, 9)).save(folder / f"{name}.png")
    return folder


def indexed(*folders, **how):
    with dr.Index.from_folder([*folders], Pixels(), folders[0].with_suffix(".index"), True, **how) as index:
        return index.report


def rated(photos):
    return dr.RatingStore(photos.with_suffix(".index") / "ratings.sqlite")


def questions(photos):
    with rated(photos) as store:
        return [(r.id, r.rater, *r[2:6]) for r in store.ratings()]


def test_renamed_moved_traded_and_deleted_copies(photos):
    indexed(photos)
    with rated(photos) as store:
        store.add("Ann", "a.png", "b.png", "c.png", "a")
        store.add("Bob", "d.png", "e.png", "a.png", "b")
    (photos / "2024").mkdir()
    (photos / "a.png").rename(photos / "2024/A.png")  # moved
    (photos / "b.png").rename(photos / "x")  # two trade names
    (photos / "c.png").rename(photos / "b.png")
    (photos / "x").rename(photos / "c.png")
    report = indexed(photos)
    assert report.moved == {"a.png": "2024/A.png", "b.png": "c.png", "c.png": "b.png"}
    expected = [
        (1, "Ann", "2024/A.png", "c.png", "b.png", "a"),
        (2, "Bob", "d.png", "e.png", "2024/A.png", "b"),
    ]
    assert questions(photos) == expected
    shutil.copy(photos / "d.png", photos / "copy of d.png")
    indexed(photos)
    (photos / "d.png").unlink()  # of two copies one is deleted: the answers are of the other
    indexed(photos)
    assert questions(photos)[1][2] == "copy of d.png"
    (photos / "e.png").unlink()  # what is gone stays as it was called
    assert indexed(photos).moved == {}
    assert questions(photos)[1][3] == "e.png"


def test_a_second_folder_and_one_that_has_moved(photos, tmp_path):
    indexed(photos)
    with rated(photos) as store:
        store.add("Ann", "a.png", "b.png", "c.png", "a")
    more = tmp_path / "more"
    more.mkdir()
    Image.new("RGB", (8, 8), "blue").save(more / "z.png")
    indexed(photos, more)
    assert questions(photos) == [(1, "Ann", "photos/a.png", "photos/b.png", "photos/c.png", "a")]


def test_what_cannot_be_named_anew_stays_and_nothing_is_lost(tmp_path):
    with dr.RatingStore(tmp_path / "r.sqlite") as store:
        store.add_all([Given("Ann", "q", "a", "b", "a", 2.0), Given("Ann", "q", "c", "b", "b")])
        store.add("Bob", "q", "a", "c", "a")
        before = store.ratings()
        assert store.rename({"a": "c"}) == 0  # Ann has answered that, and Bob would compare c with itself
        assert store.ratings() == before
        assert store.rename({"b": "d", "nobody": "x"}) == 2
        assert [r[2:5] for r in store.ratings()] == [("q", "a", "d"), ("q", "c", "d"), ("q", "a", "c")]
        assert [(r.id, r.weight, r.at) for r in store.ratings()] == [(r.id, r.weight, r.at) for r in before]
        (tmp_path / "r.sqlite").unlink()
        with pytest.raises(DeepRankingError, match="deleted or replaced"):
            store.rename({"d": "b"})


def test_ratings_that_cannot_be_written_are_told_and_follow_when_they_can(photos, caplog):
    indexed(photos)
    with rated(photos) as store:
        store.add("Ann", "a.png", "b.png", "c.png", "a")
    ratings = photos.with_suffix(".index") / "ratings.sqlite"
    kept = ratings.read_bytes()
    ratings.write_bytes(b"no database" * 999)
    (photos / "a.png").rename(photos / "z.png")
    assert indexed(photos).moved == {"a.png": "z.png"}
    assert "ratings name images that were renamed as before, until the next update" in caplog.text
    (photos / "b.png").rename(photos / "y.png")
    indexed(photos)
    ratings.write_bytes(kept)
    indexed(photos)
    assert questions(photos) == [(1, "Ann", "z.png", "y.png", "c.png", "a")]
    assert indexed(photos).moved == {}


def trade(photos, one, other):
    one, other = photos / f"{one}.png", photos / f"{other}.png"
    one.rename(photos / "x")
    other.rename(one)
    (photos / "x").rename(other)


@pytest.mark.parametrize("where", ["while it embeds", "before ratings are told"])
@pytest.mark.parametrize("more", [False, True])
def test_an_update_that_was_killed_is_followed_by_the_next(photos, tmp_path, monkeypatch, where, more):
    def killed(*_, **__):
        raise KeyboardInterrupt

    indexed(photos)
    with rated(photos) as store:
        store.add("Ann", "a.png", "b.png", "c.png", "a")
    (photos / "a.png").rename(photos / "A.png")
    trade(photos, "b", "c")
    Image.new("RGB", (8, 8), "blue").save(photos / "new.png")
    folders = [photos]
    if more:  # then all paths change
        folders.append(tmp_path / "more")
        folders[1].mkdir()
        Image.new("RGB", (8, 8), "red").save(folders[1] / "z.png")
    with monkeypatch.context() as patch:
        place, name = (Pixels, "embed") if where == "while it embeds" else (dr.RatingStore, "rename")
        patch.setattr(place, name, killed)
        with pytest.raises(KeyboardInterrupt):
            indexed(*folders)
    Image.new("RGB", (8, 8), "green").save(photos / "newer.png")
    below = "photos/" if more else ""
    for _ in range(2):  # and but once
        indexed(*folders)
        expected = [f"{below}{name}.png" for name in ("A", "c", "b")]
        assert questions(photos) == [(1, "Ann", *expected, "a")]
    with dr.Index.open(photos.with_suffix(".index")) as index:
        assert index.metadata["left"] == "{}"


def test_an_answer_that_stays_is_not_pushed_out_by_one_that_takes_its_name(tmp_path):
    with dr.RatingStore(tmp_path / "ratings.sqlite") as ratings:
        for name in "abc":
            ratings.add("me", "q", name, "z", "a")
        ratings.rename({"a": "b", "b": "c"})
        assert sorted(rating.a for rating in ratings.stream()) == ["a", "b", "c"]


class Killed(BaseException):
    pass


def killed_after(how_many):
    """Return a `LocalStore.write` that is the last thing that a run does, after so many others."""
    write, calls = LocalStore.write, []

    def killing(store, *args, **named):
        write(store, *args, **named)
        calls.append(1)
        if len(calls) > how_many:
            raise Killed

    return killing


def rate(photos, *questions):
    with rated(photos) as store:
        for rater, *names in questions:
            store.add(rater, *(f"{name}.png" for name in names), "a")


def named(photos):
    return ["".join(question[2:5]).replace(".png", "") for question in questions(photos)]


@pytest.mark.parametrize("writes", range(4))
def test_what_was_renamed_is_followed_once_whenever_a_run_is_killed(photos, monkeypatch, writes):
    indexed(photos)
    rate(photos, ("Ann", "a", "b", "c"), ("Bob", "d", "e", "a"))
    trade(photos, "a", "b")
    (photos / "c.png").rename(photos / "f.png")
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "write", killed_after(writes))
        with pytest.raises(Killed):
            indexed(photos)
    assert named(photos) == ["abc", "dea"]
    (photos / "f.png").rename(photos / "g.png")  # a chain: c, f, g
    for _ in range(3):
        indexed(photos)
        assert named(photos) == ["bag", "deb"]


def test_ratings_that_were_locked_are_told_by_the_next_run(photos, monkeypatch, caplog):
    indexed(photos)
    rate(photos, ("Ann", "a", "b", "c"))
    trade(photos, "a", "b")
    monkeypatch.setattr("deep_ranking.sqlite._PATIENCE", 0.1)
    lock = sqlite3.connect(photos.with_suffix(".index") / "ratings.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for change in (lambda: None, lambda: trade(photos, "b", "c")):  # the second run is locked out too
        change()
        caplog.clear()
        indexed(photos)
        assert "until the next update" in caplog.text
        assert "another process is writing" in caplog.text
    lock.execute("ROLLBACK")
    lock.close()
    for _ in range(2):
        indexed(photos)
        assert named(photos) == ["cab"]


def test_ratings_that_followed_are_not_told_again_by_a_run_after_a_kill(photos, monkeypatch):
    indexed(photos)
    rate(photos, ("Ann", "a", "b", "c"))
    trade(photos, "a", "b")
    renamed = dr.RatingStore.rename

    def rename_and_die(*args):
        renamed(*args)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(dr.RatingStore, "rename", rename_and_die)
        with pytest.raises(Killed):
            indexed(photos)
    assert named(photos) == ["bac"]
    for change in (lambda: None, lambda: trade(photos, "b", "c"), lambda: None):
        change()
        indexed(photos)
    assert named(photos) == ["cab"]
