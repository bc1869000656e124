"""Pairs within a distance, against a look at every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import vectors_like_embeddings

from deep_ranking.search import pairs
from deep_ranking.search.copies import first_of_equal
from deep_ranking.search.pairs import near_pairs


def right_pairs(matrix, within):
    wide = matrix.astype(np.float64)
    far = np.sqrt([((wide - row) ** 2).sum(axis=1) for row in wide])
    one, other = np.nonzero(np.triu(far <= within, 1))
    return set(zip(one.tolist(), other.tolist(), strict=True))


def found_pairs(matrix, within):
    """Return the pairs, each of which has to come but once, without the few too many for the rounding."""
    found = [
        (min(a, b), max(a, b))
        for one, other in near_pairs(matrix, within)
        for a, b in zip(one.tolist(), other.tolist(), strict=True)
    ]
    assert len(found) == len(set(found))
    wide = matrix.astype(np.float64)
    return {(a, b) for a, b in found if np.linalg.norm(wide[a] - wide[b]) <= within}


@pytest.mark.parametrize("leaf", [4, 256])
@pytest.mark.parametrize("dimension", [1, 3, 40])
@pytest.mark.parametrize("within", [0.0, 0.05, 0.4, 3.0])
def test_all_pairs_are_found_once(monkeypatch, leaf, dimension, within):
    monkeypatch.setattr(pairs, "_LEAF", leaf)
    monkeypatch.setattr(pairs, "_COLUMNS", 64)
    matrix = vectors_like_embeddings(500, dimension)
    matrix[100:110] = matrix[0]
    matrix[200:240] = matrix[40:80] + np.float32(0.001)
    assert found_pairs(matrix, within) == right_pairs(matrix, within)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 6), st.sampled_from([1e-30, 1e-3, 1.0, 1e15]), st.integers(0, 10**6)
)
def test_of_any_size_ties_and_copies_among_them(count, dimension, size, seed):
    rng = np.random.default_rng(seed)
    matrix = (rng.integers(-2, 3, (count, dimension)) * size).astype(np.float32)
    within = float(np.float32(size)) * rng.choice([0.0, 1.0, 2.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_LEAF", 3)
        assert found_pairs(matrix, within) == right_pairs(matrix, within)


def test_most_of_what_lies_apart_is_not_compared(monkeypatch):
    """Of rows along some lines, as embeddings of a kind; what is compared is what the bounds are asked of."""
    asked = []
    bounds = pairs.Bounds
    monkeypatch.setattr(pairs, "_LEAF", 16)
    monkeypatch.setattr(pairs, "Bounds", lambda rows: (asked.append(len(rows)), bounds(rows))[1])
    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((4000, 4)) @ rng.standard_normal((4, 30))).astype(np.float32)
    assert found_pairs(matrix, 0.05) == right_pairs(matrix, 0.05)
    assert sum(asked) * 16 < 0.1 * len(matrix) ** 2 / 2


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_the_first_of_equal_rows_is_found_whatever_the_keys_say(monkeypatch, kind):
    rng = np.random.default_rng(0)
    matrix = rng.integers(-1, 2, (400, 4)).astype(kind)
    matrix[matrix == 0] *= -1  # some zeros have a sign
    seen = {}
    expected = [seen.setdefault(row.tobytes(), place) for place, row in enumerate(matrix)]
    assert first_of_equal(matrix).tolist() == expected
    keys = "deep_ranking.search.copies._keys"
    monkeypatch.setattr(keys, lambda bits: iter([np.zeros(len(bits), np.uint64)]))
    assert first_of_equal(matrix).tolist() == expected


@pytest.mark.parametrize("scale", [1.0, 3e20, 1e38])
@pytest.mark.parametrize("within", [0.0, 0.5, 1e200])
def test_pairs_are_found_whatever_the_scale_and_however_far(scale, within):
    rows = (np.repeat(np.random.default_rng(3).uniform(-1, 1, (300, 2)), 2, axis=0) * scale).astype(
        np.float32
    )
    plain = rows.astype(np.float64) / scale
    apart = np.linalg.norm(plain[:, None] - plain, axis=2)
    wanted = np.argwhere(np.triu(apart <= within, 1))
    pairs = near_pairs(rows, min(within * scale, 1e200))
    found = {(min(pair), max(pair)) for one, other in pairs for pair in zip(one, other, strict=True)}
    assert found >= {(one, other) for one, other in wanted.tolist()}
