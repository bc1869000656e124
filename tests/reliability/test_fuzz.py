"""Files of any bytes: each reader gives what it promises, or a DeepRankingError, and nothing else.

By default a few dozen inputs each, always the same; `make fuzz` gives each some 1,500, new ones each time.
"""

import contextlib
import functools
import io
import json
import os
import sqlite3
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from readers import READERS, Reader, repacked

from deep_ranking.triplets import Triplet, read_triplets, write_triplets

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
few = settings(max_examples=1500 if LONG else 40, suppress_health_check=list(HealthCheck))
fewer = settings(max_examples=300 if LONG else 12, suppress_health_check=list(HealthCheck))
most = settings(max_examples=3000 if LONG else 200, suppress_health_check=list(HealthCheck))
TIMES = {"image": most, "network": fewer}

of_each_reader = pytest.mark.parametrize("kind", READERS)


def reader_of(kind: str) -> Reader:
    if missing := READERS[kind].missing():
        pytest.skip(f"needs {', '.join(missing)}")
    return READERS[kind]


@functools.cache
def sound(kind: str) -> dict[str, bytes]:
    return dict(READERS[kind].sound())


@st.composite
def damages(draw):
    """What is done to a sound file: bytes changed, put in or taken out, at places of 0..1 of its length."""
    place = st.floats(0, 1, exclude_max=True)
    change = st.tuples(
        place, st.sampled_from(["set", "put", "cut", "zero"]), st.binary(min_size=1, max_size=8)
    )
    return draw(st.lists(change, min_size=1, max_size=6))


def damaged(data: bytes, changes) -> bytes:
    result = bytearray(data)
    for place, how, new in changes:
        start = int(place * len(result))
        if how == "set":
            result[start : start + len(new)] = new
        elif how == "put":
            result[start:start] = new
        elif how == "zero":
            result[start : start + 64] = bytes(64)
        else:
            del result[start : start + new[0] * 4]
    return bytes(result)


MEMBERS = st.none() | st.integers(0, 9)
"""Which member of an archive is damaged, so that its checksum hides the damage; None: the file as it is."""


@of_each_reader
def test_any_damage(kind):
    reader = reader_of(kind)

    @TIMES.get(kind, few)
    @given(st.sampled_from(sorted(sound(kind))), damages(), MEMBERS)
    def ask(name, changes, member):
        reader.ask(name, repacked(sound(kind)[name], member, lambda data: damaged(data, changes)))

    ask()


@of_each_reader
def test_any_bytes(kind):
    reader = reader_of(kind)

    @few
    @given(
        st.sampled_from(sorted(sound(kind))), st.binary(max_size=200) | st.text(max_size=200).map(str.encode)
    )
    def ask(name, data):
        reader.ask(name, data)

    ask()


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("checkpoint", "c.checkpoint", [(0.1484375, "set", b"X")]),  # of which h5py raises a SystemError
        ("drawn images", "relevance.csv", b"\x80"),
        ("drawn images", "relevance.csv", b'path,class,hue,size,angle\n"'),
        ("drawn images", "relevance.csv", b"path,class,hue,size,angle\na,b,nan,0,0"),
        ("golden feature", "g.json", b"[" * 100_000),
        ("golden feature", "g.json", b'{"golden_feature": {"hog": 1' + b"0" * 400 + b"}}"),
        ("hierarchy", "h.json", b"[" * 100_000),
        ("index", "store.sqlite", [(0.3125, "set", b"a")]),  # tables that are read and no longer searched
        ("index", "store.sqlite", [(0.373870849609375, "set", b"a")]),  # a version that is no longer found
        ("pairs", "p.parquet", [(0.0, "put", b"\0")]),
        ("table", "t.parquet", [(0.0, "put", b"\0")]),
        ("triplets", "t.txt", '"a,b\nc'.encode("utf-16")),
        ("triplets", "t.txt", "a.jpg,b.jpg,c.jpg".encode("utf-16-le")),
        ("triplets", "t.txt", b"\x1f\x8b\x08\x00broken"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_found(kind, name, found):
    """The smallest input of each crash that was found: bytes, or what is done to a sound file."""
    data = found if isinstance(found, bytes) else damaged(sound(kind)[name], found)
    reader_of(kind).ask(name, data)


@pytest.mark.parametrize(
    ("kind", "name", "array"),
    [
        ("embeddings", "paths", np.array("a.jpg")),
        ("embeddings", "paths", np.full(2, 0x110000, np.uint32).view("<U1")),
        ("embeddings", "paths", np.full(2, 0x110000, ">u4").view(">U1")),
        ("embeddings", "vectors", np.array([["x"], ["y"]])),
        ("embeddings", "vectors", np.full((2, 2), np.nan)),
        ("sampler", "categories", np.full(6, 2)),
        ("sampler", "categories", np.full(6, -1)),
        ("sampler", "counts", np.ones(2)),
        ("sampler", "drawn", np.array(np.inf)),
        ("sampler", "ids", np.arange(5)),
        ("sampler", "settings", np.array("[" * 100_000)),
        ("sampler", "thresholds", np.array(1.0)),
        ("sampler", "weights", np.full(6, np.nan)),
        ("sampler", "carried.colour", np.ones((5, 2))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_do_not_fit_one_another(kind, name, array):
    ((file, data),) = sound(kind).items()
    changed = io.BytesIO()
    np.savez(changed, **{**np.load(io.BytesIO(data)), name: array})
    READERS[kind].ask(file, changed.getvalue())


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "0,0", "GNU.sparse.size": "1000000000000"},
        {"GNU.sparse.map": "x,y", "GNU.sparse.size": "1"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1"},
    ],
)
def test_a_tar_file_of_a_sparse_image(headers):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = headers
        archive.addfile(info)
    reader_of("tar").ask("t.tar", data.getvalue())


NAMES = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=9)


@given(st.lists(st.builds(Triplet, NAMES, NAMES, NAMES), max_size=9), st.sampled_from([".txt", ".txt.gz"]))
@few
def test_any_names_come_back_as_they_went_in(tmp_path_factory, triplets, ending):
    path = tmp_path_factory.getbasetemp() / f"names{ending}"
    write_triplets(path, triplets)
    assert list(read_triplets(path)) == triplets


PARTS = st.sampled_from(
    ["..", ".", "", "a", "b ", "C:", "con", "~", "\\", "..\\x", "a" * 300, "\udcff", "\n"]
)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=4), st.integers(0, 0xFFFF))
@few
def test_an_archive_of_any_names(names, mode):
    data = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(data, "w") as made:
        warnings.simplefilter("ignore")
        for name in names:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.external_attr = mode << 16
            made.writestr(info, b"content")
    READERS["archive"].ask("names.zip", data.getvalue())


VALUES = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=9) | st.binary(max_size=16)
)
COLUMNS = {
    "index": [
        *(("meta", "value"), ("vectors", "vector"), ("vectors", "hash")),
        *(("images", name) for name in ("path", "hash", "size", "mtime", "label")),
    ],
    "ratings": [("ratings", name) for name in ("rater", "query", "a", "b", "answer", "at", "weight")],
}


def with_value(kind: str, column: tuple[str, str], value: object, row: int) -> tuple[str, bytes]:
    """Return the name and the bytes of a database in which a value stands that none of ours would write."""
    ((name, data),) = sound(kind).items()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        database = sqlite3.connect(path)
        with contextlib.suppress(sqlite3.IntegrityError), database:
            table, of = column
            database.execute(f"UPDATE {table} SET {of} = ? WHERE rowid = ?", (value, row))
        database.close()
        return name, path.read_bytes()


@pytest.mark.parametrize("kind", COLUMNS)
def test_any_value_in_a_database(kind):
    @few
    @given(st.sampled_from(COLUMNS[kind]), VALUES, st.integers(1, 4))
    def ask(column, value, row):
        READERS[kind].ask(*with_value(kind, column, value, row))

    ask()


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("index", ("meta", "value"), "100000000000"),
        ("index", ("meta", "value"), "999999999"),
        ("index", ("images", "path"), None),
    ],
    ids=str,
)
def test_what_was_found_in_a_database(kind, column, value):
    READERS[kind].ask(*with_value(kind, column, value, 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def changed(description, value, data) -> None:
    """Put a value into a description, at a place that is drawn."""
    place = description
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = value
            return
        place = place[key]


@given(st.data(), JSON)
@fewer
def test_any_description_of_a_network(tmp_path_factory, data, value):
    path = tmp_path_factory.getbasetemp() / "described.h5"
    path.write_bytes(sound("network")["m.h5"])
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        changed(config, value, data)
        file.attrs["model_config"] = json.dumps(config)
    READERS["network"].ask("m.h5", path.read_bytes())


@pytest.mark.parametrize(("kind", "name"), [("golden feature", "g.json"), ("hierarchy", "h.json")])
def test_any_json(kind, name):
    @few
    @given(st.data(), JSON)
    def ask(data, value):
        description = [json.loads(sound(kind)[name])]
        changed(description, value, data)
        READERS[kind].ask(name, json.dumps(description[0]).encode())

    ask()
