"""The network that averages an image and its mirror image, against the sides taken by hand."""

import numpy as np
import pytest

from deep_ranking.network.file import load_network, save_network
from deep_ranking.network.layers import Mirror
from deep_ranking.network.network import NetworkSettings, average_mirror, build_network, one_side

IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 32, 40, 3)).astype(np.float32)


def test_mirror_exchanges_left_and_right_alone():
    found = np.asarray(Mirror()(IMAGES))
    for x in range(40):
        np.testing.assert_array_equal(found[:, :, x], IMAGES[:, :, 39 - x])


@pytest.mark.parametrize("embedding_size", [0, 8])
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_the_embedding_is_the_mean_of_both_sides_before_unit_length(embedding_size, ending, tmp_path):
    settings = NetworkSettings("simple", 32, embedding_size=embedding_size)
    plain = build_network(settings)
    network = average_mirror(plain)
    assert network.count_params() == plain.count_params()
    images = IMAGES[:, :, :32]
    side = one_side(network)
    both = np.asarray(side(images)) + np.asarray(side(images[:, :, ::-1]))
    expected = both / np.linalg.norm(both, axis=1, keepdims=True)
    np.testing.assert_allclose(network(images), expected, atol=1e-6)
    assert np.abs(np.asarray(plain(images)) - expected).max() > 1e-4
    save_network(network, tmp_path / f"model{ending}", {})
    loaded, _ = load_network(tmp_path / f"model{ending}")
    np.testing.assert_allclose(loaded(images), expected, atol=1e-6)
    assert [layer.name for layer in one_side(loaded).layers] == [layer.name for layer in side.layers]


def test_a_network_without_it_is_its_own_side():
    plain = build_network(NetworkSettings("simple", 32, embedding_size=8))
    assert one_side(plain) is plain
