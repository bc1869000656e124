"""A large segment and what changed since: after any changes as a plain dictionary, searched one by one."""

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from changing import DIMENSION, vector
from waiting import PATIENCE, wait_until

from deep_ranking.files import path_key
from deep_ranking.search import Index, Options
from deep_ranking.search.cache import seal
from deep_ranking.search.image import Image
from deep_ranking.search.learned import KEY, Stretch
from deep_ranking.search.part import Part
from deep_ranking.search.segment import Segment, read_segment, write_segment
from deep_ranking.search.stores import changes, local
from deep_ranking.search.table import ImageTable

ROOT = Path(__file__).parents[2]
LABELS = "", "red", "green", "blue"
MAP = Stretch(np.eye(DIMENSION, 1, dtype=np.float32), np.array([3.0], np.float32))


def right_hits(there, learned, query, k, *, labels=None, folder="", bottom=False, within=np.inf, beyond=0.0):
    """Return what a search must find, by one look at each image."""
    moved = learned or (lambda vectors: vectors)
    rows = [
        (float(np.linalg.norm(moved(own[None])[0].astype(float) - query)), path)
        for path, (own, label) in there.items()
        if (labels is None or label in labels) and path.startswith(folder)
    ]
    rows = [(far, path) for far, path in rows if beyond <= far <= within]
    rows.sort(key=lambda row: (-row[0] if bottom else row[0], path_key(row[1])))
    return [path for _, path in rows[:k]]


def play(folder, seed, steps=14):
    """Make a random sequence of changes and searches, by two objects; tell how often what was read."""
    chance, numbers, there, learned = random.Random(seed), count(seed * 1000), {}, None
    seen = {"parts": 0, "one": 0}
    Index.create(folder, DIMENSION, "test").close()
    objects = [Index.open(folder), Index.open(folder)]

    def path():
        return f"{chance.choice('abc')}/{chance.randrange(60):02}.jpg"

    for _ in range(steps):
        index = chance.choice(objects)
        act = chance.choice(("add", "add", "bulk", "remove", "learn", "reopen", "forget", "search"))
        if act in ("add", "bulk"):
            paths = sorted({path() for _ in range(chance.randint(1, 3) if act == "add" else 40)})
            new = {p: (vector(next(numbers)), chance.choice(LABELS)) for p in paths}
            if len(new) > 1 and chance.random() < 0.5:  # copies
                new[paths[0]] = new[paths[1]][0], new[paths[0]][1]
            index.add(paths, [own for own, _ in new.values()], [label for _, label in new.values()])
            there |= new
        elif act == "remove":
            paths = [*chance.sample(sorted(there), min(len(there), chance.randint(1, 4))), "never.jpg"]
            assert index.remove(paths) == len(paths) - 1
            there = {p: own for p, own in there.items() if p not in paths}
        elif act == "learn":
            learned = None if learned else MAP
            index.write(metadata={KEY: learned.to_text() if learned else ""})
        elif act == "reopen":
            place = objects.index(index)
            index.close()
            objects[place] = Index.open(folder)
        elif act == "forget":
            shutil.rmtree(folder / "cache", ignore_errors=True)
        for index in objects:
            index.refresh()
        index = chance.choice(objects)
        seen["parts" if len(index.snapshot.parts) > 1 else "one"] += 1
        check(index, there, learned, chance)
    for index in objects:
        index.close()
    return seen


def check(index, there, learned, chance):
    """Assert that an index holds what is there, and finds what it must, however it is asked."""
    snapshot = index.snapshot
    assert len(index) == len(there)
    assert sum(snapshot.labels().values()) == len(there)
    query = vector(chance.randrange(10**6))
    k = chance.choice((1, 5, 1000, None))
    filters = chance.choice(
        (
            {}, {"bottom": True}, {"within": 2.0}, {"beyond": 1.5}, {"beyond": 1.0, "bottom": True},
            {"labels": ("red",)}, {"labels": ("green", "red")}, {"folder": "b/"},
        )
    )  # fmt: skip
    expected = right_hits(there, learned, query, k, **filters)
    asked = {"label" if name == "labels" else name: value for name, value in filters.items()}
    found = snapshot.find(query[None], k, Options(**asked))[0]
    assert [hit.path for hit in found] == expected
    assert [hit.label for hit in found] == [there[hit.path][1] for hit in found]
    if k and not filters:
        many = index.search_batch(np.stack([query, -query]), k)
        moved = snapshot.moved(np.stack([query, -query]))
        for hits, one in zip(many, moved, strict=True):
            assert [hit.path for hit in hits] == right_hits(there, learned, one, k)
    if there:
        path = chance.choice(sorted(there))
        own = np.linalg.norm(index.vectors(path)[0] - snapshot.moved(there[path][0][None])[0])
        assert own == pytest.approx(0, abs=1e-6)
        copies = {p for p, (own, _) in there.items() if np.array_equal(own, there[path][0])}
        left = {hit.path for hit in index.search(path, None, leave_self_out=True)}
        assert path not in left
        assert left >= set(there) - copies
    if chance.random() < 0.3:  # what needs all in one
        assert [image.path for image in snapshot.images] == sorted(there, key=path_key)
        assert index.store.images() == list(snapshot.images)
        for image, own in zip(snapshot.images, snapshot.matrix, strict=True):
            np.testing.assert_array_equal(own, snapshot.moved(there[image.path][0][None])[0])


@pytest.mark.parametrize("large", [1, 10])
def test_after_random_changes_it_is_a_dictionary(tmp_path, monkeypatch, large):
    monkeypatch.setattr(local, "_LARGE", large)  # of 1, changes stay apart for long
    seen = [play(tmp_path / str(seed), seed) for seed in range(15)]
    assert all(sum(one[kind] for one in seen) > 10 for kind in ("parts", "one"))


@pytest.mark.long
def test_after_a_thousand_random_sequences_it_is_a_dictionary(tmp_path, monkeypatch):
    for seed in range(1000):
        monkeypatch.setattr(local, "_LARGE", random.Random(seed).choice((1, 3, 10)))
        monkeypatch.setattr(changes, "KEPT", random.Random(seed).choice((5, 1 << 16)))
        play(tmp_path / "index", 1000 + seed)
        shutil.rmtree(tmp_path / "index")


@pytest.fixture
def thousand(tmp_path):
    with Index.create(tmp_path, DIMENSION, "test") as index:
        index.add([f"{row:04}" for row in range(1000)], [vector(row) for row in range(1000)])
        index.search(vector(0), 1)
    return tmp_path


def written(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}


def test_a_change_writes_only_what_has_changed(thousand):
    before = written(thousand)
    with Index.open(thousand) as index:
        index.add(["new"], [vector(5)])
        assert [hit.path for hit in index.search(vector(5), 2)] == ["0005", "new"]
        index.remove(["0005"])
        assert [hit.path for hit in index.search(vector(5), 1)] == ["new"]
    with Index.open(thousand) as index:
        assert [len(part) for part in index.snapshot.parts] == [999, 1]
        assert [hit.path for hit in index.search(vector(5), 1)] == ["new"]
    assert written(thousand) == before


def test_of_a_tenth_that_has_changed_one_segment_is_made_again(thousand):
    before = written(thousand)
    with Index.open(thousand) as index:
        index.remove([f"{row:04}" for row in range(100)])
        assert (len(index), len(index.snapshot.parts)) == (900, 1)
        assert written(thousand) == before
        index.add(["0999"], [vector(0)])
        assert (len(index), len(index.snapshot.parts)) == (900, 1)
        assert [hit.path for hit in index.search(vector(0), 1)] == ["0999"]
    assert len(written(thousand)) == 1
    assert written(thousand).keys().isdisjoint(before)


@pytest.mark.parametrize("kind", ["clustered", "hnsw"])
def test_a_structure_is_kept_while_images_come_and_go(thousand, kind, monkeypatch):
    pytest.importorskip("faiss")
    with Index.open(thousand) as index:
        index.search(vector(0), 1, approximate=kind)
        before = written(thousand)
        index.add(["new"], [vector(7)])
        index.remove(["0007", *(f"{row:04}" for row in range(900, 950))])
        query = vector(7) + np.float32(0.01)
        expected = [hit.path for hit in index.search(query, 10)]
        assert expected[0] == "new"
        found = [hit.path for hit in index.search(query, 10, approximate=kind, probe=1000)]
        assert found == expected
        assert written(thousand) == before


def test_a_reader_that_saw_an_older_state_than_is_remembered_reads_all_again(thousand, monkeypatch):
    monkeypatch.setattr(changes, "KEPT", 3)
    with Index.open(thousand) as reader, Index.open(thousand) as writer:
        assert len(reader) == 1000
        for row in range(5):
            writer.add([f"new {row}"], [vector(row)])
        reader.refresh()
        assert (len(reader), len(reader.snapshot.parts)) == (1005, 1)
        writer.add([f"more {row}" for row in range(9)], [vector(row) for row in range(9)])  # of one change
        writer.add(["last"], [vector(3)])
        reader.refresh()
        assert len(reader) == 1015
        assert [hit.path for hit in reader.search(vector(3), 4)] == ["0003", "last", "more 3", "new 3"]


def test_an_index_of_the_first_layout_is_given_its_log_and_loses_nothing(thousand):
    with sqlite3.connect(thousand / "store.sqlite") as database:
        for table in ("history", "changes", "loose"):
            database.execute(f"DROP TABLE {table}")
        database.execute("INSERT INTO vectors VALUES (x'00', x'00')")  # which no image has
        database.execute("PRAGMA user_version = 1")
    database.close()
    with Index.open(thousand) as index:
        assert len(index) == 1000
        index.add(["new"], [vector(3)])
        assert len(index.snapshot.parts) == 2
        assert [hit.path for hit in index.search(vector(3), 2)] == ["0003", "new"]
        index.remove(["new"])  # and what no image has
    with sqlite3.connect(thousand / "store.sqlite") as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone() == (1000,)
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
    database.close()


def test_an_index_of_the_first_layout_that_may_only_be_read_is_read(thousand, monkeypatch):
    with sqlite3.connect(thousand / "store.sqlite") as database:
        for table in ("history", "changes", "loose"):
            database.execute(f"DROP TABLE {table}")
        database.execute("PRAGMA user_version = 1")
    database.close()
    read = local.connect_to_read
    monkeypatch.setattr(local, "connect_to_read", lambda path: (read(path)[0], True))
    with Index.open(thousand) as index:
        assert index.search(vector(3), 1)[0].path == "0003"
    with sqlite3.connect(thousand / "store.sqlite") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    database.close()


def test_two_write_while_a_third_searches(tmp_path):
    """Each state that is seen holds a first part of what either has written, and only that."""
    Index.create(tmp_path, DIMENSION, "test").close()
    errors, total = [], 120

    def write(name):
        try:
            with Index.open(tmp_path) as index:
                for row in range(total):
                    index.add([f"{name}{row:03}"], [vector(row)])
                    if row % 3 == 2:
                        index.remove([f"{name}{row - 1:03}"])
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    kinds, give_up = set(), time.monotonic() + PATIENCE
    with Index.open(tmp_path) as index:
        while any(writer.is_alive() for writer in writers) and time.monotonic() < give_up:
            index.refresh()
            paths = {hit.path for hit in index.search(vector(0), None)}
            assert len(paths) == len(index)
            kinds.add(len(index.snapshot.parts))
            for name in "ab":
                own = sorted(int(path[1:]) for path in paths if path[0] == name)
                last = max(own, default=-1)
                gone = {row for row in range(last + 1) if row % 3 == 1 and row + 1 <= last}
                full = [row for row in range(last + 1) if row not in gone]
                assert own in (full, sorted({*full, last - 1} - {-1}))
        for writer in writers:
            writer.join()
        assert not errors
        index.refresh()
        assert len(index) == 2 * (total - total // 3)
    assert kinds == {1, 2}


def killed_while_changing(tmp_path, times, seed):
    """Kill a process that changes an index again and again, and look at what it leaves."""
    chance, there = random.Random(seed), dict[str, int]()
    Index.create(tmp_path / "index", DIMENSION, "test").close()
    for attempt in range(times):
        log = tmp_path / f"log {attempt}"
        script = Path(__file__).with_name("changing.py")
        process = subprocess.Popen(
            [sys.executable, script, tmp_path / "index", log, f"{seed} {attempt}"],
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_until(lambda log=log: log.exists() and log.read_bytes().count(b"\n") > 9, "it changes", process)
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.communicate()[1] == b""
        lines = [json.loads(line) for line in log.read_text().split("\n")[:-1]]
        for done, change in lines:
            if done == "put":
                there |= change
            elif done == "removed":
                there = {path: own for path, own in there.items() if path not in change}
        begun = lines[-1][1] if lines[-1][0] == "begin" else {}  # it may have been kept, whole or not at all
        states = [there, {**there, **begun}, {p: n for p, n in there.items() if p not in begun}]
        with Index.open(tmp_path / "index") as index:
            images, matrix = index.snapshot.images, index.snapshot.matrix
            found = {image.path: row for row, image in enumerate(images)}
            there = next(s for s in states if s.keys() == found.keys() and same(s, found, matrix))
            assert len(index.search(vector(1), None)) == len(there)


def same(state, rows, matrix):
    return all(np.array_equal(matrix[rows[path]], vector(number)) for path, number in state.items())


def test_killed_while_it_changes_and_writes_together_it_is_one_of_its_states(tmp_path):
    killed_while_changing(tmp_path, times=3, seed=0)


@pytest.mark.long
def test_killed_thirty_times_while_it_changes_it_is_one_of_its_states(tmp_path):
    killed_while_changing(tmp_path, times=30, seed=1)


def test_what_is_gone_crowds_out_nothing():
    """Nine of ten rows are gone, among them all that are near, and all that are far."""
    matrix = np.arange(1000, dtype=np.float32)[:, None]
    gone = np.concatenate([np.arange(450), np.arange(550, 1000)])
    part = Part(Segment([Image(f"{row:04}", b"%d" % row, 0, 0) for row in range(1000)], matrix), gone)
    for queries in (np.zeros((1, 1), np.float32), np.zeros((40, 1), np.float32)):
        for k in (1, 30, 100, 500):
            for hits in part.find(queries, k, Options()):
                assert [hit.path for hit in hits] == [f"{row:04}" for row in range(450, 550)][:k]
    for options in (Options(bottom=True), Options(beyond=1.0, bottom=True)):
        (hits,) = part.find(np.zeros((1, 1), np.float32), 3, options)
        assert [hit.path for hit in hits] == ["0549", "0548", "0547"]


def test_vectors_of_any_length_are_found_whatever_is_asked_and_gone(tmp_path, monkeypatch):
    """The square of 3e20 is more than float32 holds."""
    monkeypatch.setattr(local, "_LARGE", 1)
    with Index.create(tmp_path, 2, "test") as index:
        index.add([*"abcdefghijkl"], [[1, 0], [3e20, 0], *([row, 0] for row in range(2, 12))])
        for there in ("bl", "bk"):
            found = [hit.path for hit in index.search([0, 0], None, beyond=10.5)]
            assert (found, len(index.snapshot.parts)) == (sorted(there, reverse=True), 1 + (there == "bk"))
            assert index.search([0, 0], 1, bottom=True)[0].path == "b"
            index.remove(["l"])
            index.add(["k"], [[11, 0]])


def test_a_cache_of_before_there_were_marks_is_of_no_state(thousand):
    (path,) = (thousand / "cache").iterdir()
    path.rename(path.with_name("-".join(path.stem.split("-")[:3]) + path.suffix))
    with Index.open(thousand) as index:
        assert (len(index), index.search(vector(5), 1)[0].path) == (1000, "0005")


def test_a_segment_is_read_of_one_file_though_another_is_put_in_its_place(tmp_path, monkeypatch):
    """Who makes the segment of a state from scratch may number its labels otherwise."""
    images = [
        Image(name, name.encode() * 32, 0, 0, label) for name, label in zip("ab", ("x", "y"), strict=True)
    ]
    turned = ImageTable.of(images[::-1]).taken(np.array([1, 0]))
    for name, table in (("one", ImageTable.of(images)), ("other", turned)):
        write_segment(tmp_path / name, table, 1, lambda matrix: matrix.fill(0))
        seal(tmp_path / name)
    read, left = np.lib.format.read_array_header_1_0, ["other"]

    def read_and_replace(file):
        if left:
            (tmp_path / left.pop()).replace(tmp_path / "one")
        return read(file)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", read_and_replace)
    assert [*read_segment(tmp_path / "one", 1).images] == images
    assert not left


def test_labels_that_no_image_has_any_more_are_forgotten():
    table = ImageTable.of([Image(name, b"", 0, 0, label) for name, label in ("ax", "by", "cx", "dz")])
    some = table.taken(np.array([3, 0]))
    assert [image.label for image in some] == ["z", "x"]
    assert [text.tobytes() for text in some.arrays()[-2:-1]] == [b"xz"]
    assert {label: rows.tolist() for label, rows in some.rows_of_label().items()} == {"x": [1], "z": [0]}
    assert len(table.taken(np.arange(0)).arrays()[-1]) == 1
