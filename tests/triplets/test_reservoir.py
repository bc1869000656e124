"""Reservoirs hold the sample that Efraimidis and Spirakis define, in any order, from any pieces."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.reservoir import Reservoirs


def filled(capacity, ids, categories, weights=None, carried=None, seed=0, piece=None):
    reservoirs = Reservoirs(capacity, seed)
    ids, categories = np.asarray(ids), np.asarray(categories)
    piece = piece or max(1, len(ids))
    for start in range(0, len(ids), piece):
        part = slice(start, start + piece)
        reservoirs.add(
            ids[part],
            categories[part],
            None if weights is None else np.asarray(weights)[part],
            {name: values[part] for name, values in (carried or {}).items()},
        )
    return reservoirs


def assert_same(one, two):
    one, two = one.state(), two.state()
    assert one.keys() == two.keys()
    for name, values in one.items():
        if name == "weight_sums":
            np.testing.assert_allclose(values, two[name], rtol=1e-12)  # sums in another order
        else:
            np.testing.assert_array_equal(values, two[name])


def test_frequencies_of_all_subsets_are_those_of_drawing_one_by_one_by_weight():
    """20,000 categories with the same five weights: 20,000 independent reservoirs."""
    weights, capacity, times = np.array([0.2, 1, 3, 0.7, 2]), 2, 20_000
    reservoirs = filled(
        capacity, np.arange(5 * times), np.repeat(np.arange(times), 5), np.tile(weights, times), piece=7919
    )
    subsets = np.sort(reservoirs.ids.reshape(times, capacity) % 5, axis=1)
    names, observed = np.unique(subsets @ [10, 1], return_counts=True)
    expected = {10 * i + j: 0.0 for i, j in itertools.combinations(range(5), 2)}
    for i, j in itertools.permutations(range(5), 2):
        p = weights[i] / weights.sum() * weights[j] / (weights.sum() - weights[i])
        expected[10 * min(i, j) + max(i, j)] += p * times
    assert list(expected) == names.tolist()
    assert stats.chisquare(observed, list(expected.values())).pvalue > 0.001


def test_capacity_1_keeps_an_image_with_probability_proportional_to_weight():
    weights, times = np.array([1, 2, 0, 5.0]), 10_000
    reservoirs = filled(1, np.arange(4 * times), np.repeat(np.arange(times), 4), np.tile(weights, times))
    observed = np.bincount(reservoirs.ids % 4, minlength=4)
    assert observed[2] == 0
    assert stats.chisquare(observed[[0, 1, 3]], weights[[0, 1, 3]] / 8 * times).pvalue > 0.001


def test_inclusion_makes_sums_unbiased():
    """Each image stands for 1 / inclusion: on average over reservoirs the numbers come out right."""
    weights, times = np.array([0.1, 0.5, 1, 1, 2, 4, 8, 0.3]), 40_000
    reservoirs = filled(3, np.arange(8 * times), np.repeat(np.arange(times), 8), np.tile(weights, times))
    copies = np.zeros((times, 8))
    copies[reservoirs.categories, reservoirs.ids % 8] = 1 / reservoirs.inclusion
    # Copies of light images are rare and large, so it is the weighted sums whose mean is sharp.
    values = copies * weights
    error = values.std(axis=0) / np.sqrt(times)
    assert (np.abs(values.mean(axis=0) - weights) < 4 * error).all()


def test_images_of_weight_0_fill_what_is_left_and_evenly():
    times = 10_000
    weights = np.array([0, 0, 1, 0, 0])
    reservoirs = filled(3, np.arange(5 * times), np.repeat(np.arange(times), 5), np.tile(weights, times))
    observed = np.bincount(reservoirs.ids % 5, minlength=5)
    assert observed[2] == times
    assert stats.chisquare(observed[[0, 1, 3, 4]]).pvalue > 0.0001
    heavy = reservoirs.ids % 5 == 2
    assert (reservoirs.inclusion[heavy] == 1).all()
    assert np.isfinite(1 / reservoirs.inclusion).all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 10)), max_size=60),
    st.integers(1, 5),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
)
def test_order_pieces_merging_and_saving_do_not_matter(images, capacity, piece, random):
    categories = np.array([category for category, _ in images], int)
    weights = np.array([weight for _, weight in images], float)
    ids = np.arange(len(images)) * 3
    carried = {"feature": np.stack([ids, -ids], axis=1).astype(np.float32)}
    whole = filled(capacity, ids, categories, weights, carried, seed=9)
    order = np.array(random.sample(range(len(images)), len(images)), int)
    shuffled = [values[order] for values in (ids, categories, weights, carried["feature"])]
    mixed = filled(capacity, *shuffled[:3], {"feature": shuffled[3]}, seed=9, piece=piece)
    assert_same(mixed, whole)

    cut = len(images) // 3
    first, second = (
        filled(
            capacity,
            ids[part],
            categories[part],
            weights[part],
            {"feature": carried["feature"][part]},
            seed=9,
        )
        for part in (slice(cut), slice(cut, None))
    )
    resumed = Reservoirs.restored(first.state())
    first.merge(second)
    if cut:
        assert_same(first, whole)
    resumed.add(ids[cut:], categories[cut:], weights[cut:], {"feature": carried["feature"][cut:]})
    if len(images):
        assert_same(resumed, whole)
        np.testing.assert_array_equal(whole.carried["feature"][:, 0], whole.ids)


def test_memory_is_bounded_by_categories_times_capacity():
    reservoirs = Reservoirs(10)
    for start in range(0, 300_000, 1000):
        reservoirs.add(np.arange(start, start + 1000), np.arange(1000) % 100)
        assert sum(map(len, reservoirs._columns["ids"])) <= 2 * (1 << 14) + 1000
    assert len(reservoirs.ids) == 1000
    assert (reservoirs.counts == 3000).all()


def test_merged_reservoirs_have_the_distribution_of_one():
    """Capacity 2 of 3 + 3 weights, in 20,000 categories."""
    weights, times = np.array([1, 2, 3, 0.5, 4, 1.5]), 20_000
    ids, categories = np.arange(6 * times), np.repeat(np.arange(times), 6)
    first = ids % 6 < 3
    merged = filled(2, ids[first], categories[first], weights[ids[first] % 6])
    merged.merge(filled(2, ids[~first], categories[~first], weights[ids[~first] % 6]))
    observed = np.bincount(merged.ids % 6)
    expected = np.zeros(6)
    for i, j in itertools.permutations(range(6), 2):
        expected[[i, j]] += weights[i] * weights[j] / weights.sum() / (weights.sum() - weights[i]) * times
    # The counts of one reservoir are 0 or 1 and sum to 2: each count by itself is binomial.
    for count, mean in zip(observed, expected, strict=True):
        assert stats.binomtest(int(count), times, mean / times).pvalue > 0.0001


def test_an_image_that_comes_twice_is_refused():
    reservoirs = filled(3, [1, 2], [0, 0])
    reservoirs.add([2], [0], [7.0])
    with pytest.raises(DeepRankingError, match="image 2 of category 0 came twice"):
        reservoirs.ids  # noqa: B018


def test_wrong_input_is_an_error():
    with pytest.raises(DeepRankingError, match="capacity"):
        Reservoirs(0)
    reservoirs = Reservoirs(2)
    for ids, categories, weights, problem in [
        ([1], [-1], None, "0 or more"),
        ([1, 2], [0], None, "categories: expected 2"),
        ([1], [0], [np.nan], "weights"),
        ([1], [0], [-1.0], "weights"),
    ]:
        with pytest.raises(DeepRankingError, match=problem):
            reservoirs.add(ids, categories, weights)
    reservoirs.add([1], [0], None, {"feature": [[1.0, 2.0]]})
    with pytest.raises(DeepRankingError, match="carried 'feature'"):
        reservoirs.add([2], [0])
    with pytest.raises(DeepRankingError, match="carried 'feature'"):
        reservoirs.add([2], [0], None, {"feature": [[1.0]]})
    with pytest.raises(DeepRankingError, match="same capacity and seed"):
        reservoirs.merge(Reservoirs(3))
    with pytest.raises(DeepRankingError, match="lacks capacity"):
        Reservoirs.restored({})
