"""A distance is one object: its two forms agree, and a new one is known everywhere by its name."""

import argparse

import numpy as np
import pytest
from keras import ops

from deep_ranking.cli import shared
from deep_ranking.errors import DeepRankingError
from deep_ranking.ranking.distances import BLOG, DISTANCES, PAPER, distance_named, register_distance
from deep_ranking.ranking.loss import TripletHingeLoss
from deep_ranking.ranking.mining import MinedTripletLoss
from deep_ranking.training.settings import TrainingSettings

RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(12, 5)).astype(np.float32)
TRIPLETS = np.arange(12).reshape(4, 3)


@pytest.fixture
def taxi():
    """A distance from outside the package, gone when the test is."""
    yield register_distance(
        "taxi",
        lambda a, b: ops.sum(ops.abs(a - b), axis=-1),
        lambda a, b: np.abs(a - b).sum(axis=-1),
    )
    del DISTANCES["taxi"]


@pytest.mark.parametrize("name", [*DISTANCES])
def test_what_is_learned_with_is_what_is_measured(name):
    distance = distance_named(name)
    learned = [ops.convert_to_numpy(one) for one in distance.of_triplets(ops.array(VECTORS))]
    np.testing.assert_allclose(learned, distance.measured(VECTORS, TRIPLETS), rtol=1e-5)
    pairs = ops.convert_to_numpy(distance.of_pairs(ops.array(VECTORS)))
    np.testing.assert_allclose([pairs[TRIPLETS[:, 0], TRIPLETS[:, i]] for i in (1, 2)], learned, rtol=1e-5)


def test_a_new_distance_has_its_loss_its_mining_and_its_flag(taxi):
    hinges = [
        max(0.0, 0.3 + abs(VECTORS[q] - VECTORS[p]).sum() - abs(VECTORS[q] - VECTORS[n]).sum())
        for q, p, n in TRIPLETS
    ]
    loss = TripletHingeLoss(0.3, "taxi")(np.zeros(12), VECTORS)
    assert float(loss) == pytest.approx(np.mean(hinges), rel=1e-5)
    first = MinedTripletLoss(0.3, "taxi", "all")(np.array([0, 0, 1]), VECTORS[:3])
    both = [
        max(0.0, 0.3 + abs(VECTORS[q] - VECTORS[1 - q]).sum() - abs(VECTORS[q] - VECTORS[2]).sum())
        for q in (0, 1)
    ]
    assert float(first) == pytest.approx(np.mean(both), rel=1e-5)
    parser = argparse.ArgumentParser()
    shared.add_settings(parser, TrainingSettings, given_only=True)
    assert TrainingSettings().changed(vars(parser.parse_args(["--distance", "taxi"]))).distance == "taxi"


def test_a_name_is_taken_once_and_an_unknown_one_refused(taxi):
    with pytest.raises(DeepRankingError, match=r"distance: expected a name besides .*, found 'taxi'"):
        register_distance("taxi", taxi.tensors, taxi.arrays)
    with pytest.raises(DeepRankingError, match="euclidean, squared_euclidean, taxi, found 'cosine'"):
        distance_named("cosine")


def test_defaults_are_the_papers_in_training_and_the_blogs_in_the_loss():
    settings, loss, mined = TrainingSettings(), TripletHingeLoss(), MinedTripletLoss()
    assert (settings.gap, settings.distance) == PAPER == (0.2, "squared_euclidean")
    assert (loss.gap, loss.distance) == (mined.gap, mined.distance) == BLOG == (1.0, "euclidean")
