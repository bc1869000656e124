"""What PostgreSQL alone does: transactions, graphs, passwords that stay unseen, connections that break."""

import json
import os
import subprocess
import sys
import traceback
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from samples import PixelEmbedder, vectors_like_embeddings, write_image
from waiting import PATIENCE, wait_until

from deep_ranking.cli import main
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.extras.postgres import server, snapshot
from deep_ranking.images.find import find_images
from deep_ranking.search import Index, Options
from deep_ranking.search.image import Image

psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")

SECRET = "s3cret"
SCRIPT = Path(__file__).with_name("indexing.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(postgres_places):
    return postgres_places()


@pytest.fixture
def administrator(postgres):
    with psycopg.connect(postgres, autocommit=True) as database:
        yield database


def test_a_write_that_fails_midway_changes_nothing(place):
    with Index.create(place, 2, "test") as index:
        index.add(["a", "b"], [[0, 0], [1, 1]])
        version = index.store.version()
        with pytest.raises(DeepRankingError, match="run this again"):  # the last image's vector is not there
            index.write([Image("c", b"c", 1, 1), Image("d", b"d", 1, 1)], {b"c": np.ones(2)}, remove=["a"])
        assert index.store.version() == version
        assert [image.path for image in index.snapshot.images] == ["a", "b"]
        assert index.store.known([b"c"]) == set()


def plan_of(monkeypatch, index, options):
    """Return PostgreSQL's plan for a search."""
    plans, rows = [], index.store.rows

    def explained(statement, *others):
        if "AS distance" in statement:
            plans.append("\n".join(line for (line,) in rows("EXPLAIN " + statement, *others)))
        return rows(statement, *others)

    with monkeypatch.context() as patch:
        patch.setattr(index.store, "rows", explained)
        index.search(np.ones(index.dimension), 10, options)
    return plans[-1]


def test_the_graph_is_used_for_approximate_search_and_for_no_other(place, monkeypatch):
    with Index.create(place, 16, "test") as index:
        index.add([f"{i:04}" for i in range(2000)], vectors_like_embeddings(2000, 16), ["a", "b"] * 1000)
        index.snapshot.warm()  # as the command does
        approximate = Options(approximate="hnsw")
        index.search(np.ones(16), 1, approximate)
        assert "Index Scan using vectors_hnsw" in plan_of(monkeypatch, index, approximate)
        assert "vectors_hnsw" not in plan_of(monkeypatch, index, Options())
        assert "vectors_hnsw" not in plan_of(monkeypatch, index, Options(label="a", within=2))
        assert 16 <= int(index.metadata["probe"]) <= 1000
        with Index.open(place) as later:
            later.remove([f"{i:04}" for i in range(0, 2000, 2)])
            later.add(["new"], np.ones((1, 16)))
            later.snapshot.warm()
            assert later.search(np.ones(16), 1, approximate)[0].path == "new"


def test_of_more_than_2000_coordinates_the_graph_has_16_bits_each_and_the_order_is_by_all(place):
    vectors = vectors_like_embeddings(60, 2500)
    with Index.create(place, 2500, "test") as index:
        index.add([f"{i:02}" for i in range(60)], vectors)
        exact = index.search(vectors[7] + 0.01, 10)
        assert index.search(vectors[7] + 0.01, 10, Options(approximate="hnsw", probe=200)) == exact


def test_of_too_many_coordinates_it_says_so(place, postgres_places):
    with Index.create(place, 4096, "test") as index:
        index.add(["a"], np.ones((1, 4096)))
        assert index.search(np.ones(4096), 1)[0].distance == 0
        with pytest.raises(
            DeepRankingError, match=r"takes 4,000 coordinates at most, found 4,096; search exactly"
        ):
            index.search(np.ones(4096), 1, Options(approximate="hnsw"))
    with pytest.raises(DeepRankingError, match=r"expected 16,000 or less, .* found 16,001"):
        Index.create(postgres_places(), 16_001, "test")


def test_clusters_are_not_to_be_had(place):
    with (
        Index.create(place, 2, "test") as index,
        pytest.raises(DeepRankingError, match="expected one of hnsw"),
    ):
        index.search(np.ones(2), 1, Options(approximate="clustered"))


def test_a_walk_that_finds_too_few_under_a_filter_is_followed_by_an_exact_search(place, monkeypatch):
    with Index.create(place, 2, "test") as index:
        index.add([str(i) for i in range(20)], np.arange(40).reshape(20, 2), ["rare"] * 3 + ["often"] * 17)
        right = index.search(np.ones(2), 3, Options(label="rare"))
        monkeypatch.setattr(snapshot.PostgresSnapshot, "_walk", lambda *_: right[:1])
        assert index.search(np.ones(2), 3, Options(label="rare", approximate="hnsw")) == right
        assert len(right) == 3


def test_a_connection_that_broke_is_made_anew(place, administrator):
    with Index.create(place, 2, "test") as index:
        index.add(["a"], np.ones((1, 2)))
        (own,) = index.store.rows("SELECT pg_backend_pid()")[0]
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [own])
        with pytest.raises(DeepRankingError, match="PostgreSQL cannot be used now"):
            index.search(np.ones(2), 1)
        assert index.search(np.ones(2), 1)[0].path == "a"
        assert index.search(np.ones(2), 1, Options(approximate="hnsw"))[0].path == "a"
        index.add(["b"], np.zeros((1, 2)))
        assert len(index) == 2


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@localhost:1/photos",
        f"postgresql://me:{SECRET}@localhost:1/photos?index=cats",
        f"postgresql://localhost:1/photos?user=me&password={SECRET}",
        f"postgresql://me:{SECRET}@localhost:1/photos?index=no%20name!",
        f"postgresql://me:{SECRET}@localhost:1/photos?sslmode={SECRET}",
        f"postgresql://me:{SECRET}@localhost:1/photos?{SECRET}=1",
        f"postgresql://me:{SECRET}/a@localhost:1/photos",
        f"postgresql://me:1/{SECRET}@localhost:1/photos",
        f"postgresql://me:a@{SECRET}@localhost:1/photos",
        f"postgresql://me:a#{SECRET}@localhost:1/photos",
        f"postgresql://me:12?{SECRET}@localhost:1/photos",
        f"postgresql://me:%zz{SECRET}@localhost:1/photos",
        f"postgresql://me:[{SECRET}@localhost:1/photos",
        f"postgres://me:{SECRET}@[::1:1/photos",
    ],
)
@pytest.mark.parametrize("command", ["search", "index", "duplicates"])
def test_no_error_shows_a_password(url, command, capsys):
    more = {"search": ["--image", "a.jpg"], "index": ["--model", "m", "--images", "i"], "duplicates": []}
    assert main([command, "--store", url, *more[command]]) == 1
    printed = capsys.readouterr()
    assert SECRET not in printed.out + printed.err
    assert printed.err.count("\n") == 1
    with pytest.raises(DeepRankingError) as raised:
        Index.open(url)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_password_is_neither_kept_nor_printed(postgres, tmp_path, no_network, capsys):
    """The server asks for none here, so any is right."""
    write_image(tmp_path / "images/a.png", "a")
    place = postgres.replace("postgres:@", f"postgres:{SECRET}@") + "&index=with_password"
    flags = ["--store", place, "--quiet", "--json"]
    assert main(["index", "--model", "m.h5", "--images", str(tmp_path / "images"), *flags]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["count"] == 1
    assert "postgresql:///postgres" in json.loads(printed.out)["index"]
    for line in (["search", place, "a.png"], ["duplicates", "--index", place], ["index", place]):
        assert main(line) == 0
        printed = printed._replace(err=printed.err + capsys.readouterr().err)
    assert printed.err.count("next: deep-ranking ") == 3
    with Index.open(place) as index:
        assert SECRET not in printed.out + printed.err + index.store.name + str(index.metadata) + repr(
            index.store
        )


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deep-ranking\[postgres\]'"):
        Index.open("postgresql://localhost/photos")


def test_a_server_without_pgvector_is_told_from_one_that_is_down(place, administrator, monkeypatch):
    monkeypatch.setattr(server, "_OLDEST", (99, 0))
    with pytest.raises(DeepRankingError, match=r"expected pgvector 99.0 or later, found 0\."):
        Index.create(place, 2, "test")
    assert not Index.exists(place)


def test_an_index_of_another_layout_is_refused(place):
    with Index.create(place, 2, "test") as index:
        index.write(metadata={"layout": "9"})
    with pytest.raises(DeepRankingError, match="layout 1, found layout 9; a later version of deep-ranking"):
        Index.open(place)


def test_an_index_that_was_made_anew_is_told(place, administrator):
    with Index.create(place, 2, "test") as earlier:
        earlier.add(["a"], [[0, 0]])
        administrator.execute(f'DROP SCHEMA "{place.rpartition("=")[2]}" CASCADE')
        with Index.create(place, 2, "another") as later:
            later.add(["b"], [[1, 1]])
            for ask in (lambda: earlier.add(["c"], [[2, 2]]), lambda: earlier.search(np.zeros(2), 1)):
                with pytest.raises(DeepRankingError, match="made anew since it was opened; open it again"):
                    ask()
            assert [image.path for image in later.store.images()] == ["b"]


def test_dropped_tables_are_told(place, administrator):
    Index.create(place, 2, "test").close()
    schema = place.rpartition("=")[2]
    administrator.execute(f'DROP TABLE "{schema}".images')
    message = r"expected the tables of an index .*; drop its schema"
    with Index.open(place) as index, pytest.raises(DeepRankingError, match=message):
        index.search(np.zeros(2))
    administrator.execute(f'TRUNCATE "{schema}".meta')
    with pytest.raises(DeepRankingError, match="found layout None"):
        Index.open(place)


def test_many_that_make_an_index_at_once(place):
    """Of four processes one makes it, and all go on in it."""
    code = (
        "import sys\nfrom deep_ranking.search import Index\n"
        "from deep_ranking.search.store import IndexExistsError\n"
        "place, own = sys.argv[1:]\n"
        "try:\n    index = Index.create(place, 2, 'test')\n"
        "except IndexExistsError:\n    index = Index.open(place)\n    print('opened')\n"
        "for number in range(20):\n    index.add([f'{own}-{number}', 'shared'], [[1, 2], [3, number]])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, place, str(own)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for own in range(4)
    ]
    printed = [process.communicate(timeout=PATIENCE)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert sorted(printed) == ["", "opened\n", "opened\n", "opened\n"]
    with Index.open(place) as index:
        assert len(index) == 4 * 20 + 1
        assert index.store.version().partition("-")[0] == str(4 * 20)


def test_nothing_acknowledged_is_lost_when_the_indexing_process_is_killed(place, tmp_path):
    images, log = tmp_path / "images", tmp_path / "log"
    for i in range(80):
        write_image(images / f"{i:03}.png", str(i))

    def start(delay):
        command = [sys.executable, SCRIPT, images, place, log, delay]
        return subprocess.Popen(list(map(str, command)), env={**os.environ, "PYTHONPATH": str(ROOT)})

    process = start(0.02)
    wait_until(
        lambda: log.exists() and log.read_bytes().count(b"\n") >= 24, "24 images are in", process, 0.001
    )
    process.kill()
    process.wait()
    acknowledged = {Path(line).name for line in log.read_text().splitlines()}
    with closing(Index.open(place)) as index:
        assert acknowledged <= {image.path for image in index.snapshot.images}
        assert 24 <= len(index) < 80
    assert start(0).wait() == 0
    paths = find_images(images)
    vectors, _ = PixelEmbedder().embed([str(images / path) for path in paths])
    with Index.open(place) as index:
        assert [image.path for image in index.snapshot.images] == paths
        assert np.array_equal(index.snapshot.matrix, vectors)
