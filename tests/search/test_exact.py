"""Selection of the largest values, and precision near zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_ranking.search import exact as module
from deep_ranking.search.exact import Exact, distances, largest


@pytest.fixture(params=["in a cache", "in none"])
def size(request, monkeypatch):
    """Multiply as small matrices are multiplied, and as large ones are."""
    if request.param == "in none":
        monkeypatch.setattr(module, "_CACHED", 0)
        monkeypatch.setattr(module, "_LONG", 0)


both_sizes = pytest.mark.usefixtures("size")


@given(st.integers(0, 2000), st.integers(0, 30), st.integers(1, 5000), st.integers(0, 2**32 - 1))
def test_the_largest_are_all_there_and_nothing_smaller(count, k, distinct, seed):
    values = np.random.default_rng(seed).integers(distinct, size=count).astype(np.float32)
    found = values[largest(values, k)]
    right = np.sort(values)[::-1][:k]
    assert np.array_equal(np.sort(found)[::-1][:k], right)
    if 0 < k < count:
        assert (found >= right[-1]).all()
        assert len(found) == np.count_nonzero(values >= right[-1])  # all that tie with the last


def test_what_lies_within_the_margin_is_kept():
    values = np.linspace(0, 1, 1001)
    assert largest(values, 3, margin=0.0101).tolist() == list(range(988, 1001))


@both_sizes
@pytest.mark.parametrize("dimension", [2, 128, 512, 4096])
def test_the_margin_covers_the_rounding_of_two_values(dimension):
    rng = np.random.default_rng(dimension)
    matrix = rng.standard_normal((2000, dimension)) + rng.standard_normal(dimension)
    matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    exact, wide = Exact(matrix), matrix.astype(np.float64)
    right = wide @ wide[:8].T - np.einsum("ij,ij->i", wide, wide)[:, None] / 2
    one = exact._closeness(matrix[0], None)  # takes another way through the processor than many
    ((_, block),) = exact.bounds.blocks(matrix[:8])
    many = np.stack([np.mean(block.closeness(i), axis=0) for i in range(8)], axis=1)
    for found in (one[:, None], many):
        error = np.abs(found - right[:, : found.shape[1]]).max()
        assert 0 < 2 * error < exact.bounds.margin(matrix[0])


@both_sizes
def test_near_copies_are_ranked_by_their_true_distance():
    """Through norms and products in float32 all of these would be as near as each other."""
    rng = np.random.default_rng(0)
    centre = rng.standard_normal(512)
    centre /= np.linalg.norm(centre)
    step = rng.standard_normal(512)
    step /= np.linalg.norm(step)
    matrix = (centre + np.geomspace(1e-6, 1e-2, 2000)[::-1, None] * step).astype(np.float32)
    query = centre.astype(np.float32)
    rows = Exact(matrix).nearest(query[None], 50)[0]
    true = np.linalg.norm(matrix.astype(np.float64) - query.astype(np.float64), axis=1)
    found = distances(matrix, rows, query)
    assert found == pytest.approx(true[rows], rel=1e-12)
    assert np.sort(found)[:50] == pytest.approx(np.sort(true)[:50], rel=1e-12)


@both_sizes
@pytest.mark.parametrize("rows", [slice(100, 150), np.arange(0, 1000, 3), np.arange(5)])
def test_allowed_rows_are_searched_and_no_others(rows):
    matrix = np.random.default_rng(0).standard_normal((1000, 5)).astype(np.float32)
    queries = matrix[:4] + 0.1
    allowed = np.arange(1000)[rows]
    exact = Exact(matrix)
    for query, found in zip(queries, exact.nearest(queries, 4, rows), strict=True):
        right = allowed[np.argsort(np.linalg.norm(matrix[allowed] - query, axis=1))[:4]]
        assert set(right) <= set(found.tolist()) <= set(allowed.tolist())


@both_sizes
def test_one_vector_that_is_far_away_leaves_the_others_as_few_as_they_were():
    matrix = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    matrix[7] *= 1e5
    found = Exact(matrix).nearest(matrix[:1], 10)[0]
    assert set(np.linalg.norm(matrix - matrix[0], axis=1).argsort()[:10]) <= set(found.tolist())
    assert len(found) < 20


@both_sizes
@pytest.mark.parametrize("norm", [1e18, 1.8e19, 1e20, 3e38])
def test_vectors_whose_squares_float32_does_not_hold_are_ranked_all_the_same(norm):
    matrix = np.random.default_rng(0).standard_normal((1000, 16))
    matrix = (matrix / np.abs(matrix).max() * norm).astype(np.float32)
    matrix[3] = matrix[5]
    true = np.linalg.norm(matrix.astype(np.float64) - matrix[5].astype(np.float64), axis=1)
    exact, nearest = Exact(matrix), np.argsort(true)[:4]
    for queries in (matrix[5:6], matrix[5:8]):
        assert set(nearest) <= set(exact.nearest(queries, 4)[0].tolist())
    assert 3 not in exact.without(np.array([3])).nearest(matrix[5:6], 4)[0]
    middle = float(np.sort(true)[9:11].mean())
    assert set(np.flatnonzero(true < middle)) == set(exact.between(matrix[5], 0, middle, None).tolist())
    assert int(true.argmax()) in exact.between(matrix[5], 0, np.inf, 2, farthest=True)
