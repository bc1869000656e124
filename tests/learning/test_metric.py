"""The metric in time linear in the triplets, beside the one whose time grows with their cube."""

import numpy as np
import pytest
from judged import judged_by_two

from deep_ranking.evaluation.metrics import similarity_precision, triplet_distances
from deep_ranking.learning.metric import Comparisons, MahalanobisMetric


def by_kernel(vectors, triplets, decay, confidence):
    """M = confidence I + sum_t a_t P_t, the a_t by Newton's method on the kernel <P_s, P_t>."""
    query, positive, negative = (vectors[rows] for rows in triplets.T)
    away, near = query - negative, query - positive
    scale = np.mean([np.square(away).sum(1), np.square(near).sum(1)])
    away, near = away / scale**0.5, near / scale**0.5
    kernel = np.square(away @ away.T) - np.square(away @ near.T)
    kernel += np.square(near @ near.T) - np.square(near @ away.T)
    strength, count = np.trace(kernel) / len(kernel), len(kernel)
    kernel /= strength
    start = confidence * (np.square(away).sum(1) - np.square(near).sum(1))
    found = np.zeros(count)

    def loss(found):
        moved = kernel @ found
        return np.logaddexp(0, -start - moved).mean() + decay / 2 * found @ moved

    for _ in range(50):
        margin = start + kernel @ found
        wrong = 1 / (1 + np.exp(margin))
        root = np.sqrt(np.maximum(wrong * (1 - wrong) / count, 1e-12))
        system = root[:, None] * kernel * root + decay * np.eye(count)
        step = root * np.linalg.solve(system, root * (kernel @ found) + wrong / (count * root)) - found
        while loss(found + step) > loss(found) and np.abs(step).max() > 1e-12:
            step = step / 2  # far from the minimum a whole step can lead uphill
        found = found + step
    found /= strength
    change = (away.T * found) @ away - (near.T * found) @ near
    values, axes = np.linalg.eigh((change + confidence * np.eye(vectors.shape[1])) / scale)
    return (axes * np.maximum(values, 0)) @ axes.T


@pytest.fixture
def data():
    """Vectors of eight numbers of which the first two matter, and triplets by those two, one in ten wrong."""
    return judged_by_two(150, 8, 400, wrong=0.1)


@pytest.mark.parametrize("decay", [1e-1, 1e-2, 1e-3])
def test_it_is_the_metric_that_the_kernel_method_finds(data, decay):
    vectors, triplets = data
    expected = by_kernel(vectors, triplets, decay, 6.0)
    found = MahalanobisMetric(decay=decay).fit(vectors, triplets)
    np.testing.assert_allclose(found @ found.T, expected, rtol=0.01, atol=0.01 * np.abs(expected).max())


@pytest.mark.parametrize("most", [0, 6000])
def test_margins_and_pulls_are_what_they_are_defined_as(data, most, monkeypatch):
    """Over pairs, and over all pairs."""
    monkeypatch.setattr("deep_ranking.learning.metric._MOST_DENSE", most)
    monkeypatch.setattr("deep_ranking.learning.metric._DENSE", 100)
    vectors, triplets = data
    compared = Comparisons(vectors, triplets)
    rng = np.random.default_rng(1)
    matrix, weights = rng.normal(size=(8, 8)), rng.random(len(triplets))
    matrix += matrix.T
    q, p, n = (vectors[rows] / compared.scale**0.5 for rows in triplets.T)
    pulls = np.array([np.outer(a, a) - np.outer(b, b) for a, b in zip(q - n, q - p, strict=True)])
    np.testing.assert_allclose(compared.margins(matrix), (pulls * matrix).sum((1, 2)), atol=1e-4)
    np.testing.assert_allclose(compared.pull(weights), np.tensordot(weights, pulls, 1), atol=1e-3)
    np.testing.assert_allclose(compared.margins(np.eye(8)), compared.start, atol=1e-4)
    assert compared.strength == pytest.approx(np.mean([np.sum(pull**2) for pull in pulls]), rel=1e-4)


def test_a_weight_of_two_is_the_same_triplet_twice(data):
    vectors, triplets = data
    weights = np.random.default_rng(2).integers(1, 3, len(triplets))
    metric = MahalanobisMetric(decay=1e-2)
    once, twice = Comparisons(vectors, triplets), Comparisons(vectors, np.repeat(triplets, weights, axis=0))
    # Scale and strength are of the triplets as they stand, so they are made the same.
    twice.start *= twice.scale / once.scale
    twice._x *= (twice.scale / once.scale) ** 0.5
    twice.strength = once.strength
    found, expected = metric.change(once, weights), metric.change(twice)
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


def test_fewer_directions_are_those_of_the_greatest_variance(data):
    vectors, triplets = data
    wide = vectors * np.array([1, 1, 1, 0.01, 0.01, 0.01, 0.01, 0.01])
    compared = Comparisons(wide, triplets, 3)
    np.testing.assert_allclose(np.abs(compared.axes[:3]).max(axis=0) > 0.5, True)
    np.testing.assert_allclose(compared.axes.T @ compared.axes, np.eye(3), atol=1e-9)
    assert MahalanobisMetric().change(compared).shape == (3, 3)


def test_memory_and_time_hardly_grow_with_the_triplets(data):
    """A hundred thousand triplets of 150 images: the kernel would have ten thousand million numbers."""
    vectors, _ = data
    rng = np.random.default_rng(3)
    many = rng.integers(0, 150, (101_000, 3))
    many = many[(many[:, 0] != many[:, 1]) & (many[:, 0] != many[:, 2]) & (many[:, 1] != many[:, 2])]
    wrong = ~similarity_precision(triplet_distances(vectors[:, :2], many))
    many[wrong] = many[wrong][:, [0, 2, 1]]
    matrix = MahalanobisMetric(decay=1e-4).fit(vectors, many)
    assert similarity_precision(triplet_distances(vectors @ matrix, many)).mean() > 0.97
