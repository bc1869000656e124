"""The ranking layer against plain loops over Python floats."""

import math

import keras
import numpy as np
import pytest
from gradients import value_and_gradient
from keras import ops

from deep_ranking import MinedTripletLoss, TripletHingeLoss
from deep_ranking.errors import DeepRankingError
from deep_ranking.ranking.metrics import ranking_metrics


def plain_distance(a, b, distance):
    squared = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return math.sqrt(squared) if distance == "euclidean" else squared


def plain_hinges(rows, gap, distance):
    hinges = []
    for i in range(0, len(rows), 3):
        q, p, n = rows[i : i + 3]
        hinges.append(max(0.0, gap + plain_distance(q, p, distance) - plain_distance(q, n, distance)))
    return hinges


# Five triplets of seven numbers: a reshape or a sum over a wrong axis changes the result.
ROWS = np.random.default_rng(2).normal(size=(15, 7)).astype(np.float32)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
@pytest.mark.parametrize("gap", [0.1, 1.0, 5.0])
def test_the_loss_is_the_mean_of_the_triplets_hinges(gap, distance):
    hinges = plain_hinges(ROWS.tolist(), gap, distance)
    loss = TripletHingeLoss(gap, distance)
    np.testing.assert_allclose(loss.call(None, ops.array(ROWS)), hinges, rtol=1e-5)
    assert float(loss(ops.zeros(15), ops.array(ROWS))) == pytest.approx(np.mean(hinges), rel=1e-5)


def test_easy_triplets_do_not_hide_a_violated_one():
    # Batch mean of the inner term is below 0, where the blog's loss is 0.
    easy = [[0.0, 0.0], [0.0, 0.0], [10.0, 0.0]]
    violated = [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
    loss = TripletHingeLoss(gap=1.0)
    assert float(loss(ops.zeros(6), ops.array(easy + violated))) == pytest.approx(1.0)


def gradient(loss, rows):
    return value_and_gradient(lambda x: loss(ops.zeros(len(rows)), x), rows)


class TestGradient:
    def test_negative_coordinates_get_a_gradient(self):
        _, slope = gradient(TripletHingeLoss(5.0), -np.abs(ROWS))
        assert (np.abs(slope) > 1e-4).all()

    def test_it_agrees_with_finite_differences(self):
        loss, step = TripletHingeLoss(2.0, "euclidean"), 1e-3
        _, slope = gradient(loss, ROWS)
        rows = ROWS.astype(np.float64)
        for i, j in [(0, 0), (4, 3), (14, 6), (8, 1)]:
            up, down = rows.copy(), rows.copy()
            up[i, j] += step
            down[i, j] -= step
            plain = [np.mean(plain_hinges(x.tolist(), 2.0, "euclidean")) for x in (up, down)]
            assert slope[i, j] == pytest.approx((plain[0] - plain[1]) / (2 * step), abs=1e-3)

    @pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
    def test_it_is_finite_where_embeddings_are_equal(self, distance):
        value, slope = gradient(TripletHingeLoss(1.0, distance), np.ones((6, 4), np.float32))
        assert value == 1.0
        assert (slope == 0).all()

    def test_a_batch_without_an_active_triplet_gives_zero(self):
        rows = np.array([[0, 0], [0, 0], [9, 0]], np.float32)
        value, slope = gradient(TripletHingeLoss(1.0), rows)
        assert value == 0
        assert (slope == 0).all()


@pytest.mark.parametrize("rows", [1, 2, 4, 25])
def test_rows_that_are_no_multiple_of_three_are_refused(rows):
    with pytest.raises(DeepRankingError, match=f"expected rows in threes .* found {rows} rows"):
        TripletHingeLoss()(ops.zeros(rows), ops.zeros((rows, 2)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others know the rows of each batch")
def test_a_last_batch_that_is_no_multiple_of_three_is_told():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", loss=TripletHingeLoss())
    with pytest.raises(
        Exception, match=r"expected rows in threes \(query, positive, negative\); give a batch"
    ):
        model.fit(np.zeros((10, 2)), np.zeros(10), batch_size=6, shuffle=False, verbose=0)


@pytest.mark.parametrize("loss", [TripletHingeLoss(), MinedTripletLoss()])
def test_weights_of_images_are_refused_in_words(loss):
    with pytest.raises(DeepRankingError, match="sample_weight, class_weight: expected none"):
        loss(ops.zeros(3), ops.zeros((3, 2)), ops.ones(3))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", loss=loss)
    with pytest.raises(DeepRankingError, match="the loss is of triplets, not of images"):
        model.fit(np.zeros((6, 2)), np.zeros(6), batch_size=6, class_weight={0: 2.0}, verbose=0)


@pytest.mark.parametrize("rows", [3, 6, 24, 99])
def test_any_multiple_of_three_works(rows):
    assert float(TripletHingeLoss()(ops.zeros(rows), ops.zeros((rows, 2)))) == 1.0


def test_bad_settings_are_refused():
    with pytest.raises(DeepRankingError, match="gap: expected a number above 0, found 0"):
        TripletHingeLoss(gap=0)
    with pytest.raises(DeepRankingError, match="euclidean, squared_euclidean, found 'cosine'"):
        TripletHingeLoss(distance="cosine")


def test_it_survives_serialization():
    loss = TripletHingeLoss(0.3, "squared_euclidean")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (copy.gap, copy.distance) == (0.3, "squared_euclidean")


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_the_metrics_are_what_they_say(distance):
    triplets = ROWS.reshape(5, 3, 7)
    near = [plain_distance(q, p, distance) for q, p, _ in triplets.tolist()]
    far = [plain_distance(q, n, distance) for q, _, n in triplets.tolist()]
    expected = {
        "similarity_precision": np.mean([a < b for a, b in zip(near, far, strict=True)]),
        "active": np.mean([1 + a - b > 0 for a, b in zip(near, far, strict=True)]),
        "positive_distance": np.mean(near),
        "negative_distance": np.mean(far),
        "spread": math.sqrt(sum(np.var([row[j] for row in ROWS.tolist()]) for j in range(7))),
    }
    for metric in ranking_metrics(1.0, distance):
        metric.update_state(ops.zeros((15, 1)), ops.array(ROWS))
        assert float(metric.result()) == pytest.approx(expected.pop(metric.name), rel=1e-5)
    assert not expected


def test_a_tie_is_wrong():
    precision = ranking_metrics(1.0, "euclidean")[0]
    precision.update_state(ops.zeros((3, 1)), ops.ones((3, 2)))
    assert float(precision.result()) == 0
