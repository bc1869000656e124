"""Random numbers that are a function of seed and counters."""

import numpy as np
from scipy import stats

from deep_ranking.triplets.uniforms import uniforms


def test_numbers_are_uniform_and_independent_between_seeds_and_counters():
    n = 100_000
    base = uniforms(3, 1, np.arange(n))
    assert base.min() > 0
    assert base.max() < 1
    neighbours = [
        uniforms(4, 1, np.arange(n)),
        uniforms(3, 2, np.arange(n)),
        uniforms(3, 1, np.arange(n) + 1),
        uniforms(3, 1, np.arange(n), 0),
    ]
    assert stats.kstest(base, "uniform").pvalue > 0.001
    for other in neighbours:
        table, *_ = np.histogram2d(base, other, bins=16, range=[[0, 1], [0, 1]])
        assert stats.chisquare(table.ravel()).pvalue > 0.001


def test_seeds_and_counters_may_be_negative_or_large():
    values = [
        float(uniforms(seed, counter)[0]) for seed in (-1, 0, 2**70, 2**63) for counter in (-1, 0, 2**62)
    ]
    assert len(set(values)) > len(values) - 4  # 2^70 and 0 are equal modulo 2^64


def test_counters_broadcast():
    assert uniforms(0, np.arange(3)[:, None], np.arange(2)).shape == (3, 2)
