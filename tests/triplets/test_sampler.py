"""The blog's sampler against its definition."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.uniform import UniformSampler, choose

CLASSES = {
    "a": [f"a/{i}" for i in range(7)],
    "b": [f"b/{i}" for i in range(2)],
    "c": ["c/0"],
    "d": [f"d/{i}" for i in range(40)],
}


def named(sampler):
    images = sampler.images
    return [tuple(images[i] for i in row) for block in sampler.blocks() for row in block]


@pytest.mark.parametrize(("num_pos", "num_neg"), [(1, 1), (3, 2), (100, 4), (4, 100), (100, 100)])
def test_every_triplet_is_legal_and_every_image_queries(num_pos, num_neg):
    sampler = UniformSampler(CLASSES, num_pos, num_neg, seed=3)
    triplets = named(sampler)
    assert len(triplets) == len(sampler) == len(set(triplets))
    pairs = Counter((query, positive) for query, positive, _ in triplets)
    total = sum(map(len, CLASSES.values()))
    for images in CLASSES.values():
        for query in images:
            positives = {p for q, p in pairs if q == query}
            assert len(positives) == min(num_pos, len(images) - 1)
            assert query not in positives
            assert positives <= set(images)
            for positive in positives:
                assert pairs[query, positive] == min(num_neg, total - len(images))
    assert all(query[0] != negative[0] for query, _, negative in triplets)
    assert sampler.single_image_classes == ["c"]


def test_the_seed_alone_decides():
    assert named(UniformSampler(CLASSES, 3, 2, seed=1)) == named(UniformSampler(CLASSES, 3, 2, seed=1))
    assert named(UniformSampler(CLASSES, 3, 2, seed=1)) != named(UniformSampler(CLASSES, 3, 2, seed=2))


def test_balanced_by_classes_each_class_asks_in_as_many_triplets():
    by_images, by_classes = (UniformSampler(CLASSES, 3, 2, 1, balance) for balance in ("images", "classes"))
    triplets = named(by_classes)
    assert len(triplets) == len(by_classes) == pytest.approx(len(by_images), rel=0.02)
    assert by_classes.triplets == dict(Counter(query[0] for query, _, _ in triplets))
    assert by_images.triplets == dict(Counter(query[0] for query, _, _ in named(by_images)))
    assert max(by_images.triplets.values()) > 5 * min(by_images.triplets.values())
    assert max(by_classes.triplets.values()) < 1.1 * min(by_classes.triplets.values())
    asked = Counter(query for query, _, _ in triplets)
    for name in "abd":  # of a small class all are, about as often as each other; of a large one once each
        counts = [asked[image] / by_classes._of_query(name) for image in CLASSES[name]]
        assert max(counts) - min(counts) <= 1
    assert all(q != p and q[0] == p[0] != n[0] for q, p, n in triplets)
    with pytest.raises(DeepRankingError, match="balance: expected images or classes, found 'all'"):
        UniformSampler(CLASSES, balance="all")


def test_negatives_are_uniform_over_the_other_classes():
    sampler = UniformSampler({"a": ["0", "1"], "b": ["2", "3", "4"], "c": ["5", "6"]}, 1, 2)
    counts = Counter()
    for seed in range(3000):
        sampler = UniformSampler(sampler.classes, 1, 2, seed)
        counts.update(n for q, _, n in named(sampler) if q == "0")
    assert set(counts) == {"2", "3", "4", "5", "6"}
    expected = 3000 * 2 / 5
    # Chi-square with 4 degrees of freedom: 18.5 is the 99.9% point.
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 18.5


@pytest.mark.parametrize(("population", "k"), [(6, 2), (6, 3), (6, 5), (6, 6), (5, 1)])
def test_choose_takes_every_subset_equally_often(population, k):
    draws = 60_000
    drawn = choose(np.random.default_rng(5), draws, population, k)
    counts = Counter(map(tuple, drawn))
    subsets = list(combinations(range(population), k))
    assert set(counts) == set(subsets)
    expected = draws / len(subsets)
    statistic = sum((counts[s] - expected) ** 2 / expected for s in subsets)
    degrees = max(1, len(subsets) - 1)
    assert statistic < degrees + 4.5 * np.sqrt(2 * degrees)


def test_choose_works_in_parts_when_rows_times_population_is_large():
    drawn = choose(np.random.default_rng(0), 50, 60_000, 40_000)
    assert drawn.shape == (50, 40_000)
    assert (np.diff(drawn, axis=1) > 0).all()


@pytest.mark.parametrize(
    ("classes", "counts", "message"),
    [
        (CLASSES, (0, 1), "num_pos_images: expected 1 or more, found 0"),
        (CLASSES, (1, -2), "num_neg_images: expected 1 or more, found -2"),
        ({"a": ["1", "2"]}, (1, 1), "expected two classes or more, found 1 (a)"),
        ({}, (1, 1), "expected two classes or more, found 0"),
        ({"a": ["1"], "b": ["2"]}, (1, 1), "expected a class with two images or more"),
    ],
)
def test_what_cannot_be_sampled_is_said(classes, counts, message):
    with pytest.raises(DeepRankingError) as error:
        UniformSampler(classes, *counts)
    assert message in str(error.value)
