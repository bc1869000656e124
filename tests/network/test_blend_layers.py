"""The layers that read activation maps and colour, against plain NumPy and scikit-image."""

import keras
import numpy as np
import pytest

from deep_ranking.network.layers import (
    ColourHistogram,
    LabColour,
    Quadrants,
    SecondMoments,
    SignedRoot,
    Spread,
)

MAPS = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)


def array(x):
    return keras.ops.convert_to_numpy(x)


def test_spread_is_the_standard_deviation_over_positions():
    expected = [[np.std(image[..., c].ravel()) for c in range(3)] for image in MAPS]
    np.testing.assert_allclose(array(Spread()(MAPS)), expected, rtol=1e-4)


def test_quadrants_are_means_of_quarters_that_share_a_middle_row():
    found = array(Quadrants()(MAPS)).reshape(2, 2, 2, 3)
    for image, quarters in zip(MAPS, found, strict=True):
        for i, rows in enumerate((range(3), range(2, 5))):
            for j, columns in enumerate((range(2), range(2, 4))):
                expected = np.mean([image[r, c] for r in rows for c in columns], axis=0)
                np.testing.assert_allclose(quarters[i, j], expected, rtol=1e-4, atol=1e-6)


def test_second_moments_are_the_upper_triangle_of_mean_products():
    found = array(SecondMoments()(MAPS))
    for image, row in zip(MAPS, found, strict=True):
        pairs = [(i, j) for i in range(3) for j in range(i, 3)]
        expected = [np.mean(image[..., i] * image[..., j]) for i, j in pairs]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)


def test_signed_root():
    found = array(SignedRoot()(np.array([[4.0, -9.0, 0.0]], np.float32)))
    np.testing.assert_allclose(found, [[2, -3, 0]], atol=1e-5)


def test_lab_is_scikit_images():
    color = pytest.importorskip("skimage.color")
    rgb = np.random.default_rng(1).integers(0, 256, (40, 50, 3)).astype(np.float32)
    rgb[0, :3] = [[0, 0, 0], [255, 255, 255], [5, 3, 9]]
    np.testing.assert_allclose(array(LabColour()(rgb)), color.rgb2lab(rgb / 255), atol=0.02)


def test_the_histogram_shares_a_pixel_among_the_eight_points_around_it():
    rng = np.random.default_rng(2)
    lab = rng.uniform((-5, -80, -80), (105, 80, 80), (2, 3, 4, 3)).astype(np.float32)
    expected = np.zeros((2, 5, 7, 7))
    for image, pixels in enumerate(lab.reshape(2, 12, 3)):
        for pixel in pixels:
            place = np.clip((pixel - (0, -50, -50)) / 100, 0, 1) * (4, 6, 6)
            low = np.minimum(place.astype(int), (3, 5, 5))
            share = place - low
            for corner in np.ndindex(2, 2, 2):
                weight = np.prod([s if c else 1 - s for c, s in zip(corner, share, strict=True)])
                expected[(image, *(low + corner))] += weight / 12
    found = array(ColourHistogram()(lab))
    np.testing.assert_allclose(found, expected.reshape(2, 245), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("layer", [Spread(), Quadrants(), SecondMoments(), SignedRoot(), ColourHistogram()])
def test_shapes_are_as_computed(layer):
    assert layer(MAPS).shape == layer.compute_output_shape(MAPS.shape)


@pytest.mark.parametrize("layer", [Spread(), SignedRoot(), LabColour()])
def test_gradients_are_finite_where_the_root_has_none(layer):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken by TensorFlow here")
    x = tf.Variable(np.zeros((1, 2, 2, 3), np.float32))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(layer(x))
    assert np.isfinite(tape.gradient(y, x).numpy()).all()
