"""Batches of P classes x K images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.uniform import ClassBatches


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=8),
    st.integers(2, 4),
    st.integers(2, 3),
    st.integers(0, 5),
)
def test_each_batch_is_p_classes_of_k_images_none_twice(sizes, p, k, seed):
    categories = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    if sum(size >= k for size in sizes) < p:
        with pytest.raises(DeepRankingError, match="classes"):
            ClassBatches(categories, p, k, seed)
        return
    batches = list(ClassBatches(categories, p, k, seed).epoch(3))
    assert batches
    for batch in batches:
        per_class = categories[batch].reshape(p, k)
        assert (per_class == per_class[:, :1]).all()
        assert len(set(per_class[:, 0])) == p
    dealt = np.concatenate(batches)
    assert len(dealt) == len(set(dealt))


def test_epochs_differ_and_the_seed_decides():
    categories = np.repeat(np.arange(10), 20)
    dealt = lambda seed, epoch: np.stack(list(ClassBatches(categories, 4, 4, seed).epoch(epoch)))  # noqa: E731
    assert (dealt(1, 0) == dealt(1, 0)).all()
    assert dealt(1, 0).shape != dealt(1, 1).shape or (dealt(1, 0) != dealt(1, 1)).any()
    assert dealt(1, 0).shape != dealt(2, 0).shape or (dealt(1, 0) != dealt(2, 0)).any()


def test_nearly_all_images_of_unequal_classes_are_dealt():
    sizes = [100, 60, 40, 40, 30, 30, 20, 20]
    categories = np.repeat(np.arange(len(sizes)), sizes)
    dealt = sum(map(len, ClassBatches(categories, 2, 4).epoch(0)))
    assert dealt > 0.9 * len(categories)


def test_small_classes_are_named():
    batches = ClassBatches(np.array([0, 0, 1, 1, 7]), 2, 2)
    assert batches.small_classes.tolist() == [7]
    with pytest.raises(DeepRankingError, match="images_per_class"):
        ClassBatches(np.array([0, 0, 1, 1]), 2, 1)
