"""What a network on every backbone promises, with random weights at the smallest size.

That each comes back from its file is in network/test_network.py.
"""

import dataclasses

import keras
import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.network.backbones import BACKBONES
from deep_ranking.network.network import NetworkSettings, build_network

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


def build(name, seed=0):
    keras.utils.set_random_seed(seed)
    return build_network(NetworkSettings(name, 32, embedding_size=6, low_resolution="none"))


@pytest.fixture(scope="module", params=BACKBONES)
def network(request):
    """The backbone's network; its fully connected layers are narrow, for time's sake."""
    backbone = BACKBONES[request.param]
    with pytest.MonkeyPatch.context() as patch:
        narrow = dataclasses.replace(backbone, hidden=(16,) * len(backbone.hidden))
        patch.setitem(BACKBONES, request.param, narrow)
        yield build(request.param)
    keras.backend.clear_session()


def embed(network, images):
    return np.asarray(network(images, training=False))  # where `predict` would compile for each shape


@pytest.fixture(scope="module")
def vectors(network):
    before = IMAGES.copy()
    vectors = embed(network, IMAGES)
    np.testing.assert_array_equal(IMAGES, before)
    return vectors


def test_unit_vectors_of_the_stated_shape_in_float32(network, vectors):
    assert vectors.shape == (3, *network.output_shape[1:]) == (3, 6)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert (vectors[0] != vectors[1]).any()


def test_any_number_type_contiguous_or_not_gives_the_same(network, vectors):
    turned = np.rot90(np.rot90(IMAGES, axes=(1, 2)).copy(), -1, axes=(1, 2))
    assert not turned.flags.c_contiguous
    for images in (IMAGES.astype(np.float64), turned):
        np.testing.assert_allclose(embed(network, images), vectors, atol=1e-4)


def test_one_image_is_embedded_as_among_others_and_none_gives_none(network, vectors):
    one = embed(network, IMAGES[1:2].astype(np.float32))
    np.testing.assert_allclose(one, vectors[1:2], atol=1e-4)
    none = Model(network).embed_pixels(IMAGES[:0])
    assert (none.shape, none.dtype) == ((0, 6), np.float32)


def test_a_seed_decides_the_weights():
    first, again, other = (build("simple", seed).get_weights() for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))
