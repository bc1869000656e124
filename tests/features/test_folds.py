"""No image on both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.learning.folds import folds, independent_groups

IMAGES = 12


@given(
    st.lists(st.lists(st.integers(0, IMAGES - 1), min_size=3, max_size=3), min_size=1, max_size=8),
    st.lists(st.integers(0, 5), min_size=IMAGES, max_size=IMAGES),
    st.lists(st.integers(0, 20), min_size=IMAGES, max_size=IMAGES),
)
def test_groups_are_the_connected_parts(triplets, first, second):
    triplets, first, second = np.array(triplets), np.array(first), np.array(second)
    part = np.arange(IMAGES)  # the slow way: give the smaller number to both until nothing changes
    changed = True
    while changed:
        before = part.copy()
        for triplet in triplets:
            part[triplet] = part[triplet].min()
        for label in (first, second):
            for value in np.unique(label):
                part[label == value] = part[label == value].min()
        changed = (part != before).any()
    groups = independent_groups(triplets, first, second)
    query = part[triplets[:, 0]]
    assert ((groups[:, None] == groups) == (query[:, None] == query)).all()


def test_each_triplet_is_held_out_once_and_groups_stay_together():
    groups = np.repeat(np.arange(9), [1, 5, 2, 8, 3, 3, 4, 1, 2])
    times = np.zeros(len(groups), int)
    for training, held_out in folds(groups, 3):
        times[held_out] += 1
        assert not set(groups[training]) & set(groups[held_out])
        assert len(training) + len(held_out) == len(groups)
    assert (times == 1).all()


@pytest.mark.parametrize("count", [1, 4])
def test_folds_need_groups(count):
    with pytest.raises(DeepRankingError, match=f"found {count} folds and 3 groups"):
        folds(np.array([0, 1, 2, 2]), count)
