"""Where a store is, and which kind: of the package, of an extra, or of one's own."""

import sys
from pathlib import Path

import pytest
from memory_store import MemoryStore

from deep_ranking.errors import DeepRankingError
from deep_ranking.location import index_beside
from deep_ranking.search import Index, Store, register_store
from deep_ranking.search.stores.local import LocalStore
from deep_ranking.search.stores.registry import find_store, folder_of, open_store, place_name


class Guarded(MemoryStore):
    """Has a secret in its places, and a folder."""

    @staticmethod
    def shown(place):
        return place.partition("?")[0]

    @staticmethod
    def folder_of(place):
        return Path("beside")


def test_a_place_of_a_registered_store_is_named_and_has_a_folder_as_the_store_says():
    register_store("guarded", Guarded)
    place = "guarded://here?secret"
    assert (place_name(place), folder_of(place)) == ("guarded://here", Path("beside"))
    with Index.create(place, 2, "test") as index:
        assert (index.store.name, type(index.store)) == ("guarded://here", Guarded)
    with pytest.raises(DeepRankingError) as raised:
        Index.open("guarded://there?secret")
    assert "guarded://there: expected an index, found none; make one with" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_without_a_word_on_it_a_store_has_no_folder_and_is_named_by_its_place(memory_places):
    assert folder_of("memory://x") is None
    assert place_name("memory://x") == "memory://x"


def test_the_last_one_registered_counts():
    register_store("twice", MemoryStore)
    register_store("twice", Guarded)
    Index.create("twice://a", 2, "test").close()
    assert type(open_store("twice://a")) is Guarded


class Unfinished(Store):
    def version(self):
        return 0


@pytest.mark.parametrize(
    ("scheme", "store", "message"),
    [
        ("Memory", MemoryStore, "scheme: expected small letters, as in memory://, found 'Memory'"),
        ("a://", MemoryStore, "scheme: expected small letters"),
        ("dict", dict, "dict: expected a class derived from Store, found"),
        ("half", Unfinished, "Unfinished lacks contents, create, exists, known, sweep, write"),
    ],
)
def test_what_is_no_store_is_not_registered(scheme, store, message):
    with pytest.raises(DeepRankingError, match=message):
        register_store(scheme, store)
    assert len(Store.__abstractmethods__) == 7  # the whole of what a new store has to do


def test_an_unknown_scheme_is_told_with_those_there_are(memory_places):
    with pytest.raises(
        DeepRankingError,
        match=r"expected a folder, postgresql://HOST/DATABASE or .*memory://.*, found the scheme 'mysql'",
    ):
        Index.open("mysql://x/y")


@pytest.mark.parametrize(
    ("place", "package", "extra"),
    [("postgresql://h/d", "psycopg", "postgres"), ("ray://local{tmp}/new?shards=1", "ray", "cluster")],
)
def test_a_missing_package_names_the_extra(monkeypatch, tmp_path, place, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DeepRankingError, match=rf"pip install 'deep-ranking\[{extra}\]'"):
        Index.create(place.format(tmp=tmp_path), 2, "test")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_images_finds_the_index_beside_it_and_an_index_itself(tmp_path, monkeypatch):
    images, beside = tmp_path / "photos", tmp_path / "photos.index"
    images.mkdir()
    assert index_beside(images) == beside
    assert find_store(images) == images
    Index.create(beside, 2, "test").close()
    assert find_store(images) == find_store(beside) == folder_of(images) == beside
    assert Index.exists(images)
    monkeypatch.chdir(images)
    assert find_store(".") == beside
    with Index.open(".") as index:
        assert index.store.name == str(beside)
    LocalStore.create(images, {"dimension": "2", "fingerprint": "own", "identity": "01234567"}).close()
    assert find_store(images) == images
