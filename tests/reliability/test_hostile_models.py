"""Model files made to do harm: nothing from a file is run, and no more memory taken than they hold."""

import contextlib
import io
import json
import os
import re
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.embedding.baselines import untrained
from deep_ranking.errors import DeepRankingError
from deep_ranking.network import hdf5
from deep_ranking.network.file import (
    ModelFileError,
    at_most_weights,
    load_network,
    read_metadata,
    save_network,
)
from deep_ranking.reporting.page import _facts
from deep_ranking.training.checkpoint import Checkpoint

PACKAGE = Path(__file__).parents[2] / "deep_ranking"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small network in both formats."""
    folder = tmp_path_factory.mktemp("sound")
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4, name="head")]
    )
    for ending in (".h5", ".keras"):
        save_network(network, folder / f"model{ending}", {"made": "here"})
    return folder


def described(source: Path, target: Path, change) -> Path:
    """Write a model file again with a changed description of its network."""
    if source.suffix == ".h5":
        target.write_bytes(source.read_bytes())
        with h5py.File(target, "r+") as file:
            file.attrs["model_config"] = change(file.attrs["model_config"])
    else:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                new.writestr(name, change(data.decode()) if name == "config.json" else data)
    return target


def of_layer(text: str, change) -> str:
    """Change the description of the last layer."""
    config = json.loads(text)
    change(config["config"]["layers"][-1])
    return json.dumps(config)


def renamed(layer, name, module, config):
    layer.update(class_name=name, module=module, registered_name=None)
    layer["config"] = {"name": "head", **config}


@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize(
    ("name", "module", "config"),
    [
        ("Popen", "subprocess", {"args": ["touch", "HARM"]}),
        ("system", "os", {"command": "touch HARM"}),
        ("Harm", "harmful", {}),
        (
            "Lambda",
            "keras.layers",
            {"function": {"class_name": "function", "config": "system", "module": "os"}},
        ),
        (
            "Lambda",
            "keras.layers",
            {"function": {"class_name": "__lambda__", "config": {"code": "4wAAAA==", "defaults": None}}},
        ),
        ("TFSMLayer", "keras.layers", {"filepath": "HARM"}),
        ("TorchModuleWrapper", "keras.layers", {"module": {"class_name": "__bytes__", "config": {}}}),
        ("get_file", "keras.utils", {"origin": "file:///etc/hostname"}),
        ("load_model", "keras.saving", {"filepath": "x"}),
        ("BytePairTokenizer", "keras_hub.tokenizers", {"vocabulary": "HARM", "merges": "HARM"}),
        ("keras_hub>TextClassifier", "keras.layers", {}),
        ("Layer", "keras_nlp.layers", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_foreign_code_is_refused_and_not_run(sound, tmp_path, monkeypatch, ending, name, module, config):
    (tmp_path / "harmful.py").write_text("open('HARM', 'w'); Harm = print")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = described(
        sound / f"model{ending}",
        tmp_path / f"hostile{ending}",
        lambda text: of_layer(text, lambda layer: renamed(layer, name, module, config)),
    )
    with pytest.raises(ModelFileError, match=rf"hostile\{ending}: cannot be loaded as a model: "):
        load_network(path)
    assert not (tmp_path / "HARM").exists()


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_a_network_of_terabytes_is_refused_before_memory_is_taken(sound, tmp_path, ending):
    path = described(
        sound / f"model{ending}",
        tmp_path / f"huge{ending}",
        lambda text: of_layer(text, lambda layer: layer["config"].update(units=10**10)),
    )
    with pytest.raises(
        ModelFileError, match=r"it asks for 1,920,000,000,000 weights or more, where there is"
    ):
        load_network(path)
    assert load_network(sound / f"model{ending}")[1] == {"made": "here"}  # and the next is loaded as ever


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("no model", lambda config: {**config["config"]["layers"][1]}),
        ("no model", lambda config: {"module": "keras.optimizers", "class_name": "SGD", "config": {}}),
        ("no shape", lambda config: shapeless(config)),
        ("no pixels", lambda config: of_no_pixels(config)),
    ],
)
def test_a_file_of_something_else_that_keras_makes(sound, tmp_path, name, change):
    path = described(
        sound / "model.keras", tmp_path / "m.keras", lambda text: json.dumps(change(json.loads(text)))
    )
    found = {
        "no model": "expected a model, found a (Flatten|SGD)",
        "no shape": "found input shape None",
        "no pixels": r"found input shape \(None, 0, 8, 3\)",
    }[name]
    with pytest.raises(DeepRankingError, match=rf"m\.keras: .*{found}"):
        Model.load(path)


def shapeless(config):
    """Take away what says which images a network is given."""
    del config["build_config"], config["config"]["build_input_shape"], config["config"]["layers"][0]
    return config


def of_no_pixels(config):
    """Let the network pool images of no height."""
    shapeless(config)
    pooling = {"module": "keras.layers", "class_name": "GlobalAveragePooling2D", "config": {"name": "pool"}}
    images = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 0, 8, 3]},
    }
    config["config"]["layers"] = [images, pooling]
    return config


def test_the_bound_counts_all_layers_and_ends_with_the_block():
    def build():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(5), keras.layers.Dense(2)])

    with at_most_weights(4 * 5 + 5 + 5 * 2 + 2):
        build()
    with pytest.raises(DeepRankingError, match="asks for 37 weights"), at_most_weights(36):
        build()
    with pytest.raises(ZeroDivisionError), at_most_weights(1):
        print(1 / 0)
    build()


def test_an_input_of_terabytes_is_refused(tmp_path):
    pooled = keras.layers.GlobalAveragePooling2D()
    save_network(keras.Sequential([keras.Input((10**6, 10**6, 3)), pooled]), tmp_path / "m.keras", {})
    with pytest.raises(DeepRankingError, match="found one for 1000000 x 1000000"):
        Model.load(tmp_path / "m.keras")


@pytest.mark.parametrize(
    "settings",
    [
        None,
        [],
        {},
        {"network": {}, "weights": "none"},
        {"network": {"backbone": []}, "seed": 1, "weights": "none"},
        {"network": {"backbone": "simple", "image_size": "x"}, "seed": 1, "weights": "none"},
        {"network": {"backbone": "simple", "image_size": 32}, "seed": "x", "weights": "none"},
        {
            "network": {"backbone": "simple", "image_size": 32, "embedding_size": 10**10},
            "seed": 1,
            "weights": "none",
        },
    ],
    ids=str,
)
def test_a_model_that_says_of_itself_what_cannot_be(sound, settings):
    network, _ = load_network(sound / "model.h5")
    with pytest.raises(DeepRankingError, match=r"does not say how the network was made|asks for .* weights"):
        untrained(Model(network, {"settings": settings}))
    told = SimpleNamespace(embedder=Model(network, {"settings": settings, "metrics": {}, "triplets": 1}))
    assert _facts(told) == ["8 x 8 pixels", "4 numbers an image"]


@pytest.mark.parametrize("how", ["array", "external", "virtual", "link"])
def test_an_hdf5_file_that_tells_of_more_than_it_holds(sound, tmp_path, how):
    path, secret = tmp_path / "model.h5", tmp_path / "secret"
    path.write_bytes((sound / "model.h5").read_bytes())
    secret.write_bytes(b"\1" * 64)
    with h5py.File(path, "r+") as file:
        if how == "array":
            file.create_dataset("x", (10**6, 10**7), "f4", chunks=(1000, 1000))
        elif how == "external":
            file.create_dataset("x", (16,), "f4", external=[(str(secret), 0, 64)])
        elif how == "virtual":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(secret), "y", (4,))
            file.create_virtual_dataset("x", layout)
        else:
            file["x"] = h5py.ExternalLink(str(secret), "/y")
    for read in (load_network, read_metadata, Model.load):
        with pytest.raises(ModelFileError, match=r"model\.h5: .*x is (of shape|kept in|a link)"):
            read(path)


def heap(*objects, length=None):
    """A heap of texts as the format has it, by the numbers and sizes of its objects."""
    inside = b"".join(
        number.to_bytes(2, "little")
        + bytes(6)
        + size.to_bytes(8, "little")
        + bytes(-(-size // 8) * 8 * bool(number))
        for number, size in objects
    )
    return b"GCOL\1\0\0\0" + (16 + len(inside) if length is None else length).to_bytes(8, "little") + inside


@pytest.mark.parametrize(
    ("data", "damaged"),
    [
        (heap((1, 3), (2, 0), (3, 9)), False),
        (bytes(100) + heap((1, 3)) + bytes(5) + heap((1, 40)), False),
        (heap((1, 3), (0, 64)) + bytes(48), True),  # past its end
        (heap((1, 3), (0, 16)), False),  # free to the end
        (heap((1, 3), (0, 0)), True),
        (heap((1, 3), (0, 2**64 - 16)), True),
        (heap((1, 3), (0, 2**63), length=4096), True),
        (heap((1, 3), length=2**64 - 1), False),  # cut off, which the library tells
        (b"GCOL\1\0\0\0", False),
        (b"", False),
    ],
)
def test_the_guards_own_reading_of_heaps(data, damaged):
    """No library reads these bytes: they are no file of any."""
    assert hdf5.damaged_heap(data) == damaged


def test_a_damaged_heap_is_said_before_the_library_reads_the_file(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(heap((1, 3), (0, 0)))
    for read in (load_network, read_metadata, Model.load):
        with pytest.raises(ModelFileError, match=r"model\.h5: .*a damaged heap"):
            read(path)


class Counted(bytes):
    """Bytes that count how often they are searched and how much of them is read."""

    work = 0

    def find(self, wanted, start=0):
        found = super().find(wanted, start)
        self.work += (len(self) if found < 0 else found) - start + 1
        return found

    def __getitem__(self, part):
        self.work += 8
        return super().__getitem__(part)


@pytest.mark.parametrize("size", [10_000, 100_000])
@pytest.mark.parametrize("within", ["the first", "one another"])
def test_the_check_of_heaps_is_linear(monkeypatch, size, within):
    """Heads of heaps alone, each of which reaches to the end: a walk from each would be quadratic."""
    heads = size // 32
    data = b"".join(heap(length=32 * heads - 16 * head) for head in range(heads)) + 16 * heads * b"\0"
    if within == "the first":
        data = heap(length=16 + 16 * heads) * heads + (b"\1" + bytes(15)) * heads
    data, steps = Counted(data), []

    class Header:
        size = 16

        def unpack_from(self, data, place):
            steps.append(place)
            return struct.unpack_from("<HHxxxxQ", data, place)

    monkeypatch.setattr(hdf5, "_HEADER", Header())
    assert hdf5.damaged_heap(data)
    assert len(steps) <= len(data) / 16 + 1
    assert data.work <= 2 * len(data)


@pytest.mark.parametrize(
    ("depth", "wide", "allowed"),
    [(90, 1, True), (101, 1, False), (400, 1, False), (1, 300, True), (1, 301, False)],
)
def test_the_check_of_groups_has_limits_on_depth_and_links(tmp_path, monkeypatch, depth, wide, allowed):
    monkeypatch.setattr(hdf5, "MOST_LINKS", 300)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        inner = file
        for _ in range(depth - 1 if wide > 1 else depth):
            inner = inner.create_group("g")
        for number in range(wide if wide > 1 else 0):
            file[f"{number}"] = file["/"]  # to itself: each is looked at once
    begun = time.process_time()
    refused = pytest.raises(ValueError, match=r"over 300 links, or groups")
    with contextlib.nullcontext() if allowed else refused, hdf5.opened(tmp_path / "a.h5"):
        pass
    assert time.process_time() - begun < 2  # it takes milliseconds; by whole paths, seconds at such a depth


def test_a_checkpoint_of_other_shapes_changes_nothing(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    before = [np.array(weight) for weight in model.get_weights()]
    checkpoint = Checkpoint(tmp_path / "m.checkpoint", "run")
    variables = len(model.variables) + len(model.optimizer.variables)
    with h5py.File(checkpoint.path, "w") as file:
        file.attrs["run"] = "run"
        file.attrs["progress"] = json.dumps({"step": 1, "best": None, "history": []})
        for number in range(variables):
            file[f"{number:05d}"] = np.ones((2, 2) if number == 0 else (7,))
    with pytest.raises(DeepRankingError, match=r"m\.checkpoint: expected a checkpoint .*an array of shape"):
        checkpoint.restore(model)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(64)], ids=len)
def test_a_checkpoint_that_is_none(tmp_path, content):
    checkpoint = Checkpoint(tmp_path / "m.checkpoint", "run")
    checkpoint.path.write_bytes(content)
    with pytest.raises(DeepRankingError, match=r"m\.checkpoint: expected a checkpoint"):
        checkpoint.restore(keras.Sequential([keras.Input((2,))]))


def test_a_bomb_in_the_metadata(sound, tmp_path):
    path = tmp_path / "bomb.keras"
    path.write_bytes((sound / "model.keras").read_bytes())
    with (
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, bytes(80 * 2**20) if name == "deep_ranking.json" else old.read(name))
    tracemalloc.start()
    with pytest.raises(ModelFileError, match=r"deep_ranking\.json is over"):
        read_metadata(tmp_path / "b.keras")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


@pytest.mark.parametrize("how", ["stored", "packed", "bomb"])
def test_what_is_in_an_archive_is_looked_at_as_a_file_is(sound, tmp_path, monkeypatch, how):
    """The member is no HDF5, and no library comes to read it."""
    path = tmp_path / "m.keras"
    path.write_bytes((sound / "model.keras").read_bytes())
    monkeypatch.setattr(hdf5, "_MOST_BYTES", 10**7)
    packing = zipfile.ZIP_STORED if how == "stored" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a", packing) as archive:
        archive.writestr(
            "other.h5", bytes(2 * 10**7) if how == "bomb" else heap((1, 3), (0, 0)) + bytes(1000)
        )
    for read in (load_network, read_metadata, Model.load):
        with pytest.raises(ModelFileError, match=r"m\.keras: .*(a damaged heap|bytes that unpack to 20,)"):
            read(path)
    assert read_metadata(sound / "model.keras") == {"made": "here"}


def test_no_source_unpickles_or_evaluates():
    """Whatever could run what a file holds; NumPy's `allow_pickle` is false wherever it is named."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        code = "\n".join(line.partition("#")[0] for line in text.splitlines())
        wanted = r"^\s*(import|from) (pickle|cloudpickle|dill|shelve|marshal)\b|allow_pickle=(?!False)|"
        wanted += r"(?<![.\w])(eval|exec)\(|(torch|joblib|yaml|np)\.load\(|safe_mode=False|enable_unsafe"
        found += [f"{path.name}: {match[0]}" for match in re.finditer(wanted, code, re.MULTILINE)]
    assert not found


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    from deep_ranking.files import read_array, read_arrays

    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    np.savez(tmp_path / "a.npz", x=np.array([Harm()], object))
    np.save(tmp_path / "a.npy", np.array([Harm()], object))
    for read, name in ((read_arrays, "a.npz"), (read_array, "a.npy")):
        with pytest.raises(DeepRankingError, match=rf"{name}: .*Python objects"):
            read(tmp_path / name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("shape", ["(10000000000000,)", "(100000000, 1000000)", "(-1,)", "(2**90,)"])
def test_an_array_that_tells_of_more_than_its_file_holds(tmp_path, shape):
    from deep_ranking.files import read_array, read_arrays

    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + bytes(40)
    (tmp_path / "a.npy").write_bytes(data)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.npy", data)
    (tmp_path / "a.npz").write_bytes(archive.getvalue())
    for read, name in ((read_arrays, "a.npz"), (read_array, "a.npy")):
        with pytest.raises(DeepRankingError, match=name):
            read(tmp_path / name)


def test_an_archive_of_arrays_that_is_a_bomb(tmp_path, monkeypatch):
    from deep_ranking import files

    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(10**6))
    assert files.read_arrays(tmp_path / "a.npz")["x"].shape == (10**6,)
    monkeypatch.setattr(files, "_MOST_BYTES", 10**6)
    with pytest.raises(DeepRankingError, match=r"a\.npz: .* bytes that unpack to 8,000,"):
        files.read_arrays(tmp_path / "a.npz")
