"""The network's shape, preprocessing and files."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import deep_ranking
from deep_ranking.errors import DeepRankingError
from deep_ranking.network.backbones import BACKBONES
from deep_ranking.network.file import ENDINGS, ModelFileError, load_network, read_metadata, save_network
from deep_ranking.network.layers import ImageNetCentering, LocalResponseNormalization
from deep_ranking.network.network import NetworkSettings, build_network

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


def small(**changes):
    return build_network(
        NetworkSettings(**{"backbone": "simple", "image_size": 32, "embedding_size": 8, **changes})
    )


@pytest.mark.parametrize("low_resolution", ["paper", "blog", "none"])
@pytest.mark.parametrize("embedding_size", [8, 0])
def test_embeddings_have_unit_length_and_no_clipped_sign(low_resolution, embedding_size):
    network = small(low_resolution=low_resolution, embedding_size=embedding_size)
    vectors = network.predict_on_batch(IMAGES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    if embedding_size:
        assert vectors.shape == (3, 8)
        assert (vectors < 0).any()


def test_the_papers_figure_3():
    network = build_network(NetworkSettings("alexnet", image_size=225))
    shape = {layer.name: layer.output.shape[1:] for layer in network.layers}
    assert shape["average_4"] == (57, 57, 3)
    assert shape["low_resolution_4"] == (15, 15, 96)
    assert shape["max_4"] == (4, 4, 96)
    assert shape["average_8"] == (29, 29, 3)
    assert shape["low_resolution_8"] == (8, 8, 96)
    assert shape["max_8"] == (4, 4, 96)
    assert shape["low_resolution_unit"] == (3072,)
    assert shape["convnet_unit"] == (4096,)
    assert shape["embedding"] == (4096,)
    assert network.get_layer("dropout_1").rate == pytest.approx(0.4)


@pytest.mark.parametrize("low_resolution", ["paper", "blog"])
def test_every_variable_has_a_path_of_its_own(low_resolution):
    """On Torch, Keras clears the gradients of one variable a path; those of others would add up."""
    paths = [variable.path for variable in small(low_resolution=low_resolution).variables]
    assert len(set(paths)) == len(paths)


def test_each_branch_is_normalized_before_the_merge():
    network = small()
    branches = keras.Model(network.input, network.get_layer("merge").input)
    for branch in branches.predict_on_batch(IMAGES):
        np.testing.assert_allclose(np.linalg.norm(branch, axis=1), 1, rtol=1e-5)


def test_subsampling_averages_every_pixel():
    network = build_network(NetworkSettings("simple", 64, 8))
    averages = keras.Model(network.input, network.get_layer("average_4").output)
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    expected = image.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)) / 127.5 - 1
    np.testing.assert_allclose(averages.predict_on_batch(image)[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "mobilenetv2"])
def test_preprocessing_is_that_of_keras_applications(name):
    module = {"vgg16": "vgg16", "resnet50": "resnet", "mobilenetv2": "mobilenet_v2"}[name]
    expected = getattr(keras.applications, module).preprocess_input(IMAGES.astype(np.float32))
    network = build_network(NetworkSettings(name, image_size=32, embedding_size=8, low_resolution="none"))
    inner = keras.Model(network.input, network.get_layer("preprocessing").output)
    np.testing.assert_allclose(inner.predict_on_batch(IMAGES), expected, atol=1e-4)


def test_local_response_normalization_against_loops():
    x = np.random.default_rng(3).normal(size=(2, 3, 4, 7)).astype(np.float32) * 50
    expected = np.empty_like(x)
    for at in np.ndindex(x.shape[:3]):
        for i in range(7):
            energy = sum(float(x[at][j]) ** 2 for j in range(max(0, i - 2), min(7, i + 3)))
            expected[at][i] = x[at][i] / (2 + 1e-4 * energy) ** 0.75
    np.testing.assert_allclose(LocalResponseNormalization()(x), expected, rtol=1e-4)


def test_imagenet_centering_reverses_the_channels():
    pixel = np.array([[[[1.0, 2.0, 3.0]]]], np.float32)
    np.testing.assert_allclose(
        ImageNetCentering()(pixel)[0, 0, 0], [3 - 103.939, 2 - 116.779, 1 - 123.68], rtol=1e-6
    )


def test_the_backbone_learns_at_its_share_of_the_rate():
    slopes = {}
    for rate in (1.0, 0.25):
        keras.utils.set_random_seed(0)
        network = build_network(NetworkSettings("simple", 32, 8), backbone_rate=rate)
        network.compile(keras.optimizers.SGD(1.0), loss=lambda _, vectors: keras.ops.sum(vectors[:, 0]))
        weights = [network.get_layer(n).trainable_variables[0] for n in ("backbone", "embedding")]
        before = [keras.ops.convert_to_numpy(weight).copy() for weight in weights]
        network.train_on_batch(IMAGES, np.zeros((3, 1)))  # a step of 1 down the slope
        after = [keras.ops.convert_to_numpy(weight) for weight in weights]
        slopes[rate] = [a - b for a, b in zip(before, after, strict=True)]
    np.testing.assert_allclose(slopes[0.25][0], 0.25 * slopes[1.0][0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(slopes[0.25][1], slopes[1.0][1], rtol=1e-3, atol=1e-6)
    assert np.abs(slopes[1.0][0]).max() > 1e-4
    frozen = build_network(NetworkSettings("simple", 32, 8), backbone_rate=0)
    assert not frozen.get_layer("backbone").trainable_variables
    assert frozen.get_layer("embedding").trainable_variables


# deep_ranking first, as sorted imports have it: its layers are registered once Keras arrives.
# Whoever looks for Keras between the two does not take that away.
FRESH_PROCESS = """
import sys, deep_ranking, importlib.util
importlib.util.find_spec("keras")
import keras, numpy
print("deep_ranking>GradientScale" in keras.saving.get_custom_objects(),
      any(type(finder).__module__ == "deep_ranking" for finder in sys.meta_path))
images = numpy.load("images.npy")
for name in sys.argv[1:]:
    network = keras.models.load_model(name, compile=False, safe_mode=True)
    numpy.save(name + ".npy", network.predict_on_batch(images))
"""


def test_a_saved_model_gives_the_same_embeddings_in_a_new_process_where_keras_was_looked_for_before(
    tmp_path, monkeypatch
):
    narrow = replace(BACKBONES["alexnet"], hidden=(16, 16))  # where the files would be of 200 MB
    monkeypatch.setitem(BACKBONES, "alexnet", narrow)
    images = np.random.default_rng(5).integers(0, 256, (2, 48, 48, 3)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for backbone in ("simple", "alexnet"):
        network = small(backbone=backbone, image_size=48)
        for ending in ENDINGS:
            save_network(network, tmp_path / (backbone + ending), {"metrics": {"x": 1.5}, "name": "é"})
            expected[backbone + ending] = network.predict_on_batch(images)
    assert not list(tmp_path.glob(".*"))
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, *expected],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[:2] == ["True", "False"], "registered, and nothing waits for Keras any more"
    for name, vectors in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / (name + ".npy")), vectors, atol=1e-6)
        assert read_metadata(tmp_path / name) == {"metrics": {"x": 1.5}, "name": "é"}


@pytest.mark.long
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_is_built_saved_and_loaded(tmp_path, backbone):
    network = small(backbone=backbone)
    path = tmp_path / ("model.h5" if BACKBONES[backbone].saves_as_h5 else "model.keras")
    save_network(network, path, {})
    loaded, _ = load_network(path)
    np.testing.assert_allclose(loaded.predict_on_batch(IMAGES), network.predict_on_batch(IMAGES), atol=1e-6)


class TestModelFilesThatAreNone:
    def test_missing(self, tmp_path):
        with pytest.raises(ModelFileError, match=r"found nothing; train one with: deep-ranking train"):
            load_network(tmp_path / "none.h5")

    @pytest.mark.parametrize("ending", [".h5", ".keras"])
    def test_garbage_and_truncated(self, tmp_path, ending):
        path = tmp_path / f"model{ending}"
        path.write_bytes(b"not a model")
        with pytest.raises(ModelFileError, match=r"found something else or a damaged one"):
            load_network(path)
        save_network(small(), path, {})
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ModelFileError):
            load_network(path)

    def test_another_ending(self, tmp_path):
        with pytest.raises(ModelFileError, match=r"ends in \.h5 or \.keras"):
            load_network(tmp_path / "model.pt")

    @pytest.mark.parametrize("ending", [".h5", ".keras"])
    def test_a_lambda_is_refused(self, tmp_path, ending):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
        path = tmp_path / f"model{ending}"
        model.save(path)
        with pytest.raises(ModelFileError, match=r"cannot be loaded as a model: .*[Ll]ambda"):
            load_network(path)

    def test_no_model_inside(self, tmp_path):
        with h5py.File(tmp_path / "model.h5", "w") as file:
            file["x"] = 1
        with pytest.raises(ModelFileError, match="cannot be loaded"):
            load_network(tmp_path / "model.h5")

    def test_files_are_opened_at_one_door(self):
        opening = re.compile(r"load_model\(|hdf5\.opened|import opened|h5py\.File\((?!temporary)")
        package = Path(deep_ranking.__file__).parent
        opens = [path for path in package.rglob("*.py") if opening.search(path.read_text("utf-8"))]
        assert {str(path.relative_to(package)) for path in opens} == {"network/file.py", "network/hdf5.py"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "vgg61"}, "backbone: expected one of vgg16, alexnet"),
        ({"image_size": 16}, "image_size: expected 32 to 9,433 pixels, found 16"),
        ({"image_size": 100_000}, "image_size: expected 32 to 9,433 pixels, found 100000"),
        ({"embedding_size": -1}, "embedding_size"),
        ({"low_resolution": "both"}, "low_resolution"),
        ({"preprocessing": "none"}, "preprocessing"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(DeepRankingError, match=message):
        NetworkSettings(**changes)
