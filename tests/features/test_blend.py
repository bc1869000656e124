"""Components, the Mahalanobis metric and their blend."""

import numpy as np
import pytest
from judged import judged_by_two
from scipy.optimize import minimize

from deep_ranking.blend.learn import Blend, BlendSettings, Components
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import similarity_precision, triplet_distances
from deep_ranking.learning.metric import MahalanobisMetric


@pytest.fixture
def data():
    """Vectors of six numbers of which the first two matter, and triplets by those two."""
    return judged_by_two(150, 6, 300)


def precision(vectors, triplets):
    return similarity_precision(triplet_distances(vectors, triplets)).mean()


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_components_are_those_of_the_covariance(shape):
    vectors = np.random.default_rng(1).normal(size=shape) * np.linspace(1, 3, shape[1]) + 5
    found = Components.fit(vectors, 4, power=0.5)
    values, axes = np.linalg.eigh(np.cov(vectors.T, bias=True))
    expected = (vectors - vectors.mean(0)) @ axes[:, ::-1][:, :4] * values[::-1][:4] ** -0.25
    np.testing.assert_allclose(np.abs(found(vectors)), np.abs(expected), rtol=1e-3, atol=1e-4)


def test_whitened_components_have_variance_one_and_no_more_are_given_than_there_are():
    vectors = np.random.default_rng(2).normal(size=(30, 3)) * (1, 10, 100)
    found = Components.fit(vectors, 9, power=1.0)(vectors)
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(3), atol=1e-4)
    assert Components.fit(vectors[:2], 9).axes.shape == (3, 1)


def test_components_of_a_sample_are_those_of_all():
    vectors = np.random.default_rng(3).normal(size=(4000, 3)) * (1, 4, 16)
    some = Components.fit(vectors, 3, rows=3000, seed=1)
    np.testing.assert_allclose(np.abs(some.axes), np.abs(Components.fit(vectors, 3).axes), atol=0.05)


def test_the_metric_is_the_minimum_over_all_symmetric_matrices():
    """The kernel form against the loss written down as it is defined, lowered by another method."""
    rng = np.random.default_rng(4)
    vectors, triplets = rng.normal(size=(12, 3)), np.array([rng.permutation(12)[:3] for _ in range(9)])
    metric = MahalanobisMetric(decay=0.3, confidence=5.0)
    q, p, n = (vectors[rows] for rows in triplets.T)
    scale = np.mean([np.sum((q - p) ** 2, axis=1), np.sum((q - n) ** 2, axis=1)])
    pulls = np.array([(np.outer(a, a) - np.outer(b, b)) / scale for a, b in zip(q - n, q - p, strict=True)])
    strength = np.mean([np.sum(pull**2) for pull in pulls])

    def loss(entries):
        m = entries.reshape(3, 3)
        margins = np.sum(pulls * m, axis=(1, 2))
        start = 5.0 * np.eye(3)
        return np.logaddexp(0, -margins).mean() + 0.3 / 2 * np.sum((m - start) ** 2) * strength

    best = minimize(loss, 5.0 * np.eye(3).ravel(), tol=1e-12).x.reshape(3, 3) / scale
    assert np.linalg.eigvalsh(best).min() > 0
    found = metric.fit(vectors, triplets)
    np.testing.assert_allclose(found @ found.T, best, atol=2e-4)


def test_the_metric_learns_what_matters(data):
    vectors, triplets = data
    matrix = MahalanobisMetric(decay=1e-3).fit(vectors, triplets[:200])
    assert precision(vectors @ matrix, triplets[200:]) > precision(vectors, triplets[200:]) + 0.1
    two = MahalanobisMetric(decay=1e-3).fit(vectors, triplets[:200], size=2)
    np.testing.assert_allclose(two, matrix[:, :2])


def test_strong_decay_leaves_the_distances_in_their_order(data):
    vectors, triplets = data
    matrix = MahalanobisMetric(decay=1e6).fit(vectors, triplets)
    np.testing.assert_allclose(matrix @ matrix.T / (matrix @ matrix.T)[0, 0], np.eye(6), atol=1e-5)


def test_a_metric_does_not_depend_on_the_vectors_scale(data):
    vectors, triplets = data
    one, other = (MahalanobisMetric().fit(vectors * factor, triplets) for factor in (1, 100))
    np.testing.assert_allclose(one @ one.T, other @ other.T * 1e4, rtol=1e-6, atol=1e-8)


def test_what_a_metric_refuses(data):
    vectors, triplets = data
    with pytest.raises(DeepRankingError, match="all the same"):
        MahalanobisMetric().fit(np.ones_like(vectors), triplets)
    with pytest.raises(DeepRankingError, match="size: expected 1 to 6"):
        MahalanobisMetric().fit(vectors, triplets, size=7)
    for wrong in ({"decay": 0}, {"confidence": -1}):
        with pytest.raises(DeepRankingError, match="above 0"):
            MahalanobisMetric(**wrong)


def test_a_blend_gives_a_useless_description_little_weight(data):
    vectors, triplets = data
    noise = np.random.default_rng(5).normal(size=(150, 6))
    descriptions = {name: x.astype(np.float32) for name, x in (("good", vectors[:, :2]), ("noise", noise))}
    blend = Blend.fit(descriptions, triplets[:200], BlendSettings(metric=None))
    assert blend.weights.get("noise", 0) < 0.3 * blend.weights["good"]
    found = blend.vectors(descriptions)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert precision(found, triplets[200:]) > 0.75


def test_a_blend_learns_nothing_from_images_that_no_triplet_names(data):
    vectors, triplets = data
    descriptions = {"one": vectors.astype(np.float32), "two": np.tanh(vectors).astype(np.float32)}
    more = {name: np.concatenate([x, 100 + x]) for name, x in descriptions.items()}
    first, second = (Blend.fit(given, triplets) for given in (descriptions, more))
    np.testing.assert_array_equal(first.matrix, second.matrix)
    assert first.weights == second.weights
