"""Files of any bytes: each reader gives what it promises, or a DeepRankingError, and nothing else.

By default a few dozen inputs each, always the same; `make fuzz` gives each some 1,500, new ones each time.
"""

import contextlib
import io
import json
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import h5py
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from PIL import Image

from deep_ranking.arrays import read_array, read_arrays
from deep_ranking.datasets.archive import open_archive, unpack
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import read_image, read_size, read_thumbnail
from deep_ranking.network.file import load_network, read_metadata, save_network
from deep_ranking.network.weights import is_weights_only, load_blog_weights
from deep_ranking.ratings.store import RatingStore
from deep_ranking.search import Index
from deep_ranking.training.checkpoint import Checkpoint, Progress
from deep_ranking.triplets import Triplet, read_triplets, write_triplets

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
few = settings(max_examples=1500 if LONG else 40, suppress_health_check=list(HealthCheck))
fewer = settings(max_examples=300 if LONG else 12, suppress_health_check=list(HealthCheck))

refused = contextlib.suppress(DeepRankingError)


class Sound:
    """A sound file's bytes, which no report of a failure spells out."""

    def __init__(self, data: bytes):
        self.data = data

    def __repr__(self):
        return f"<{len(self.data)} bytes>"


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from([".txt", ".txt.gz"]))
@example('"a,b\nc'.encode("utf-16"), ".txt")
@example("a.jpg,b.jpg,c.jpg".encode("utf-16-le"), ".txt")
@example(b"\x1f\x8b\x08\x00broken", ".txt")
@few
def test_any_bytes_as_triplets(folder, data, ending):
    path = folder / f"any{ending}"
    path.write_bytes(data)
    with refused:
        for triplet in read_triplets(path):
            assert len(triplet) == 3
            assert all(triplet)
            assert not any("\0" in name for name in triplet)


NAMES = st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=9)


@given(st.lists(st.builds(Triplet, NAMES, NAMES, NAMES), max_size=9), st.sampled_from([".txt", ".txt.gz"]))
@few
def test_any_names_come_back_as_they_went_in(folder, triplets, ending):
    path = folder / f"names{ending}"
    write_triplets(path, triplets)
    assert list(read_triplets(path)) == triplets


def picture(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    image, data = Image.fromarray(noise), io.BytesIO()
    if kind == "GIF":
        image.save(data, kind, save_all=True, append_images=[image.rotate(90)] * 2)
    elif kind == "JPEG":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.convert("CMYK").save(data, kind, exif=exif)
    elif kind == "PNG":
        image.quantize(9).save(data, kind, transparency=1)
    elif kind == "TIFF":
        Image.fromarray(noise[..., 0].astype(np.uint16) * 256).save(data, kind)
    else:
        image.save(data, kind)
    return data.getvalue()


PICTURES = {kind: picture(kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")}


@given(st.sampled_from(sorted(PICTURES)), damages(), st.sampled_from([None, (8, 8)]))
@settings(few, max_examples=3000 if LONG else 200)
def test_any_image(kind, changes, size):
    data = damaged(PICTURES[kind], changes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with refused:
            pixels = read_image(data, size)
            assert pixels.dtype == np.uint8
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
            assert size is None or pixels.shape == (*size, 3)
        with refused:
            assert max(read_thumbnail(data, 10).size) <= 10
        with refused:
            assert min(read_size(data)) >= 1


@pytest.fixture(scope="module")
def archive():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as opened:
        for number in range(3):
            opened.writestr(f"folder/{number}.txt", b"content " * 50)
    return Sound(data.getvalue())


def unpack_all(path: Path) -> None:
    with tempfile.TemporaryDirectory() as inside:
        target = Path(inside) / "target"
        target.mkdir()
        with contextlib.suppress(DeepRankingError, OSError), open_archive(path) as opened:
            targets = {m.filename: m.filename for m in opened.infolist() if not m.is_dir()}
            unpack(opened, targets, target, "", quiet=True)
        assert [entry.name for entry in Path(inside).iterdir()] == ["target"]
        assert sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) < 10**6


@given(damages())
@few
def test_any_archive(folder, archive, changes):
    (folder / "any.zip").write_bytes(damaged(archive.data, changes))
    unpack_all(folder / "any.zip")


PARTS = st.sampled_from(
    ["..", ".", "", "a", "b ", "C:", "con", "~", "\\", "..\\x", "a" * 300, "\udcff", "\n"]
)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=4), st.integers(0, 0xFFFF))
@few
def test_an_archive_of_any_names(folder, names, mode):
    with warnings.catch_warnings(), zipfile.ZipFile(folder / "names.zip", "w") as made:
        warnings.simplefilter("ignore")
        for name in names:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            info.external_attr = mode << 16
            made.writestr(info, b"content")
    unpack_all(folder / "names.zip")


@given(damages())
@few
def test_any_arrays(folder, changes):
    data = io.BytesIO()
    np.savez(data, paths=np.array(["a.jpg", "b.jpg"]), vectors=np.eye(2, 9))
    (folder / "any.npz").write_bytes(damaged(data.getvalue(), changes))
    with refused, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all(isinstance(array, np.ndarray) for array in read_arrays(folder / "any.npz").values())
    data = io.BytesIO()
    np.save(data, np.eye(2, 9))
    (folder / "any.npy").write_bytes(damaged(data.getvalue(), changes))
    with refused, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not read_array(folder / "any.npy").dtype.hasobject


@pytest.fixture(scope="module")
def store(folder):
    with Index.create(folder / "sound", 3, "by hand") as index:
        index.add(["a/1.jpg", "a/2.jpg", "b/1.jpg"], np.eye(3), ["a", "a", "b"])
    return Sound((folder / "sound/store.sqlite").read_bytes())


@given(damages())
@example([(0.3125, "set", b"a")])  # tables that can be read and no longer searched
@few
def test_any_index(store, changes):
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "store.sqlite").write_bytes(damaged(store.data, changes))
        with refused, Index.open(place) as index:
            for hit in index.search(np.ones(3, np.float32), 2):
                assert isinstance(hit.path, str)
                assert np.isfinite(hit.distance)
            index.add(["c.jpg"], np.ones((1, 3)), [""])


VALUES = (
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=9) | st.binary(max_size=16)
)
COLUMNS = [("meta", "value"), ("vectors", "vector"), ("vectors", "hash")]
COLUMNS += [("images", name) for name in ("path", "hash", "size", "mtime", "label")]


@given(st.sampled_from(COLUMNS), VALUES, st.integers(1, 4))
@example(("meta", "value"), "100000000000", 1)
@example(("meta", "value"), "999999999", 1)
@example(("images", "path"), None, 1)
@few
def test_an_index_of_any_values(store, column, value, row):
    import sqlite3

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "store.sqlite"
        path.write_bytes(store.data)
        database = sqlite3.connect(path)
        with contextlib.suppress(sqlite3.IntegrityError), database:
            table, name = column
            database.execute(f"UPDATE {table} SET {name} = ? WHERE rowid = ?", (value, row))
        database.close()
        with refused, Index.open(place) as index:
            for hit in index.search(np.ones(3, np.float32), 2):
                assert isinstance(hit.path, str)
                assert np.isfinite(hit.distance)


@given(damages())
@few
def test_any_ratings(folder, changes):
    sound = folder / "ratings.sqlite"
    if not sound.exists():
        with RatingStore(sound) as store:
            for number in range(9):
                store.add("Ann", f"{number}.jpg", "a.jpg", "b.jpg", "a")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "r.sqlite"
        path.write_bytes(damaged(sound.read_bytes(), changes))
        with refused, RatingStore(path) as store:
            assert all(isinstance(rating.query, str) for rating in store.ratings())
            store.add("Bob", "q.jpg", "a.jpg", "b.jpg", "b")
            store.undo("Bob")


@pytest.fixture(scope="module")
def models(folder):
    """A small network's files."""
    network = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2, name="head")]
    )
    for ending in (".h5", ".keras"):
        save_network(network, folder / f"sound{ending}", {"made": "here"})
    return {ending: Sound((folder / f"sound{ending}").read_bytes()) for ending in (".h5", ".keras")}


@given(st.sampled_from([".h5", ".keras"]), damages())
@few
def test_any_bytes_as_a_model(folder, models, ending, changes):
    path = folder / f"any{ending}"
    path.write_bytes(damaged(models[ending].data, changes))
    with refused:
        assert isinstance(read_metadata(path), dict)
    with refused:
        is_weights_only(path)
    with refused:
        load_blog_weights(keras.Sequential([keras.Input((2,))]), path)


@given(st.sampled_from([".h5", ".keras"]), damages())
@fewer
def test_any_bytes_as_a_network(folder, models, ending, changes):
    path = folder / f"any{ending}"
    path.write_bytes(damaged(models[ending].data, changes))
    with refused:
        load_network(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(st.data(), JSON)
@fewer
def test_any_description_of_a_network(folder, models, data, value):
    path = folder / "described.h5"
    path.write_bytes(models[".h5"].data)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        place = config
        while True:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
                break
            place = place[key]
        place[key] = value
        file.attrs["model_config"] = json.dumps(config)
    with refused:
        load_network(path)


@given(damages())
@example([(0.1484375, "set", b"X")])  # of which h5py raises a SystemError
@few
def test_any_checkpoint(folder, changes):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    checkpoint = Checkpoint(folder / "any.checkpoint", "run")
    checkpoint.save(model, Progress(3, 0.5, ({"epoch": 0},)))
    checkpoint.path.write_bytes(damaged(checkpoint.path.read_bytes(), changes))
    with refused:
        assert isinstance(checkpoint.restore(model), Progress)
