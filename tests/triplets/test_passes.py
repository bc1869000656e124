"""Triplets of each epoch from a pass through the online sampler."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.online import OnlineTriplets
from deep_ranking.triplets.relevance import FeatureRelevance, LabelRelevance, PairRelevance, SubsetRelevance
from deep_ranking.triplets.settings import ImportanceSettings
from deep_ranking.triplets.table import LabelledImages

CLASSES = {"a": [f"a/{i}" for i in range(12)], "b": [f"b/{i}" for i in range(9)], "c": ["c/0"]}
LABELLED = LabelledImages.of(CLASSES, "root")
VALUE = np.random.default_rng(0).normal(size=(22, 2))
BY_CLASS = ImportanceSettings(out_of_class_ratio=1)


def online(count=600, **changes):
    relevance = changes.pop("relevance", FeatureRelevance(LABELLED.labels, {"value": VALUE}))
    return OnlineTriplets(LABELLED, relevance, count, **changes)


def test_an_epoch_is_a_pure_function_of_seed_and_number():
    first, again = online(seed=3), online(seed=3)
    expected = [again.epoch(number) for number in (2, 0, 1)]
    for number, rows in zip((2, 0, 1), expected, strict=True):
        np.testing.assert_array_equal(first.epoch(number), rows)
    assert not np.array_equal(expected[0], expected[1])
    assert not np.array_equal(online(seed=4).epoch(0), expected[1])
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(online(seed=3).epoch, [1] * 8):
            np.testing.assert_array_equal(rows, expected[2])


def test_triplets_are_those_of_the_equations():
    triplets = np.concatenate([online().epoch(number) for number in range(4)])
    labels = LABELLED.labels[triplets]
    assert (labels[:, 0] == labels[:, 1]).all()
    assert (triplets[:, 0] != triplets[:, 1]).all()
    inside = triplets[labels[:, 0] == labels[:, 2]]
    assert len(inside) == pytest.approx(0.8 * 2400, abs=60)
    near, far = (np.exp(-np.linalg.norm(VALUE[inside[:, 0]] - VALUE[inside[:, i]], axis=1)) for i in (1, 2))
    assert (near - far >= 0.1 - 1e-6).all()


def test_a_pass_keeps_few_images_and_another_pass_others():
    triplets = online(capacity=3, relevance=LabelRelevance(LABELLED.labels), settings=BY_CLASS)
    kept = [set(np.unique(triplets.epoch(number)).tolist()) for number in range(30)]
    for images in kept:
        assert max(Counter(LABELLED.labels[list(images)]).values()) <= 3
    # Alike relevant images are alike often kept: 3 of 12, 30 times.
    often = Counter(image for images in kept for image in images)
    assert all(1 <= often[image] <= 16 for image in range(12))


def test_fingerprints_tell_triplets_apart():
    value = {"value": VALUE + 0.5 * np.arange(22)[:, None]}
    others = [online(seed=1), online(count=599), online(relevance=FeatureRelevance(LABELLED.labels, value))]
    assert online().fingerprint == online().fingerprint
    assert len({triplets.fingerprint for triplets in (online(), *others)}) == 4
    renamed = LabelledImages.of({**CLASSES, "c": ["c/1"]}, "root")
    assert renamed.fingerprint != LABELLED.fingerprint
    assert LabelledImages.of(CLASSES, "elsewhere").fingerprint == LABELLED.fingerprint


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"count": 0}, "count: expected 1"),
        ({"capacity": 1}, "capacity: expected 2"),
        ({"seed": -1}, "seed: expected 0"),
        ({"relevance": LabelRelevance(LABELLED.labels)}, "out_of_class_ratio to 1"),
        ({"relevance": PairRelevance(LABELLED.labels, [], [], [])}, "no image has a relevance above 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(changes, problem):
    with pytest.raises(DeepRankingError, match=problem):
        online(**changes)


def test_a_subset_has_the_relevance_of_the_whole():
    whole = FeatureRelevance(LABELLED.labels, {"value": VALUE})
    rows = np.random.default_rng(1).permutation(22)[:10]
    subset = SubsetRelevance(whole, rows)
    np.testing.assert_array_equal(subset.categories, LABELLED.labels[rows])
    places = np.arange(10)
    np.testing.assert_array_equal(subset(places[:, None], places), whole(rows[:, None], rows))
    assert (subset.smallest() == whole.smallest()[rows]).all()
