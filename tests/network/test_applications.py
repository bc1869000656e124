"""The backbones of `keras.applications` that are no line of `BACKBONES`: names, scales and weights."""

import inspect

import keras
import numpy as np
from keras.src.applications import imagenet_utils

from deep_ranking.network.backbones import APPLICATIONS, BACKBONES, find_backbone
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.weights import _copy_application

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)


def test_every_image_network_of_keras_is_there_once():
    named = [find_backbone(name).application for name in (*BACKBONES, *APPLICATIONS)]
    named = [name for name in named if name]
    assert len(set(named)) == len(named)
    builders = {
        name for name in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, name))
    }
    assert builders == set(named)


def test_densenet_gets_its_pixels_as_kerass_own_preprocessing_gives_them():
    settings = NetworkSettings("densenet121", 32, embedding_size=0, low_resolution="none")
    network = build_network(settings)
    found = np.asarray(network.get_layer("preprocessing")(PIXELS))
    expected = imagenet_utils.preprocess_input(PIXELS.copy(), data_format="channels_last", mode="torch")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_of_efficientnet_come_with_its_normalization():
    """`keras.applications` divides once more where the weights are ImageNet's; so does this stand-in."""
    mean, variance = np.array([0.4, 0.5, 0.6], np.float32), np.array([0.04, 0.05, 0.06], np.float32)
    again = [1 / np.sqrt(d) for d in (0.229, 0.224, 0.225)]

    def net(*after):
        first = [keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Normalization()]
        return keras.Sequential([*first, *after])

    source, ours = net(keras.layers.Rescaling(again)), net()
    source.layers[1].set_weights([mean, variance, np.zeros((), source.layers[1].weights[2].dtype.__str__())])
    source.layers[1].finalize_state()
    _copy_application(source, ours)
    np.testing.assert_allclose(np.asarray(ours(PIXELS)), np.asarray(source(PIXELS)), rtol=1e-5, atol=1e-5)
