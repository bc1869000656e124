"""The store and its caches: nothing lost, nothing stale, nothing damaged believed."""

import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Index, Options
from deep_ranking.search.cache import is_sealed, seal
from deep_ranking.search.store import IndexExistsError

VECTORS = np.random.default_rng(0).standard_normal((400, 40)).astype(np.float32)
PATHS = [f"{i}.jpg" for i in range(len(VECTORS))]


@pytest.fixture
def folder(tmp_path):
    with Index.create(tmp_path / "index", 40, "test") as index:
        index.add(PATHS, VECTORS)
        index.search(VECTORS[0])
    return tmp_path / "index"


def searched(folder, options=None):
    with Index.open(folder) as index:
        return [(hit.path, round(hit.distance, 6)) for hit in index.search(VECTORS[7] + 0.1, 20, options)]


def test_a_replaced_path_is_there_once(folder):
    with Index.open(folder) as index:
        index.add(["7.jpg"], VECTORS[:1], ["new"])
        assert len(index) == len(PATHS)
        assert [hit.path for hit in index.search(VECTORS[0], 2)] == ["0.jpg", "7.jpg"]
        assert index.search(VECTORS[0], 1, Options(label="new"))[0].distance == 0


def test_removed_paths_are_gone_and_the_others_stay(folder):
    with Index.open(folder) as index:
        assert index.remove(["7.jpg", "8.jpg", "8.jpg", "never.jpg"]) == 2
        assert len(index) == len(PATHS) - 2
        assert "7.jpg" not in {hit.path for hit in index.search(VECTORS[7], None)}
    with sqlite3.connect(folder / "store.sqlite") as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone()[0] == len(PATHS) - 2
    database.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda b: b"\0" not in b), min_size=1, unique=True))
def test_any_file_name_comes_back_as_it_went_in_and_in_order(tmp_path_factory, names):
    paths = [name.decode("utf-8", "surrogateescape") for name in names]
    with Index.create(tmp_path_factory.mktemp("names"), 1, "test") as index:
        index.add(paths, np.arange(len(paths))[:, None])
        assert [image.path.encode("utf-8", "surrogateescape") for image in index.snapshot.images] == sorted(
            names
        )
        for row, path in enumerate(paths):
            assert index.search(path, 1)[0].path == path
            assert index.search(path, 1)[0].distance == 0
            assert index.snapshot.matrix[index.snapshot.row(path)] == row


def test_a_snapshot_stays_as_it_was_until_refreshed(folder):
    with Index.open(folder) as reader, Index.open(folder) as writer:
        before = reader.search(VECTORS[3], 5)
        writer.remove(["3.jpg"])
        assert reader.search(VECTORS[3], 5) == before
        reader.refresh()
        assert reader.search(VECTORS[3], 5) == writer.search(VECTORS[3], 5) != before


def test_an_unchanged_store_keeps_its_version_and_its_caches(folder):
    caches = {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}
    with Index.open(folder) as index:
        index.remove(["never.jpg"])
        index.write(metadata={"images": "elsewhere"})
        index.search(VECTORS[0])
    assert {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()} == caches


@pytest.mark.parametrize("kind", [None, "clustered", "hnsw"])
@pytest.mark.parametrize(
    "damage", ["missing", "empty", "truncated", "garbage", "one byte", "zeros", "longer"]
)
def test_a_damaged_cache_is_made_again(folder, kind, damage):
    if kind:
        pytest.importorskip("faiss")
    options = Options(approximate=kind)
    right = searched(folder, options)
    (cache,) = (folder / "cache").glob(f"{kind or 'vectors'}-*")
    data = bytearray(cache.read_bytes())
    if damage == "missing":
        cache.unlink()
    elif damage == "one byte":
        data[len(data) // 2] ^= 1
        cache.write_bytes(data)
    else:
        cache.write_bytes(
            {
                "empty": b"",
                "truncated": data[: len(data) // 3],
                "garbage": np.random.default_rng(0).bytes(len(data)),
                "zeros": bytes(len(data)),
                "longer": data + b"\0",
            }[damage]
        )
    assert searched(folder, options) == right
    assert is_sealed(cache)


def test_a_mapped_matrix_answers_as_one_in_memory_does(folder, monkeypatch):
    right = searched(folder)
    monkeypatch.setattr("deep_ranking.search.cache.MAPPED_BYTES", 0)
    assert searched(folder) == right
    with Index.open(folder) as index:
        assert not index.snapshot.matrix.flags.owndata


def test_caches_of_older_versions_and_of_other_stores_are_removed(folder):
    with Index.open(folder) as index:
        index.remove(["1.jpg"])
        assert len(index) == len(PATHS) - 1
    assert len(list((folder / "cache").iterdir())) == 1
    for path in folder.glob("store.sqlite*"):
        path.unlink()
    with Index.create(folder, 40, "test") as index:
        index.add(PATHS[:5], VECTORS[10:15])
        assert [hit.path for hit in index.search(VECTORS[12], 1)] == ["2.jpg"]
    assert len(list((folder / "cache").iterdir())) == 1


def test_clusters_are_used_again_when_little_has_changed(folder, monkeypatch):
    pytest.importorskip("faiss")
    searched(folder, Options(approximate="clustered"))
    with Index.open(folder) as index:
        index.remove(PATHS[:20])
    monkeypatch.setattr("deep_ranking.search.approximate._clusters", None)  # a second k-means would fail
    assert len(searched(folder, Options(approximate="clustered", probe=1000))) == 20


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 24) + (1 << 16) + 5])
def test_a_seal_notices_any_change(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(0).bytes(size))
    assert not is_sealed(path)
    seal(path)
    assert is_sealed(path)
    data = bytearray(path.read_bytes())
    for place in {0, size // 2, size - 1, size, len(data) - 1} - {-1}:
        data[place] ^= 64
        path.write_bytes(data)
        assert not is_sealed(path)
        data[place] ^= 64


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are counted otherwise")
def test_who_checks_a_large_file_does_not_hold_it(tmp_path, run):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(256 << 20)
    seal(path)
    program = (
        "from pathlib import Path\n"
        "from deep_ranking.search.cache import is_sealed\n"
        "peak = lambda: int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
        "before = peak()\n"
        f"assert is_sealed(Path({str(path)!r}))\n"
        "print((peak() - before) // 1024)"
    )
    done = run("-c", program, fresh=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64, "MB"


def test_a_folder_without_an_index_says_how_to_make_one(tmp_path):
    with pytest.raises(
        DeepRankingError, match=r"expected an index, found no store\.sqlite in it; make one with"
    ):
        Index.open(tmp_path)
    assert not Index.exists(tmp_path)


def test_an_index_is_not_made_over_another(folder):
    with pytest.raises(DeepRankingError, match="there is an index already"):
        Index.create(folder, 3, "other")
    assert len(searched(folder)) == 20


def test_of_many_that_make_a_store_at_once_one_does_and_the_others_are_told(tmp_path):
    def make(number):
        barrier.wait()
        try:
            Index.create(tmp_path / str(number // 4), 3, "test").close()
        except IndexExistsError:
            return False
        return True

    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(make, range(80)))
    assert sum(made) == 20


def test_a_store_is_not_made_over_garbage(tmp_path):
    (tmp_path / "store.sqlite").write_text("hi\n")
    assert Index.exists(tmp_path)  # opening it says what is wrong
    with pytest.raises(DeepRankingError, match="damaged, or no SQLite file"):
        Index.create(tmp_path, 3, "test")


def test_a_store_that_was_never_finished_is_no_index_and_can_be_made(tmp_path):
    sqlite3.connect(tmp_path / "store.sqlite").close()
    (tmp_path / "store.sqlite").touch()
    assert not Index.exists(tmp_path)
    with pytest.raises(DeepRankingError, match="expected an index of layout 2, found an unfinished one"):
        Index.open(tmp_path)
    with Index.create(tmp_path, 1, "test") as index:
        assert len(index) == 0


def test_a_store_of_garbage_or_of_a_later_layout_is_refused(folder):
    database = sqlite3.connect(folder / "store.sqlite")
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(DeepRankingError, match="expected an index of layout 2, found layout 9") as later:
        Index.open(folder)
    assert "a later version of deep-ranking made it" in str(later.value)
    assert "delete" not in str(later.value)
    for path in folder.glob("store.sqlite*"):
        path.write_bytes(b"garbage" * 1000)
    with pytest.raises(DeepRankingError, match="damaged, or no SQLite file"):
        Index.open(folder)


def test_an_image_whose_vector_is_lost_is_an_error_not_a_row_of_zeros(folder):
    with sqlite3.connect(folder / "store.sqlite") as database:
        database.execute("DELETE FROM vectors WHERE rowid = 5")
    database.close()
    for path in (folder / "cache").iterdir():
        path.unlink()
    with Index.open(folder) as index, pytest.raises(DeepRankingError, match="has no vector"):
        index.search(VECTORS[0])


def test_without_faiss_an_approximate_search_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(DeepRankingError, match=r"pip install 'deep-ranking\[search\]'"):
        searched(folder, Options(approximate="hnsw"))
