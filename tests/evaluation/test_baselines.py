"""Baselines are what they are called; one that cannot be had is left out, and said."""

import logging

import keras
import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.embedding.baselines import colour_histogram, single_scale, systems, untrained
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import read_image
from deep_ranking.network.layers import ColourHistogram, LabColour
from deep_ranking.network.network import NetworkSettings, build_network


@pytest.fixture
def images(trained):
    return sorted(map(str, (trained.root / "test").glob("*/*.png")))[:5]


def test_single_scale_is_the_convnet_path(trained, images):
    embedder = Model.load(trained.model)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    features = keras.Sequential(
        [embedder.network.get_layer(name) for name in ("preprocessing", "backbone", "features")]
    ).predict_on_batch(pixels)
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    found = single_scale(embedder).embed_pixels(pixels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert single_scale(embedder).embed_all(images).shape == (5, 256)


def test_a_network_of_one_scale_has_no_such_baseline():
    network = build_network(NetworkSettings("simple", image_size=32, low_resolution="none"))
    with pytest.raises(DeepRankingError, match="no low-resolution path"):
        single_scale(Model(network))


def test_untrained_is_the_network_as_it_began(trained, images):
    embedder = Model.load(trained.model)
    one, again = (untrained(embedder).embed_all(images) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - embedder.embed_all(images)).max() > 1e-3


def test_a_model_of_other_code_has_only_the_colours_beside_it(caplog):
    image = keras.Input((32, 32, 3))
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    with caplog.at_level(logging.WARNING):
        names = [name for name, _ in systems(Model(network), baselines=True)]
    assert names == ["model", "colour histogram"]
    assert "baseline 'untrained' left out: the model file does not say how" in caplog.text
    assert "baseline 'single scale' left out" in caplog.text
    assert [name for name, _ in systems(Model(network), baselines=False)] == ["model"]


def test_starting_weights_that_are_gone_cost_only_the_baseline(trained, caplog):
    embedder = Model.load(trained.model)
    settings = {**embedder.metadata["settings"], "weights": "gone.h5"}
    moved = Model(embedder.network, {**embedder.metadata, "settings": settings})
    with caplog.at_level(logging.WARNING):
        assert "untrained" not in dict(systems(moved, baselines=True))
    assert "baseline 'untrained' left out: --weights gone.h5" in caplog.text


def test_the_colour_histogram_is_the_roots_of_shares(trained, images):
    """It needs no extra, and tells images apart by their colours alone."""
    vectors = dict(systems(Model.load(trained.model), baselines=True))["colour histogram"].embed_all(images)
    assert vectors.shape == (5, 245)
    np.testing.assert_allclose(np.sum(vectors**2, axis=1), 1, rtol=1e-5)
    pixels = np.stack([read_image(path, (32, 32)) for path in images]).astype(np.float32)
    expected = np.sqrt(ColourHistogram()(LabColour()(pixels)))
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    mirrored = colour_histogram((32, 32)).embed_pixels(pixels[:, :, ::-1])
    np.testing.assert_allclose(mirrored, vectors, atol=1e-5)
