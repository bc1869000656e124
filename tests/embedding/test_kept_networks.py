"""Networks kept for OpenVINO: the same vectors, without Keras, of this file's content and no other's."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

import deep_ranking as dr
from deep_ranking.embedding import kept
from deep_ranking.embedding.engines import convert
from deep_ranking.embedding.kept import KeptModel, kept_encoder, open_encoder
from deep_ranking.network.file import save_network

pytest.importorskip("openvino")
if keras.backend.backend() != "tensorflow":
    pytest.skip("OpenVINO reads TensorFlow's graphs", allow_module_level=True)

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def is_kept(path, engine="auto"):
    return kept_encoder(path, engine) is not None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP_RANKING_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(kept, "_ACCELERATORS", ())
    return tmp_path


@cache
def file_of(ending, seed):
    """The content of a model file, made once for all tests that begin with it."""
    keras.utils.set_random_seed(seed)
    network = dr.build_network(dr.NetworkSettings("simple", image_size=32, embedding_size=8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"model{ending}")
        save_network(network, path, {})
        return path.read_bytes()


def saved(path, seed=0):
    path.write_bytes(file_of(path.suffix, seed))
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """What is kept of the network of `saved`, converted once."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEP_RANKING_CACHE", str(folder / "kept"))
        patch.setattr(kept, "_ACCELERATORS", ())
        open_encoder(saved(folder / "model.h5"))
    return folder / "kept"


@pytest.fixture
def path(folder, converted):
    """A model file whose network is kept already."""
    shutil.copytree(converted, folder / "kept")
    return saved(folder / "model.h5")


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_the_second_time_gives_the_same_vectors_and_asks_nothing_of_keras(folder, monkeypatch, ending):
    path = saved(folder / f"model{ending}")
    assert not is_kept(path)
    first = open_encoder(path)
    assert is_kept(path)
    monkeypatch.setattr("deep_ranking.embedding.model.Model.load", lambda *_: pytest.fail("loaded again"))
    again = open_encoder(path)
    np.testing.assert_array_equal(again.encode(list(IMAGES)), first.encode(list(IMAGES)))
    assert (again.size, again.dimension) == ((32, 32), 8)
    assert again.embed_pixels(IMAGES[:0]).shape == (0, 8)
    monkeypatch.undo()
    by_keras = dr.load(path, engine="keras")
    assert again.fingerprint == by_keras.fingerprint
    np.testing.assert_allclose(again.encode(list(IMAGES)), by_keras.encode(list(IMAGES)), atol=1e-5)


def test_a_user_whom_the_system_does_not_know_has_no_folder_and_is_told_how_to_name_one(
    folder, monkeypatch, caplog
):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")  # as Path.home raises it

    for name in ("DEEP_RANKING_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kept.Path, "home", nowhere)
    assert open_encoder(saved(folder / "model.h5")).encode(list(IMAGES)).shape == (5, 8)
    assert "DEEP_RANKING_CACHE names another folder" in caplog.text


def test_it_is_of_the_content_and_not_of_the_name(folder, path):
    other = saved(folder / "other.h5", seed=1)
    before = open_encoder(path).encode(list(IMAGES))
    shutil.copy(path, folder / "copy.h5")
    assert is_kept(folder / "copy.h5")
    shutil.copy(other, path)  # another network under the name of the first
    assert not is_kept(path)
    found = open_encoder(path)
    assert found.fingerprint == dr.load(other, engine="keras").fingerprint
    assert np.abs(found.encode(list(IMAGES)) - before).max() > 0.01


def test_a_damaged_one_is_noticed_and_made_anew(folder, path, caplog):
    good = open_encoder(path).encode(list(IMAGES))
    (file,) = (folder / "kept").glob("model-*.npz")
    arrays = dict(np.load(file))
    np.savez(file, **{**arrays, "weights": arrays["weights"] ^ 1})
    np.testing.assert_array_equal(open_encoder(path).encode(list(IMAGES)), good)
    assert "damaged, and made anew" in caplog.text


@pytest.mark.parametrize("how", ["keras", "backend", "accelerator", "no openvino"])
def test_where_openvino_is_not_to_run_it_no_kept_network_is_taken(path, monkeypatch, how):
    assert is_kept(path)
    if how == "backend":
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    elif how == "accelerator":
        monkeypatch.setattr(kept, "_ACCELERATORS", (str(path),))
    elif how == "no openvino":
        monkeypatch.setattr(kept, "find_spec", lambda name: None)
    assert not is_kept(path, "keras" if how == "keras" else "auto")
    if how == "keras":
        assert isinstance(open_encoder(path, "keras"), dr.Model)


def test_what_openvino_does_not_take_is_run_by_keras(folder, monkeypatch, caplog):
    def refuses(network):
        raise RuntimeError("no such operation")

    monkeypatch.setattr("deep_ranking.embedding.engines.convert", refuses)
    path = saved(folder / "model.h5")
    found = open_encoder(path)
    assert isinstance(found, dr.Model)
    assert not is_kept(path)
    assert "no such operation" in caplog.text
    with pytest.raises(RuntimeError):
        open_encoder(path, "openvino")


def test_those_go_that_were_not_used_for_longest(folder, monkeypatch):
    network = convert(dr.load(saved(folder / "model.h5"), engine="keras").network)
    for name in ("model-a.npz", "model-b.npz", "reader-c.npz"):
        kept.keep(name, network)
    for age, name in enumerate(("model-b.npz", "model-a.npz", "reader-c.npz")):
        os.utime(folder / "kept" / name, (age, age))
    assert kept.opened(folder / "kept/model-b.npz") is not None  # used now
    size = (folder / "kept/model-a.npz").stat().st_size
    monkeypatch.setattr(kept, "MOST_KEPT", 3 * size + 100)
    kept.keep("model-d.npz", network)
    assert sorted(path.name for path in (folder / "kept").iterdir()) == [
        "model-b.npz",
        "model-d.npz",
        "reader-c.npz",
    ]


def test_precisions(path):
    assert isinstance(open_encoder(path, precision="bfloat16"), KeptModel)
    with pytest.raises(dr.DeepRankingError, match="precision: expected auto, float32 or bfloat16"):
        open_encoder(path, precision="int4")


def test_a_search_by_a_model_of_ones_own_needs_no_keras_from_the_second_time_on(folder, path):
    from PIL import Image

    (folder / "photos").mkdir()
    for number, pixels in enumerate(IMAGES):
        Image.fromarray(pixels).save(folder / f"photos/{number}.png")
    with dr.Index.from_folder(folder / "photos", open_encoder(path), folder / "index") as index:
        index.write(metadata={"model": str(path)})
    shutil.copy(folder / "photos/3.png", folder / "new.png")
    code = (
        "import sys, deep_ranking as dr\n"
        "index = dr.Index.open('index'); hits = index.search('new.png', k=1)\n"
        "print(hits[0].path, round(hits[0].distance, 3), 'keras' in sys.modules, 'tensorflow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["3.png", "0.0", "False", "False"]
