"""Linear discriminants solve Rao's equation, tell apart what the features drown, and say what they need."""

import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.training.frozen import Discriminants


def drawn(classes=4, each=30, size=6, seed=0):
    """Classes of different sizes, whose scatter is wide where their means are near."""
    generator = np.random.default_rng(seed)
    counts = each + 5 * np.arange(classes)
    labels = np.repeat(np.arange(classes), counts)
    widths = 4.0 ** np.arange(size)
    means = generator.normal(size=(classes, size))
    return means[labels] + widths * generator.normal(size=(len(labels), size)), labels


def slow_scatters(vectors, labels):
    """Within classes and between their means, a row at a time."""
    means = {
        c: np.mean([v for v, of in zip(vectors, labels, strict=True) if of == c], axis=0) for c in set(labels)
    }
    within = sum(np.outer(v - means[of], v - means[of]) for v, of in zip(vectors, labels, strict=True)) / len(
        vectors
    )
    centre = np.mean(list(means.values()), axis=0)
    between = sum(np.outer(m - centre, m - centre) for m in means.values())
    return within, between, centre


@pytest.mark.parametrize("shrinkage", [0.001, 0.3])
def test_the_axes_solve_the_equation_and_are_the_leading_ones(shrinkage):
    vectors, labels = drawn()
    found = Discriminants.fit(vectors, labels, 10, shrinkage)
    assert found.axes.shape == (6, 3)
    within, between, centre = slow_scatters(vectors, labels)
    shrunk = within + shrinkage * np.trace(within) / 6 * np.eye(6)
    np.testing.assert_allclose(found.mean, centre, atol=1e-4)
    np.testing.assert_allclose(found.axes.T @ shrunk @ found.axes, np.eye(3), atol=1e-3)
    values = np.diag(found.axes.T @ between @ found.axes)
    np.testing.assert_allclose(between @ found.axes, shrunk @ found.axes * values, rtol=1e-2, atol=1e-3)
    expected = np.sort(np.linalg.eigvals(np.linalg.solve(shrunk, between)).real)[::-1][:3]
    np.testing.assert_allclose(values, expected, rtol=1e-3)
    fewer = Discriminants.fit(vectors, labels, 2, shrinkage)
    np.testing.assert_array_equal(fewer.axes, found.axes[:, :2])
    np.testing.assert_allclose(found(vectors), (vectors - centre) @ found.axes, atol=1e-2)


def test_new_images_are_told_apart_that_the_features_confuse():
    labels, wanted = np.repeat(np.arange(4), 200), np.repeat(np.arange(4), 50)

    def accuracy(gallery, others):
        nearest = np.linalg.norm(others[:, None] - gallery[None], axis=2).argmin(axis=1)
        return (labels[nearest] == wanted).mean()

    generator = np.random.default_rng(1)
    widths = np.array([0.3, 0.3, 0.3, 50, 50, 50])
    means = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    vectors = means[labels] + widths * generator.normal(size=(len(labels), 6))
    queries = means[wanted] + widths * generator.normal(size=(len(wanted), 6))
    found = Discriminants.fit(vectors, labels, 3, shrinkage=1e-6)
    assert accuracy(vectors, queries) < 0.5 < 0.8 < accuracy(found(vectors), found(queries))


@pytest.mark.parametrize(
    ("labels", "count", "shrinkage", "message"),
    [
        ([0, 0, 1, 1], 0, 0.3, "discriminants: expected 1 or more, found 0"),
        ([0, 0, 1, 1], 2, 0.0, "shrinkage: expected a number above 0, found 0"),
        ([1, 1, 1, 1], 2, 0.3, "classes: expected two or more to tell apart, found 1"),
        ([0, 1, 2, 3], 2, 0.3, "vectors: expected some that differ from others of their class"),
    ],
)
def test_what_cannot_be_fitted_is_told(labels, count, shrinkage, message):
    with pytest.raises(DeepRankingError, match=message):
        Discriminants.fit(np.eye(4), np.array(labels), count, shrinkage)
