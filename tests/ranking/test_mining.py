"""In-batch mining equals loops over the triplets, value and gradient."""

import itertools

import keras
import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from deep_ranking.errors import DeepRankingError
from deep_ranking.ranking import MINING
from deep_ranking.ranking.mining import MinedTripletLoss, mined


def slow_triplets(distances, labels, gap, mining):
    """All (q, p, n) that count, by the definition."""
    size = range(len(labels))
    for q in size:
        positives = [p for p in size if p != q and labels[p] == labels[q]]
        negatives = [n for n in size if labels[n] != labels[q]]
        if mining == "hard" and positives and negatives:
            positives = [max(positives, key=lambda p: distances[q, p])]
            negatives = [min(negatives, key=lambda n: distances[q, n])]
        for p, n in itertools.product(positives, negatives):
            if mining != "semi-hard" or distances[q, p] < distances[q, n] < distances[q, p] + gap:
                yield q, p, n


def slow_distances(embeddings, distance):
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(-1)
    return np.sqrt(squared) if distance == "euclidean" else squared


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 1], [2, 0, 1, 0, 2, 0, 1], [0, 1, 2, 2, 2]])
def test_loss_is_the_mean_over_the_triplets_of_the_definition(mining, distance, labels):
    embeddings = np.random.default_rng(len(labels)).normal(size=(len(labels), 5)).astype("float32")
    distances = slow_distances(embeddings, distance)
    gap = 3.0
    triplets = list(slow_triplets(distances, labels, gap, mining))
    assert triplets
    expected = np.mean([max(0, gap + distances[q, p] - distances[q, n]) for q, p, n in triplets])
    loss = MinedTripletLoss(gap=gap, distance=distance, mining=mining)
    assert float(loss(np.array(labels), embeddings)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(np.array(labels)[:, None], embeddings)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mining", MINING)
def test_counted_triplets_are_those_of_the_definition_with_ties(mining):
    labels = [0, 0, 0, 1, 1, 2]
    distances = np.random.default_rng(3).integers(0, 4, size=(6, 6)).astype("float32")
    counted = ops.convert_to_numpy(mined(ops.array(distances), ops.array(labels), 2.0, mining))
    assert {tuple(row) for row in np.argwhere(counted)} == set(slow_triplets(distances, labels, 2.0, mining))
    assert set(np.unique(counted)) <= {0, 1}


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_without_a_triplet_the_loss_is_0(mining, labels):
    assert float(MinedTripletLoss(mining=mining)(np.array(labels), np.eye(3, dtype="float32"))) == 0


@pytest.mark.parametrize("mining", ["all", "hard"])
def test_gradient_is_finite_where_all_embeddings_are_equal(mining):
    loss, labels = MinedTripletLoss(gap=0.5, mining=mining), np.array([0, 0, 1, 1])
    value, gradient = value_and_gradient(lambda x: loss(labels, x), np.ones((4, 3), np.float32))
    assert value == 0.5
    assert np.isfinite(gradient).all()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 unless told so")
def test_gradient_is_that_of_the_counted_triplets():
    labels = np.array([0, 0, 1, 1, 1])
    start = np.random.default_rng(5).normal(size=(5, 3)).astype("float64")
    loss = MinedTripletLoss(gap=0.7, mining="hard", dtype="float64")
    _, gradient = value_and_gradient(lambda x: loss(labels, x), start)
    for place in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[place] = 1e-6
        slope = (float(loss(labels, start + step)) - float(loss(labels, start - step))) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-5)


def test_settings_are_checked_and_come_back():
    for wrong in [{"gap": 0}, {"distance": "cosine"}, {"mining": "easy"}]:
        with pytest.raises(DeepRankingError):
            MinedTripletLoss(**wrong)
    loss = MinedTripletLoss(gap=0.3, distance="squared_euclidean", mining="hard")
    again = MinedTripletLoss.from_config(loss.get_config())
    assert (again.gap, again.distance, again.mining) == (0.3, "squared_euclidean", "hard")
