"""Places as they are given: schemas, poolers, folders to read only; handles closed, and places moved."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
from samples import vectors_like_embeddings

from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Index, Options
from deep_ranking.sqlite import StoreError

VECTORS = vectors_like_embeddings(60, 6)
PATHS = [f"{number:02}.jpg" for number in range(len(VECTORS))]
READING = [{}, {"approximate": "hnsw"}, {"approximate": "clustered", "probe": 1000}, {"bottom": True}]


def fill(place):
    with Index.create(place, 6, "test") as index:
        index.add(PATHS, VECTORS, ["even", "odd"] * 30)
    return place


# Handles.


@pytest.mark.usefixtures("store")
def test_a_closed_index_says_that_it_was_closed(new_place, request):
    index = Index.create(new_place(), 6, "test")
    index.add(PATHS, VECTORS)
    index.close()
    if request.getfixturevalue("store") in ("memory", "sharded"):  # which hold nothing, or start anew
        assert len(index) == 60
        index.close()
        return
    for ask in (
        lambda: len(index),
        lambda: index.search(VECTORS[0]),
        lambda: index.add(["a"], VECTORS[:1]),
        lambda: index.remove(["a"]),
        lambda: index.store.known([b"x"]),
        lambda: index.store.version(),
        lambda: index.store.sweep(),
    ):
        with pytest.raises(DeepRankingError, match="it was closed here; open it again") as told:
            ask()
        assert not {"damaged", "delete", "drop"} & set(str(told.value).replace(";", "").split())


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_folder_that_was_moved_while_it_was_open_is_told(tmp_path, how):
    fill(tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        assert len(index) == 60
        if how == "moved":
            (tmp_path / "index").rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(tmp_path / "index")
        if how == "replaced":
            fill(tmp_path / "index")
            with pytest.raises(StoreError, match="deleted or replaced while it was open"):
                index.refresh()
        with pytest.raises(StoreError, match="deleted or replaced while it was open"):
            index.add(["a"], VECTORS[:1])
    if how == "moved":
        with Index.open(tmp_path / "elsewhere") as index:
            assert len(index) == 60


def test_a_model_that_was_trained_anew_is_told_from_another(tmp_path):
    model = tmp_path / "m.h5"
    model.write_bytes(b"new")
    with Index.create(tmp_path / "index", 6, "old", {"model": str(model)}) as index:
        with pytest.raises(DeepRankingError, match=r"made with .*m\.h5 as it was before it was trained anew"):
            index.check_model("11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437", 6)
        with pytest.raises(DeepRankingError, match=r"made with the model old .* found the model other"):
            index.check_model("other", 6)


# Folders that may only be read.


@contextlib.contextmanager
def as_reader():
    """Run what is inside as somebody who may not write what the tests make; root may write anything."""
    if os.geteuid():
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def sealed():
    """Make an index in a folder that may only be read; give it, and what lets it be written for a while."""
    if os.name == "nt":
        pytest.skip("folders are not protected by their mode there")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name) / "index"

        @contextlib.contextmanager
        def written():
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            yield
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)

        Path(name).chmod(0o755)
        fill(folder)
        with written():
            pass
        yield folder, written
        with written():
            pass


def listing(folder):
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize("cached", [True, False])
def test_an_index_that_may_only_be_read_is_searched_and_left_alone(sealed, cached):
    folder, written = sealed
    pytest.importorskip("faiss")
    with written(), Index.open(folder) as index:
        right = [index.search(VECTORS[7], 5, **options) for options in READING]
        assert index.search("07.jpg", 1)[0].distance == 0
        if not cached:
            shutil.rmtree(folder / "cache")
    before = listing(folder)
    with as_reader():
        assert Index.exists(folder)
        with Index.open(folder) as index:
            assert [index.search(VECTORS[7], 5, **options) for options in READING] == right
            assert index.search("07.jpg", 1)[0].distance == 0
            index.refresh()
            for write in (lambda: index.add(["a"], VECTORS[:1]), lambda: index.remove(PATHS[:1])):
                with pytest.raises(StoreError, match="it may only be read here"):
                    write()
            assert len(index) == 60
    assert listing(folder) == before


def test_a_reader_follows_what_the_owner_changes(sealed):
    folder, written = sealed
    with as_reader(), contextlib.ExitStack() as opened:
        index = opened.enter_context(Index.open(folder))
        assert len(index) == 60
        os.seteuid(0) if os.getuid() == 0 else None
        with written(), Index.open(folder) as owner:
            owner.remove(PATHS[:10])
        os.seteuid(65534) if os.getuid() == 0 else None
        assert len(index) == 60
        index.refresh()
        assert len(index) == 50
        assert index.search(VECTORS[0], 1)[0].path not in PATHS[:10]


def test_a_reader_sees_what_is_in_the_log_of_one_who_writes_now(sealed):
    folder, written = sealed
    with written(), Index.open(folder) as owner:
        owner.add(["new.jpg"], VECTORS[:1] + 3)
        with as_reader(), Index.open(folder) as index:
            assert index.search(VECTORS[0] + 3, 1)[0].path == "new.jpg"


def test_a_log_that_cannot_be_used_is_told_and_not_passed_over(sealed):
    folder, written = sealed
    with written():
        database = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
        database.execute("INSERT INTO meta VALUES ('later', 'x')")
        log = (folder / "store.sqlite-wal").read_bytes()
        database.close()
        (folder / "store.sqlite-wal").write_bytes(log)
    with as_reader(), pytest.raises(StoreError, match=r"last changes are in store\.sqlite-wal"):
        Index.open(folder)


def test_an_index_without_a_mark_is_read_too(sealed):
    folder, written = sealed
    with written(), contextlib.closing(sqlite3.connect(folder / "store.sqlite")) as database:
        database.execute("DELETE FROM meta WHERE key = 'state'")
        database.commit()
    with as_reader(), Index.open(folder) as index:
        assert index.search(VECTORS[3], 1)[0].path == "03.jpg"
        assert index.store.version() == index.store.version()


def test_it_is_served_and_rating_says_what_it_needs(sealed):
    testclient = pytest.importorskip("fastapi.testclient")
    from deep_ranking.web import Settings, create_app

    folder, _ = sealed
    before = listing(folder)
    with as_reader():
        app = create_app(Settings(index=folder))
    with testclient.TestClient(app, base_url="http://localhost") as client:
        first = client.get("/api/images").json()["items"][0]
        assert client.get(f"/api/search?image={first['id']}").json()["results"]
        for answer in (client.get("/api/ratings"), client.get("/api/ratings/question?rater=Ann")):
            assert answer.status_code == 503
            assert "--ratings FILE" in answer.json()["detail"]
    assert listing(folder) == before


# PostgreSQL as it is given.


@pytest.fixture
def given(postgres):
    """Give a function that runs SQL as the administrator of a new database, and the URL for a plain user."""
    psycopg = pytest.importorskip("psycopg")
    name = f"given_{os.urandom(4).hex()}"
    with psycopg.connect(postgres, autocommit=True) as database:
        database.execute(f"CREATE DATABASE {name}")
        database.execute(f"CREATE ROLE {name} LOGIN")
    address = postgres.replace("/postgres?", f"/{name}?")

    def run(*statements):
        with psycopg.connect(address, autocommit=True) as database:
            for statement in statements:
                database.execute(statement.format(user=name))

    yield run, address.replace("//postgres:", f"//{name}:")
    with psycopg.connect(postgres, autocommit=True) as database:
        database.execute(f"DROP DATABASE {name} WITH (FORCE)")
        database.execute(f"DROP ROLE {name}")


GIVEN = {
    "schema and extension": ["CREATE EXTENSION vector", "CREATE SCHEMA deep_ranking AUTHORIZATION {user}"],
    "extension in a schema of its own": [
        'CREATE SCHEMA "its tools"',
        'CREATE EXTENSION vector SCHEMA "its tools"',
        'GRANT USAGE ON SCHEMA "its tools" TO {user}',
        "CREATE SCHEMA deep_ranking AUTHORIZATION {user}",
    ],
    "the right to make schemas": ["CREATE EXTENSION vector", "GRANT CREATE ON DATABASE {user} TO {user}"],
    "no search path": [
        "CREATE EXTENSION vector",
        "CREATE SCHEMA deep_ranking AUTHORIZATION {user}",
        "ALTER ROLE {user} SET search_path = ''",
    ],
}


@pytest.mark.parametrize("statements", GIVEN.values(), ids=GIVEN)
def test_what_an_administrator_gives_is_taken(given, statements):
    run, place = given
    run(*statements)
    assert not Index.exists(place)
    fill(place)
    with Index.open(place) as index:
        for options in ({}, {"approximate": "hnsw"}, {"label": "odd"}):
            assert index.search(VECTORS[7], 1, **options)[0].path == "07.jpg"
        assert index.remove(PATHS[:3]) == 3


REFUSED = {
    "nothing": (
        [],
        "expected a database with pgvector, found none, and this user may not .*CREATE EXTENSION",
    ),
    "the extension alone": (
        ["CREATE EXTENSION vector"],
        "expected the schema deep_ranking, found none, and this user may not make it "
        r'\(permission denied for database .*CREATE SCHEMA "deep_ranking" AUTHORIZATION "given_',
    ),
    "another's schema": (
        [
            "CREATE EXTENSION vector",
            "CREATE SCHEMA deep_ranking",
            "GRANT USAGE ON SCHEMA deep_ranking TO {user}",
        ],
        r"refused \(permission denied for schema deep_ranking\); let its owner GRANT it to this user",
    ),
}


@pytest.mark.parametrize(("statements", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_lacking_is_named(given, statements, message):
    run, place = given
    run(*statements)
    with pytest.raises(DeepRankingError, match=message):
        Index.create(place, 6, "test")
    assert not Index.exists(place)


def test_a_database_that_is_not_there_is_told_from_a_server_that_is_down(postgres):
    for place, advice in (
        (postgres.replace("/postgres?", "/nowhere?"), "look at the names of user and database"),
        ("postgresql://localhost:1/photos", "is the server up"),
    ):
        with pytest.raises(DeepRankingError, match=f"cannot be used now .*; {advice}"):
            Index.open(place)


def test_behind_a_pooler_in_transaction_mode(pooled_places, postgres):
    """No transaction finds what another left in its session, nor leaves there what confuses others."""
    psycopg = pytest.importorskip("psycopg")
    places = [fill(pooled_places()) for _ in range(2)]
    with Index.open(places[0]) as one, Index.open(places[1]) as two:
        two.remove(PATHS[:30])
        for number in range(40, 60):
            for index in (one, two):
                options = Options(
                    approximate="hnsw" if number % 2 else None, probe=16 + number if number % 2 else None
                )
                assert index.search(VECTORS[number], 1, options)[0].path == PATHS[number]
        two.refresh()
        assert (len(one), len(two)) == (60, 30)
        assert np.array_equal(two.snapshot.matrix, VECTORS[30:])
    pool = places[0].partition("&index=")[0]
    for _ in range(4):
        with psycopg.connect(pool, autocommit=True) as database:
            assert "pooled" not in database.execute("SHOW search_path").fetchone()[0]
