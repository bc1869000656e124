"""Neighbours: exact, in a fixed order, in little memory."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import NeighbourSearch, neighbours, squared_distances
from deep_ranking.search import bounds


def exact(a, b):
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def oracle(queries, gallery, k, leave_out=None, farthest=False):
    """Every distance, one at a time, sorted by (distance, index)."""
    rows = []
    for i, query in enumerate(queries):
        ranked = [
            (-exact(query, image) if farthest else exact(query, image), j)
            for j, image in enumerate(gallery)
            if leave_out is None or leave_out[i] != j
        ]
        rows.append([j for _, j in sorted(ranked)[:k]])
    return np.array(rows)


# Multiples of a quarter: their squares and sums are exact, so the oracle's ties are ties.
quarters = st.integers(-8, 8).map(lambda number: number / 4)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_it_is_the_sorted_list_of_all_distances_ties_and_all(data):
    width = data.draw(st.integers(1, 5))
    gallery = data.draw(arrays(np.float32, (data.draw(st.integers(2, 40)), width), elements=quarters))
    queries = data.draw(arrays(np.float32, (data.draw(st.integers(1, 6)), width), elements=quarters))
    leave_out = np.array([data.draw(st.integers(-1, len(gallery) - 1)) for _ in queries])
    k = data.draw(st.integers(1, len(gallery) - 1))
    farthest = data.draw(st.booleans())
    found = neighbours(queries, gallery, k, leave_out, farthest)
    np.testing.assert_array_equal(found.indices, oracle(queries, gallery, k, leave_out, farthest))
    expected = [
        [exact(query, gallery[j]) for j in row] for query, row in zip(queries, found.indices, strict=True)
    ]
    np.testing.assert_array_equal(found.squared_distances, expected)


@pytest.mark.parametrize("farthest", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_many_columns_a_group_and_many_blocks(monkeypatch, farthest, dtype):
    monkeypatch.setattr(bounds, "_BLOCK", 3000)  # two or so queries a block
    random = np.random.default_rng(0)
    gallery = random.standard_normal((1000, 7)).astype(dtype)
    gallery[500:] = gallery[:500]  # every distance twice: the lower index first
    queries = random.standard_normal((9, 7)).astype(dtype)
    found = neighbours(queries, gallery, 5, farthest=farthest)
    np.testing.assert_array_equal(found.indices, oracle(queries, gallery, 5, farthest=farthest))


def test_agrees_with_scikit_learn():
    random = np.random.default_rng(1)
    gallery, queries = random.standard_normal((2000, 33)), random.standard_normal((50, 33))
    found = neighbours(queries, gallery, 20)
    distances, indices = (
        NearestNeighbors(n_neighbors=20, algorithm="kd_tree").fit(gallery).kneighbors(queries)
    )
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)


def test_small_distances_far_from_the_origin_keep_their_digits():
    random = np.random.default_rng(2)
    centre = 1000 * random.standard_normal(64)
    gallery = centre + 1e-9 * random.standard_normal((300, 64))  # |a|^2 + |b|^2 - 2ab is only noise here
    found = neighbours(gallery[:5], gallery, 10, leave_out=np.arange(5))
    np.testing.assert_array_equal(found.indices, oracle(gallery[:5], gallery, 10, leave_out=np.arange(5)))
    expected = [[exact(gallery[i], gallery[j]) for j in found.indices[i]] for i in range(5)]
    np.testing.assert_allclose(found.squared_distances, expected, rtol=1e-12)


@pytest.mark.parametrize("far", [1e-25, 1.0, 1e15, 1e30])
def test_a_collapsed_gallery_and_vectors_of_any_size(far):
    gallery = np.full((6000, 3), 0.1)  # more equal candidates than are computed one by one
    gallery[4000] += far
    queries = np.array([[0.1, 0.1, 0.1], [0.1 + far, 0.1 + far, 0.1 + far]])
    found = neighbours(queries, gallery, 4)
    np.testing.assert_array_equal(found.indices, oracle(queries, gallery, 4))
    assert found.squared_distances[0].tolist() == [0, 0, 0, 0]
    found = neighbours(queries, gallery, 4, farthest=True)
    np.testing.assert_array_equal(found.indices, oracle(queries, gallery, 4, farthest=True))


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_rank_is_the_place_in_the_sorted_list(seed):
    random = np.random.default_rng(seed)
    gallery = random.integers(-3, 4, (60, 3)).astype(np.float32)
    search = NeighbourSearch(gallery, gallery, leave_out=np.arange(60))
    rows = random.choice(60, 7, replace=False)
    targets = (rows + random.integers(1, 60, 7)) % 60
    ranked = oracle(gallery[rows], gallery, 59, leave_out=rows)
    expected = [1 + list(ranked[i]).index(targets[i]) for i in range(7)]
    assert search.ranks(rows, targets).tolist() == expected


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_bounds_hold(data):
    numbers = st.floats(-1e6, 1e6, width=32)
    width = data.draw(st.integers(1, 30))
    gallery = data.draw(arrays(np.float32, (8, width), elements=numbers))
    queries = data.draw(arrays(np.float32, (4, width), elements=numbers))
    for found in (bounds.CentredBounds(gallery, queries), bounds.Bounds(gallery)):
        ((_, block),) = found.blocks(queries)
        for i, query in enumerate(queries):
            scaled = squared_distances(gallery, query) * found.scale**2
            low, high = block.closeness(i)
            assert (block.squares[i] - 2 * high <= scaled * (1 + 1e-12) + 1e-30).all()
            assert (scaled * (1 - 1e-12) <= block.squares[i] - 2 * low).all()


def test_squared_distances_are_of_rows_in_blocks():
    random = np.random.default_rng(3)
    first, second = random.standard_normal((5, 2**20)), random.standard_normal((5, 2**20))
    expected = ((first - second) ** 2).sum(axis=1)
    np.testing.assert_allclose(squared_distances(first, second), expected, rtol=1e-12)
    np.testing.assert_allclose(
        squared_distances(first, second[0]), ((first - second[0]) ** 2).sum(axis=1), rtol=1e-12
    )
    bytes_ = np.array([[255]], np.uint8), np.array([[1]], np.uint8)
    assert squared_distances(*bytes_) == [254**2]


@pytest.mark.parametrize(
    ("queries", "gallery", "k", "leave_out", "message"),
    [
        (np.zeros(3), np.zeros((3, 2)), 1, None, r"queries: expected vectors of shape .*found shape \(3,\)"),
        (np.zeros((1, 2)), np.zeros((0, 2)), 1, None, "gallery: expected vectors"),
        (
            np.zeros((1, 2)),
            np.zeros((3, 4)),
            1,
            None,
            "queries have 2 numbers an image and the gallery has 4",
        ),
        (np.zeros((1, 2)), np.array([[0, 0], [0, np.nan]]), 1, None, "gallery: row 1 holds NaN"),
        (np.array([[np.inf, 0]]), np.zeros((3, 2)), 1, None, "queries: row 0 holds"),
        (np.array([["a"]]), np.zeros((3, 1)), 1, None, "queries: expected real numbers"),
        (np.zeros((1, 2)), np.zeros((3, 2)), 4, None, "expected 1 to 3 neighbours .*k = 4"),
        (np.zeros((1, 2)), np.zeros((3, 2)), 0, None, "expected 1 to 3 neighbours .*k = 0"),
        (np.zeros((1, 2)), np.zeros((3, 2)), 3, np.array([0]), "expected 1 to 2 neighbours .*k = 3"),
        (np.zeros((1, 2)), np.zeros((3, 2)), 1, np.array([3]), "leave_out: expected gallery rows 0 to 2"),
        (np.zeros((1, 2)), np.zeros((3, 2)), 1, np.array([0.5]), "leave_out: expected one whole number"),
        (np.zeros((1, 2)), np.zeros((3, 2)), 1, np.array([0, 1]), "leave_out: expected one whole number"),
    ],
)
def test_what_does_not_fit_is_said(queries, gallery, k, leave_out, message):
    with pytest.raises(DeepRankingError, match=message):
        neighbours(queries, gallery, k, leave_out)


MEMORY = """
import numpy as np
from deep_ranking.evaluation.metrics import neighbours
# Not `ru_maxrss`, which a process inherits from the one that started it.
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
vectors = np.random.default_rng(0).standard_normal((30_000, 32), dtype=np.float32)
before = peak()
neighbours(vectors[:10_000], vectors, 10)
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read in Linux's unit, KiB")
def test_memory_does_not_hold_all_distances():
    out = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    all_distances = 10_000 * 30_000 * 4 / 1024
    assert int(out.stdout) < all_distances / 4
