"""Each feature's numbers, against slow and obvious code."""

import numpy as np
import pytest
from textures import texture

from deep_ranking.extras.handmade import FisherVector, Hog, LabHistogram, TextonPyramid, WaveletSignature
from deep_ranking.extras.handmade.feature import stretched
from deep_ranking.extras.handmade.sift import learn_words, nearest_word, pyramid


def test_colours_are_counted_in_their_cells():
    image = np.zeros((128, 128, 3), np.uint8)
    image[:32] = 255  # a quarter white (L 100, a 0, b 0), the rest black (L 0, a 0, b 0)
    histogram = LabHistogram(bins=(4, 10, 10)).compute(image).reshape(4, 10, 10) ** 2
    assert histogram[3, 4:6, 4:6].sum() == pytest.approx(0.25)  # 0 is the border of two cells
    assert histogram[0, 4:6, 4:6].sum() == pytest.approx(0.75)


def test_red_has_its_cell():
    image = np.full((9, 9, 3), (255, 0, 0), np.uint8)  # L 53.2, a 80.1, b 67.2
    histogram = LabHistogram(bins=(4, 10, 10)).compute(image).reshape(4, 10, 10)
    assert histogram[2, 9, 9] == 1


def haar(signal):
    """Return the orthonormal Haar coefficients, the coarsest first, by sums and differences."""
    signal, details = np.asarray(signal, float), []
    while len(signal) > 1:
        details.insert(0, (signal[::2] - signal[1::2]) / np.sqrt(2))
        signal = (signal[::2] + signal[1::2]) / np.sqrt(2)
    return np.concatenate([signal, *details])


def test_wavelet_keeps_the_largest_of_the_standard_decomposition():
    feature = WaveletSignature(side=16, kept=20)
    image = texture(3)
    red, green, blue = np.moveaxis(stretched(image, 16) / 255, -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    coefficients = np.apply_along_axis(haar, 1, np.apply_along_axis(haar, 0, luma))
    flat = coefficients.ravel()
    kept = 1 + np.argsort(-np.abs(flat[1:]))[:20]
    expected = np.zeros(256)
    expected[kept] = np.sign(flat[kept]) / np.sqrt(60)
    expected[0] = luma.mean() * np.sqrt(5)
    np.testing.assert_allclose(feature.compute(image)[:256], expected, atol=1e-6)


def test_wavelet_distance_is_the_share_that_agrees():
    feature = WaveletSignature()
    first, second = (feature.compute(texture(seed)).reshape(3, -1) for seed in (1, 2))
    product = np.sign(first[:, 1:]) * np.sign(second[:, 1:])
    agree, oppose = (product > 0).sum() / 180, (product < 0).sum() / 180
    means = ((first[:, 0] - second[:, 0]) ** 2).sum()
    assert ((first - second) ** 2).sum() == pytest.approx(2 - 2 * agree + 2 * oppose + means, rel=1e-5)


def test_hog_sees_the_direction():
    x = np.tile((np.sin(np.arange(128) / 3) * 100 + 128).astype(np.uint8), (128, 1))
    across = np.repeat(x[..., None], 3, axis=2)
    vertical, horizontal = (
        Hog().compute(image).reshape(-1, 9).sum(axis=0) for image in (across, across.swapaxes(0, 1))
    )
    assert vertical.argmax() != horizontal.argmax()
    assert vertical.max() > 0.9 * vertical.sum()


def test_the_nearest_word_is_the_nearest():
    rng = np.random.default_rng(0)
    descriptors, words = rng.normal(size=(50, 3)), rng.normal(size=(7, 3)) * 3
    slow = [min(range(7), key=lambda w: ((d - words[w]) ** 2).sum()) for d in descriptors]
    assert nearest_word(descriptors, words).tolist() == slow


def test_fewer_descriptors_than_words():
    found = learn_words(np.eye(4, dtype=np.float32) + 1, 6, seed=0)["words"]
    assert found.shape == (6, 4)


def test_pyramid_counts_each_cell_of_each_level():
    rng = np.random.default_rng(0)
    word = rng.integers(0, 5, (12, 8))
    counts = []
    for cells, weight in ((1, 0.25), (2, 0.25), (4, 0.5)):
        for i in range(cells):
            for j in range(cells):
                part = word[i * 12 // cells : (i + 1) * 12 // cells, j * 8 // cells : (j + 1) * 8 // cells]
                counts += [weight * (part == w).sum() / 96 for w in range(5)]
    np.testing.assert_allclose(pyramid(word, 5, 3), np.sqrt(counts), atol=1e-7)
    assert pyramid(word, 5, 1).tolist() == pytest.approx(np.sqrt(np.bincount(word.ravel()) / 96).tolist())


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 1)])
def test_pyramid_of_a_grid_that_does_not_part_evenly_still_sums_to_one(shape):
    word = np.arange(np.prod(shape)).reshape(shape) % 3
    assert (pyramid(word, 3, 3) ** 2).sum() == pytest.approx(1)


def test_fisher_is_the_gradient_of_the_mixture(image_paths):
    feature = FisherVector(components=3, modes=2).fit(image_paths)
    book, image = feature.learned(), texture(20)
    points = (feature.descriptors(image).astype(float) - book["centre"]) @ book["axes"].T
    weights, means, variances = book["weights"], book["means"], book["covariances"]
    gradient_weight, gradient_mean, gradient_variance = np.zeros(2), np.zeros((2, 3)), np.zeros((2, 3))
    for x in points:
        density = [
            weights[k] * np.prod(np.exp(-((x - means[k]) ** 2) / variances[k] / 2) / np.sqrt(variances[k]))
            for k in range(2)
        ]
        for k in range(2):
            posterior = density[k] / sum(density) / len(points)
            z = (x - means[k]) / np.sqrt(variances[k])
            gradient_weight[k] += (posterior - weights[k] / len(points)) / np.sqrt(weights[k])
            gradient_mean[k] += posterior * z / np.sqrt(weights[k])
            # The library takes this one with its sign turned, for all images alike.
            gradient_variance[k] -= posterior * (z**2 - 1) / np.sqrt(2 * weights[k])
    expected = np.concatenate([gradient_weight, gradient_mean.ravel(), gradient_variance.ravel()])
    expected = np.sign(expected) * np.sqrt(np.abs(expected))
    np.testing.assert_allclose(feature.compute(image), expected / np.linalg.norm(expected), atol=2e-3)


def test_textons_of_a_flat_image_are_one(image_paths):
    feature = TextonPyramid(textons=16, levels=2).fit(image_paths)
    histogram = feature.compute(np.full((30, 30, 3), 77, np.uint8)) ** 2
    assert (histogram[:16] > 0).sum() == 1
    assert histogram.sum() == pytest.approx(1)
