"""The plan of docs/scaling.md: its simulation against what can be worked out by hand."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "recipes/scaling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_workers_that_never_fail_take_the_time_of_their_work(recipe):
    crew = recipe.Crew(workers=10, rate=100, hours_between_failures=1e9, spread=0)
    run = recipe.embed(images=3.6e6, shard=1000, crew=crew)
    assert run.hours == pytest.approx(1)
    assert (run.repeated, run.idle, run.waiting) == (0, pytest.approx(0), pytest.approx(0))


def test_failures_cost_half_a_shard_and_the_restart(recipe):
    crew = recipe.Crew(workers=20, rate=1, hours_between_failures=10, restart=600, spread=0)
    run = recipe.embed(images=2e6, shard=360, crew=crew)  # a shard takes 0.1 h
    assert run.repeated == pytest.approx(0.005, rel=0.2)
    assert run.hours == pytest.approx(2e6 / 20 / 3600 * (1 + 0.005 + 1 / 60), rel=0.01)


def test_a_slow_merge_decides(recipe):
    run = recipe.embed(images=3.6e6, shard=1000, crew=recipe.Crew(100, 100, merge_rate=1000))
    assert run.hours == pytest.approx(1, rel=0.02)
    assert run.waiting == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("copies", [1, 2])
def test_a_query_waits_for_the_slowest_shard(recipe, copies):
    drawn = np.random.default_rng(1).normal(size=(20_000, 29, copies)).min(axis=2).max(axis=1)
    expected = 10 * np.exp(0.3 * np.quantile(drawn, [0.5, 0.99]))
    np.testing.assert_allclose(recipe.fan_out(29, 10, 0.3, copies), expected, rtol=0.03)
