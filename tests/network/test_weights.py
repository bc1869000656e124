"""First weights: files of every kind, and those that do not fit."""

import subprocess
import sys
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.network.file import ModelFileError, save_network
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.weights import is_weights_only, load_weights, starting_network

SETTINGS = NetworkSettings("simple", image_size=32, embedding_size=8)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)

# The blog's network on Keras 2, whose layers are named by what the process has built before.
BLOG = """
import sys, h5py, numpy as np, tf_keras as keras
from tf_keras import backend, layers
folder = sys.argv[1]
for _ in range(3):
    layers.Dense(1), layers.Conv2D(1, 1)
keras.utils.set_random_seed(11)
unit = lambda x: layers.Lambda(lambda t: backend.l2_normalize(t, axis=1))(x)
vgg = keras.applications.VGG16(weights=None, include_top=False)
x = layers.GlobalAveragePooling2D()(vgg.output)
for _ in range(2):
    x = layers.Dropout(0.6)(layers.Dense(4096, activation="relu")(x))
inputs, branches = [], []
for step, pool, stride in ((16, 3, 4), (32, 7, 2)):
    image = keras.Input((224, 224, 3))
    y = layers.Conv2D(96, 8, strides=step, padding="same", bias_initializer="random_normal")(image)
    y = layers.MaxPooling2D(pool, stride, padding="same")(y)
    inputs.append(image)
    branches.append(unit(layers.Flatten()(y)))
merged = layers.concatenate([layers.concatenate(branches), unit(x)])
model = keras.Model([*inputs, vgg.input], unit(layers.Dense(4096)(merged)))
model.save_weights(folder + "/deepranking.h5")
images = np.load(folder + "/images.npy").astype("float32") / 255
np.save(folder + "/vectors.npy", model.predict([images] * 3, verbose=0))
"""


@pytest.fixture(scope="module")
def blog(tmp_path_factory):
    pytest.importorskip("tf_keras", reason="writes a weights file as Keras 2 did")
    folder = tmp_path_factory.mktemp("blog")
    images = np.random.default_rng(4).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    np.save(folder / "images.npy", images)
    subprocess.run([sys.executable, "-c", BLOG, str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.long
def test_the_blogs_weights_file_gives_the_blogs_embeddings(blog):
    path = blog / "deepranking.h5"
    assert is_weights_only(path)
    vectors = Model.load(path).embed_pixels(np.load(blog / "images.npy"))
    np.testing.assert_allclose(vectors, np.load(blog / "vectors.npy"), atol=1e-6)


@pytest.mark.long
def test_the_blogs_weights_do_not_go_into_another_network(blog):
    network = build_network(SETTINGS)
    with pytest.raises(ModelFileError, match=r"deepranking\.h5: expected weights of shapes .* found none"):
        load_weights(network, SETTINGS, str(blog / "deepranking.h5"))


@pytest.mark.parametrize("name", ["backbone.weights.h5", "backbone.h5", "backbone.keras", "classifier.keras"])
def test_a_backbone_is_taken_however_keras_saved_it(tmp_path, name):
    source = whole = build_network(SETTINGS).get_layer("backbone")
    if name.startswith("classifier"):
        pooled = keras.layers.GlobalAveragePooling2D()(source.output)
        whole = keras.Model(source.input, keras.layers.Dense(10)(pooled))
    (whole.save_weights if ".weights." in name else whole.save)(tmp_path / name)
    network, start = build_network(SETTINGS), starting_network(SETTINGS, str(tmp_path / name))
    load_weights(network, SETTINGS, str(tmp_path / name))
    for found in (network, start):
        for ours, theirs in zip(found.get_layer("backbone").weights, source.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert [layer.name for layer in start.layers[-2:]] == ["convnet_unit", "unit"]  # nothing that is random


@pytest.mark.parametrize("low_resolution", ["paper", "none"])
def test_what_keras_3_saves_of_the_network_goes_into_it_and_no_other(tmp_path, low_resolution):
    settings = replace(SETTINGS, low_resolution=low_resolution)
    source, path = build_network(settings), str(tmp_path / "n.weights.h5")
    source.save_weights(path)
    network = build_network(settings)
    load_weights(network, settings, path)
    np.testing.assert_array_equal(network.predict_on_batch(IMAGES), source.predict_on_batch(IMAGES))
    other = replace(settings, embedding_size=6)
    with pytest.raises(ModelFileError, match=r"n\.weights\.h5: expected the weights of the network that"):
        load_weights(build_network(other), other, path)


def test_a_saved_model_is_a_start_too(tmp_path):
    source = build_network(SETTINGS)
    save_network(source, tmp_path / "model.h5", {})
    network = build_network(SETTINGS)
    load_weights(network, SETTINGS, str(tmp_path / "model.h5"))
    np.testing.assert_array_equal(network.predict_on_batch(IMAGES), source.predict_on_batch(IMAGES))


def test_real_imagenet_weights(shared):
    settings = NetworkSettings("mobilenetv2", image_size=64, embedding_size=0, low_resolution="none")
    network = build_network(settings)
    before = network.get_layer("backbone").get_weights()[0].copy()
    load_weights(network, settings, str(shared / "weights/mobilenet_v2_1.0_224_no_top.weights.h5"))
    assert network.output_shape == (None, 1280)
    assert not np.array_equal(before, network.get_layer("backbone").get_weights()[0])


def test_weights_of_another_backbone_are_refused(tmp_path):
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ModelFileError, match="expected the weights of simple without its top"):
        load_weights(build_network(SETTINGS), SETTINGS, str(tmp_path / "other.weights.h5"))


def test_what_keras_3_saved_as_weights_is_no_model(tmp_path):
    path = tmp_path / "own.weights.h5"
    build_network(SETTINGS).save_weights(path)
    with pytest.raises(ModelFileError, match=r"own\.weights\.h5: cannot be loaded as a model: No model"):
        Model.load(path)


def test_a_network_that_gives_no_vector_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(2, 3)])
    model.save(tmp_path / "map.keras")
    with pytest.raises(
        DeepRankingError, match=r"one vector an image, found output shape \(None, 30, 30, 2\)"
    ):
        Model.load(tmp_path / "map.keras")


def test_files_that_are_none(tmp_path):
    network = build_network(SETTINGS)
    with pytest.raises(ModelFileError, match="found no such file"):
        load_weights(network, SETTINGS, str(tmp_path / "none.h5"))
    (tmp_path / "text.h5").write_text("weights")
    with pytest.raises(ModelFileError, match="expected an HDF5 file of a model or of weights"):
        load_weights(network, SETTINGS, str(tmp_path / "text.h5"))
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(ModelFileError):
        load_weights(network, SETTINGS, str(tmp_path / "empty.h5"))
