"""Augmentation: on while training, off otherwise, and by the seed alone."""

import keras
import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.augment import PRESETS, Augmentation
from deep_ranking.images.pixel_shift import RandomPixelShift

IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 12, 10, 3)).astype(np.float32)


def apply(augmentation, seed, training=True):
    images = IMAGES
    for layer in augmentation.layers(seed):
        images = layer(images, training=training)
    return keras.ops.convert_to_numpy(images)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_act_in_training_only_and_by_their_seed(name):
    augmentation = PRESETS[name]
    np.testing.assert_array_equal(apply(augmentation, 1, training=False), IMAGES)
    np.testing.assert_array_equal(apply(augmentation, 1), apply(augmentation, 1))
    assert np.array_equal(apply(augmentation, 1), apply(augmentation, 2)) == augmentation.is_off


def test_a_pixel_shift_moves_whole_images_by_whole_pixels():
    shifted = keras.ops.convert_to_numpy(RandomPixelShift(2, seed=3)(IMAGES, training=True))
    moves = set()
    for before, after in zip(IMAGES, shifted, strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)), mode="edge")
        legal = {
            (dy, dx): padded[2 + dy : 14 + dy, 2 + dx : 12 + dx] for dy in range(-2, 3) for dx in range(-2, 3)
        }
        found = [move for move, image in legal.items() if np.array_equal(image, after)]
        assert found, "not the image moved by up to two pixels"
        moves.add(found[0])
    assert len(moves) > 1, "each image draws its own shift"


@pytest.mark.parametrize(
    "bad",
    [
        {"rotation_range": 181},
        {"zoom_range": -0.1},
        {"pixel_shift": -1},
        {"shear_range": 2},
        {"fill_mode": "edge"},
    ],
)
def test_bad_ranges_are_refused(bad):
    with pytest.raises(DeepRankingError, match=next(iter(bad))):
        Augmentation(**bad)
