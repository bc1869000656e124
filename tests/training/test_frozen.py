"""Learning the upper layers on kept activations: the same as computing them anew, and nothing left behind."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.embedding.engines import KerasEngine
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.augment import MIRROR
from deep_ranking.images.decode import read_image
from deep_ranking.network.file import load_network
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.progress import quietly
from deep_ranking.training.frozen import CachedActivations, split_network
from deep_ranking.training.model import _set_normalization, build_training_model
from deep_ranking.training.run import train
from deep_ranking.training.settings import TrainingSettings

NETWORK = NetworkSettings("simple", image_size=32, embedding_size=8, low_resolution="none")
SETTINGS = TrainingSettings(
    NETWORK,
    weights="none",
    mining="proxies",
    classes_per_batch=3,
    images_per_class=2,
    augmentation="none",
    learning_rate=0.05,
    epochs=4,
)


@pytest.fixture
def start(tmp_path, labelled):
    """A model file to begin from."""
    train(labelled, tmp_path / "start.h5", replace(SETTINGS, epochs=0))
    return str(tmp_path / "start.h5")


def embedded(network, images):
    return np.asarray(network(images, training=False))  # where `predict` would compile each


@pytest.fixture(scope="module", params=[1.0, 0.1])
def whole(request):
    """A network that is read here and not changed: it, images, and what it gives for them."""
    keras.utils.set_random_seed(1)
    settings = NetworkSettings("mobilenetv2", 64, 8, "none")
    network = build_network(settings, request.param)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype("float32")
    return network, images, embedded(network, images)


@pytest.mark.parametrize("name", ["block_12_add", "block_13_project_BN", "out_relu"])
def test_the_halves_make_the_network(whole, name):
    network, images, expected = whole
    halves = split_network(network, name)
    activations = embedded(halves.lower, images)
    assert activations.shape[1:] == {"out_relu": (1280,)}.get(name, activations.shape[1:])
    assert np.ptp(expected, axis=0).max() > 1e-4
    np.testing.assert_allclose(embedded(halves.upper, activations), expected, atol=1e-5)
    assert not halves.lower.trainable_variables
    learning = {variable.path for variable in halves.upper.trainable_variables}
    assert learning == {variable.path for variable in network.trainable_variables}


def test_a_cut_that_something_passes_by_is_refused():
    plain = build_network(NetworkSettings("mobilenetv2", 64, 8, "none"))
    with pytest.raises(DeepRankingError, match="found 'block_12_expand' with a connection around it"):
        split_network(plain, "block_12_expand")
    with pytest.raises(DeepRankingError, match=r"found 'block_99'; such as .* block_15_add, out_relu"):
        split_network(plain, "block_99")
    network = build_network(replace(NETWORK, low_resolution="paper"))
    with pytest.raises(DeepRankingError, match="low-resolution paths"):
        split_network(network, "convolution_4")


def test_kept_activations_teach_what_those_computed_anew_do(labelled, start, tmp_path):
    kept = train(labelled, tmp_path / "kept.h5", replace(SETTINGS, weights=start, train_from="convolution_4"))
    anew = train(labelled, tmp_path / "anew.h5", replace(SETTINGS, weights=start, backbone_rate=0.0))
    assert kept.history[-1]["loss"] < kept.history[1]["loss"] - 0.1
    assert kept.history[-1]["loss"] == pytest.approx(anew.history[-1]["loss"], rel=1e-2)
    for a, b in zip(kept.network.get_weights(), anew.network.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)  # float16 keeps 11 bits
    saved = Model.load(tmp_path / "kept.h5").embed_all(labelled.images)
    np.testing.assert_allclose(saved, Model(kept.network).embed_all(labelled.images), atol=1e-6)
    assert sorted(path.suffix for path in tmp_path.glob("kept*")) == [".csv", ".h5"]


def test_a_quiet_run_is_quiet_in_all_that_it_calls(labelled, tmp_path, capsys):
    settings = replace(SETTINGS, train_from="convolution_4", discriminants=0.3, epochs=1)
    bars = ("frozen layers", "epoch 1/1", "embedding")
    for quiet in (True, False):
        capsys.readouterr()
        train(labelled, tmp_path / "model.h5", settings, quiet=quiet)
        told = capsys.readouterr().err
        assert [name in told for name in bars] == [not quiet] * 3


def test_layers_behind_the_cut_learn_and_those_before_do_not(labelled, start, tmp_path):
    settings = replace(SETTINGS, weights=start, train_from="convolution_2", epochs=1)
    trained = train(labelled, tmp_path / "model.h5", settings)
    before, after = (
        {layer.name: layer.get_weights() for layer in network.get_layer("backbone").layers if layer.weights}
        for network in (load_network(start)[0], trained.network)
    )
    moved = [not np.array_equal(a[0], b[0]) for a, b in zip(before.values(), after.values(), strict=True)]
    assert moved == [False, False, True, True]


def test_views_are_the_image_and_draws_of_the_augmentation(labelled, tmp_path):
    network = build_network(NETWORK)
    lower = split_network(network, "convolution_1").lower
    views = CachedActivations(KerasEngine(lower), labelled.images, (32, 32), tmp_path, MIRROR, views=3)
    assert views.activations.shape == (18, 3, 16, 16, 32)
    images = np.stack([read_image(path, (32, 32)) for path in labelled.images])
    np.testing.assert_allclose(views.activations[:, 0], lower.predict_on_batch(images), atol=0.02)
    assert (np.abs(views.activations[:, 1] - views.activations[:, 0]).max(axis=(1, 2, 3)) > 0.02).all()
    positions = np.array([4, 0, 17])
    drawn = [views(positions, batch) for batch in range(30)]
    np.testing.assert_array_equal(views(positions, 7), drawn[7])
    for column, position in enumerate(positions):
        found = {
            view
            for one in drawn
            for view in range(3)
            if (one[column] == views.activations[position, view]).all()
        }
        assert found == {0, 1, 2}
    assert not list(tmp_path.glob("tmp*"))


def test_an_unreadable_image_is_told(labelled, tmp_path, striped_classes):
    (striped_classes / "down/3.png").write_bytes(b"nothing")
    with pytest.raises(DeepRankingError, match=r"down/3\.png: cannot be read"):
        CachedActivations(KerasEngine(build_network(NETWORK)), labelled.images, (32, 32), tmp_path)


@pytest.mark.parametrize(
    ("schedule", "warmup"), [("constant", 0.0), ("constant", 0.25), ("cosine", 0.25), ("cosine", 0.0)]
)
def test_the_rate_follows_its_schedule(schedule, warmup):
    settings = replace(SETTINGS, schedule=schedule, warmup=warmup)
    model = build_training_model(settings, classes=3, steps=40).model
    rates = []
    for step in range(41):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    rising = round(warmup * 40)
    for step, rate in enumerate(rates):
        if step < rising:
            expected = 0.05 * step / rising
        elif schedule == "cosine":
            expected = 0.05 * (1 + np.cos(np.pi * (step - rising) / (40 - rising))) / 2
        else:
            expected = 0.05
        assert rate == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("quiet", [True, False])
def test_the_activations_of_all_images_are_kept(striped_classes, tmp_path, quiet):
    """More images than one batch of the reading, with a bar that counts them and without."""
    images = [str(path) for path in sorted(striped_classes.rglob("*.png"))] * 8
    assert len(images) > 2 * 64
    with quietly(quiet):
        kept = CachedActivations(lambda pixels: pixels.mean((1, 2)), images, (8, 8), tmp_path)
    expected = [read_image(image, (8, 8)).mean((0, 1)) for image in images]
    np.testing.assert_allclose(kept(np.arange(len(images)), 0), expected, rtol=1e-3)


def test_normalization_that_learns_is_that_of_keras():
    """TensorFlow's kernel for Keras's operations: values, gradients, statistics; in use too."""
    made = []
    for learning in (True, False):
        keras.utils.set_random_seed(3)
        x = image = keras.Input((4, 6, 5))
        for scale, center in ((True, True), (False, True), (True, False)):
            layer = keras.layers.BatchNormalization(scale=scale, center=center, momentum=0.9, epsilon=0.01)
            x = layer(x)
            x = keras.layers.Conv2D(5, 3)(x) if scale and center else x
        convnet = keras.Model(image, x, name="backbone")
        network = keras.Model(image, convnet(image))
        if learning:
            _set_normalization(network, freeze=False)
        for layer in convnet.layers:
            layer.momentum = 0.9
        network.compile(keras.optimizers.SGD(0.1), "mse")
        random = np.random.default_rng(0)
        network.fit(random.normal(3, 2, (9, 4, 6, 5)), random.normal(size=(9, 2, 4, 5)), 4, 3, verbose=0)
        made.append(network)
    fast, plain = made
    assert np.abs(plain.get_weights()[3] - 1).max() > 0.5  # the statistics have moved
    for a, b in zip(fast.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    images = np.random.default_rng(1).normal(size=(3, 4, 6, 5))
    np.testing.assert_allclose(fast.predict(images, verbose=0), plain.predict(images, verbose=0), atol=1e-5)
    assert "BatchNormalization" in fast.to_json()
    assert "normalize_at_once" not in fast.to_json()
