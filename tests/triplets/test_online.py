"""The online sampler's frequencies agree with eqs. 6-8, and its state is whole."""

import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from scipy import stats

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.importance import ImportanceSampler
from deep_ranking.triplets.online import OnlineSampler
from deep_ranking.triplets.relevance import FeatureRelevance
from deep_ranking.triplets.settings import ImportanceSettings

features_of = functools.partial(FeatureRelevance, scale=1.0)
OUT_OF_CLASS = ImportanceSettings(relevance_cap=0.5, out_of_class_ratio=1)
# One trial a query: with more, whether one of them succeeds depends on what a reservoir happens to hold.
IN_CLASS = ImportanceSettings(relevance_cap=0.5, relevance_margin=0.2, out_of_class_ratio=0, failure_limit=1)


@functools.cache
def independent_draws(size, capacity, settings, times=30_000, draws=6000):
    """Triplets from many reservoirs of the same images, as places in a category.

    There are so many more categories than triplets that nearly each comes from a reservoir of its own.
    """
    x = np.random.default_rng(1).normal(size=(size, 1))
    relevance = FeatureRelevance(np.zeros(size, int), {"x": x})
    mean = relevance.totals() / (size - 1)
    sampler = OnlineSampler(capacity, features_of, settings, seed=0)
    ids = np.arange(size * times)
    sampler.add(ids, ids // size, np.tile(mean, times), {"x": np.tile(x, (times, 1))})
    return relevance, mean, sampler, sampler.draw(draws) % size


def p_value(observed, probabilities):
    """Chi-square over the cells; rare ones are put together until 10 or more are expected."""
    observed, expected = np.ravel(observed), np.ravel(probabilities) * np.sum(observed)
    assert not observed[expected == 0].any()
    order = np.argsort(expected)
    group = np.ceil(np.cumsum(np.minimum(expected[order], 10)) / 10)
    group = np.minimum(np.searchsorted(np.unique(group), group), len(np.unique(group)) - 1)
    cells = [np.bincount(group, values[order]) for values in (observed, expected)]
    cells = [np.append(values[0] + values[1], values[2:]) for values in cells]
    assert len(cells[0]) > 1
    return stats.chisquare(*cells).pvalue


def joint_of(relevance, mean, settings):
    """P(query, positive, in-class negative) by eqs. 6-8."""
    size = len(mean)
    r = relevance(np.arange(size)[:, None], np.arange(size))
    capped = np.minimum(settings.relevance_cap, r)
    weight = capped / capped.sum(axis=1, keepdims=True)
    pair = (mean / mean.sum())[:, None] * weight
    legal = weight[:, None, :] * (r[:, :, None] - r[:, None, :] >= settings.relevance_margin)
    mass = legal.sum(axis=2)
    kept = 1 - (1 - mass) ** settings.failure_limit
    share = np.divide(legal, mass[..., None], out=np.zeros_like(legal), where=mass[..., None] > 0)
    joint = pair[..., None] * kept[..., None] * share
    return pair, joint / joint.sum()


def test_frequencies_from_a_third_of_the_images_agree_with_the_equations():
    relevance, mean, _, triplets = independent_draws(60, 20, OUT_OF_CLASS)
    pair, _ = joint_of(relevance, mean, OUT_OF_CLASS)
    observed = np.zeros((60, 60))
    np.add.at(observed, tuple(triplets[:, :2].T), 1)
    assert p_value(observed.sum(axis=1), mean / mean.sum()) > 0.001
    assert p_value(observed.sum(axis=0), pair.sum(axis=0)) > 0.001
    assert p_value(observed, pair) > 0.001
    assert p_value(np.bincount(triplets[:, 2], minlength=60), np.full(60, 1 / 60)) > 0.001


def test_frequencies_of_in_class_negatives_agree_with_the_equations():
    relevance, mean, _, triplets = independent_draws(60, 30, IN_CLASS)
    _, joint = joint_of(relevance, mean, IN_CLASS)
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        assert p_value(np.bincount(triplets[:, axis], minlength=60), joint.sum(axis=others)) > 0.001
    observed = np.zeros((60, 60))
    np.add.at(observed, tuple(triplets[:, [0, 2]].T), 1)
    assert p_value(observed, joint.sum(axis=1)) > 0.001


def test_where_all_images_fit_the_draws_are_exact():
    relevance, mean, _, triplets = independent_draws(9, 9, IN_CLASS)
    _, joint = joint_of(relevance, mean, IN_CLASS)
    observed = np.zeros((9, 9, 9))
    np.add.at(observed, tuple(triplets.T), 1)
    assert p_value(observed, joint) > 0.001


def test_queries_drawn_alike_from_the_buffers_would_be_seen():
    """The paper's shortcut holds for small samples alone; this shows that the chi-square can fail."""
    _, mean, sampler, _ = independent_draws(60, 30, IN_CLASS)
    buffers = sampler.reservoirs.ids.reshape(-1, 30) % 60
    alike = np.random.default_rng(0).permuted(buffers, axis=1)[:, 0]
    assert p_value(np.bincount(alike, minlength=60), mean / mean.sum()) < 0.001


def test_categories_are_drawn_by_their_total_relevance_and_by_their_size():
    sizes = np.array([1, 2, 5, 40, 300])
    categories = np.repeat(np.arange(5), sizes)
    sampler = OnlineSampler(4, settings=ImportanceSettings(out_of_class_ratio=1), seed=2)
    sampler.add(np.arange(len(categories)), categories)
    query, positive, negative = categories[sampler.draw(200_000).T]
    assert (query == positive).all()
    assert (query != negative).all()
    totals = sizes * (sizes - 1)
    assert p_value(np.bincount(query, minlength=5), totals / totals.sum()) > 0.001
    others = np.where(np.eye(5, dtype=bool), 0, sizes)
    expected = (totals / totals.sum())[:, None] * others / others.sum(axis=1, keepdims=True)
    observed = np.zeros((5, 5))
    np.add.at(observed, (query, negative), 1)
    assert p_value(observed, expected) > 0.001


def stream(rng_seed, count):
    rng = np.random.default_rng(rng_seed)
    ids = np.arange(count)
    return ids, rng.integers(0, 6, count), rng.random(count), {"x": rng.normal(size=(count, 3))}


def part_of(images, part):
    ids, categories, weights, carried = images
    return ids[part], categories[part], weights[part], {name: rows[part] for name, rows in carried.items()}


def test_saved_and_loaded_amid_the_stream_it_draws_on_as_if_uninterrupted(tmp_path):
    images = stream(3, 900)
    sampler = OnlineSampler(20, features_of, ImportanceSettings(0.8, 0.05, 0.3, 50), seed=2**70 + 1)
    sampler.add(*part_of(images, slice(0, 500)))
    sampler.draw(100)
    sampler.save(tmp_path / "state.npz")
    loaded = OnlineSampler.load(tmp_path / "state.npz", features_of)
    assert loaded.settings == sampler.settings
    assert (loaded.draw(50) == sampler.draw(50)).all()
    for each in (sampler, loaded):
        each.add(*part_of(images, slice(500, 900)))
    assert (loaded.draw(1000) == sampler.draw(1000)).all()
    assert all(values.dtype != object for values in sampler.state().values())


def test_draws_depend_on_seed_and_images_alone():
    images = stream(4, 600)
    one, two, other = (OnlineSampler(15, features_of, seed=seed) for seed in (1, 1, 2))
    one.add(*images)
    other.add(*images)
    for start in range(0, 600, 60):
        two.add(*part_of(images, slice(600 - start - 60, 600 - start)))
    assert (one.draw(500) == np.concatenate([two.draw(120), two.draw(380)])).all()
    assert (one.draw(500) != other.draw(500)).any()


def test_two_merged_samplers_draw_as_one():
    images = stream(5, 800)
    whole, left, right = (OnlineSampler(15, features_of, seed=6) for _ in range(3))
    whole.add(*images)
    left.add(*part_of(images, slice(0, 300)))
    right.add(*part_of(images, slice(300, 800)))
    left.draw(1)
    left.merge(right)
    left.drawn = 0
    assert (left.draw(2000) == whole.draw(2000)).all()


def pass_over_a_shard(folder, number):
    """What a worker does: it streams every third image of each category, and saves what it kept."""
    ids = np.arange(number, 60 * 2000, 3)
    x = np.random.default_rng(1).normal(size=(60, 1))
    mean = FeatureRelevance(np.zeros(60, int), {"x": x}).totals() / 59
    sampler = OnlineSampler(20, features_of, OUT_OF_CLASS, seed=8)
    for part in np.array_split(ids, 5):
        sampler.add(part, part // 60, mean[part % 60], {"x": x[part % 60]})
    sampler.save(folder / f"{number}.npz")
    return mean


def test_reservoirs_of_workers_over_shards_merge_into_those_of_the_whole_stream(tmp_path):
    workers = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    with workers:
        mean, *_ = workers.map(pass_over_a_shard, [tmp_path] * 3, range(3))
    merged = []
    for order in ((0, 1, 2), (2, 0, 1)):
        first, *others = (OnlineSampler.load(tmp_path / f"{number}.npz", features_of) for number in order)
        for other in others:
            first.merge(other)
        merged.append(first)
    whole = OnlineSampler(20, features_of, OUT_OF_CLASS, seed=8)
    ids, x = np.arange(60 * 2000), np.random.default_rng(1).normal(size=(60, 1))
    whole.add(ids, ids // 60, mean[ids % 60], {"x": x[ids % 60]})
    for sampler in merged:
        assert np.array_equal(sampler.reservoirs.ids, whole.reservoirs.ids)
        assert np.array_equal(sampler.reservoirs.counts, whole.reservoirs.counts)
        np.testing.assert_allclose(sampler.reservoirs.inclusion, whole.reservoirs.inclusion, rtol=1e-12)
    # And that is the distribution of eqs. 6-8, each category a reservoir of its own.
    relevance = FeatureRelevance(np.zeros(60, int), {"x": x})
    pair, _ = joint_of(relevance, mean, OUT_OF_CLASS)
    triplets = merged[0].draw(1500) % 60
    observed = np.zeros((60, 60))
    np.add.at(observed, tuple(triplets[:, :2].T), 1)
    assert p_value(observed.sum(axis=1), mean / mean.sum()) > 0.001
    assert p_value(observed.sum(axis=0), pair.sum(axis=0)) > 0.001
    assert p_value(np.bincount(triplets[:, 2], minlength=60), np.full(60, 1 / 60)) > 0.001
    # Workers that each draw from their own and put the triplets together would not.
    own = OnlineSampler.load(tmp_path / "0.npz", features_of).draw(1500) % 60
    assert p_value(np.bincount(own[:, 2], minlength=60) + 1, np.full(60, 1 / 60)) < 0.001


def test_estimated_relevance_is_exact_where_all_images_fit_and_near_where_not():
    ids, categories, _, carried = stream(6, 3000)
    exact = FeatureRelevance(categories, carried).totals() / (np.bincount(categories)[categories] - 1)
    for capacity, error in [(3000, 1e-6), (200, 0.05)]:
        sampler = OnlineSampler(capacity, features_of)
        sampler.add(ids, categories, carried=carried)
        estimate = sampler.estimated_relevance(ids, categories, carried)
        assert np.abs(estimate - exact).max() < error
    unknown = sampler.estimated_relevance([9999], [77], {"x": np.zeros((1, 3))})
    assert unknown.tolist() == [0]


def test_streamed_features_agree_with_the_exact_sampler_where_all_fit():
    ids, categories, _, carried = stream(7, 120)
    relevance = FeatureRelevance(categories, carried)
    mean = relevance.totals() / (np.bincount(categories)[categories] - 1)
    settings = ImportanceSettings(out_of_class_ratio=0.5)
    online = OnlineSampler(500, features_of, settings, seed=1)
    online.add(ids, categories, mean, carried)
    exact = ImportanceSampler(relevance, settings, seed=1)
    for column in range(3):
        one, two = (np.bincount(s.draw(30_000)[:, column], minlength=120) for s in (online, exact))
        assert stats.chi2_contingency([one, two]).pvalue > 0.001


def test_capacity_1_and_one_image_categories_have_no_positive():
    sampler = OnlineSampler(1, settings=ImportanceSettings(out_of_class_ratio=1))
    with pytest.raises(DeepRankingError, match="no query"):
        sampler.draw(1)
    sampler.add(np.arange(100), np.arange(100) % 5)
    with pytest.raises(DeepRankingError, match="no query"):
        sampler.draw(1)
    alone = OnlineSampler(5, settings=ImportanceSettings(out_of_class_ratio=1))
    alone.add(np.arange(7), [0, 1, 2, 3, 4, 4, 4])
    triplets = alone.draw(500)
    assert set(triplets[:, :2].ravel()) == {4, 5, 6}
    assert set(triplets[:, 2]) == {0, 1, 2, 3}


def test_images_without_relevance_are_negatives_only():
    weights = np.array([0.0, 1, 1, 0, 1, 1])
    sampler = OnlineSampler(10, settings=ImportanceSettings(out_of_class_ratio=1))
    sampler.add(np.arange(6), [0, 0, 0, 1, 1, 1], weights)
    query, _, negative = sampler.draw(500).T
    assert set(query) == {1, 2, 4, 5}
    assert set(negative) == set(range(6))


def test_a_file_that_is_no_state_is_an_error(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    np.savez(tmp_path / "b.npz", drawn=1)
    OnlineSampler(2).save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(DeepRankingError, match="state"):
            OnlineSampler.load(tmp_path / name)
