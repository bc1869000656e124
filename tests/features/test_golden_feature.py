"""The golden feature: which weights, and their file."""

import numpy as np
import pytest

from deep_ranking.blend.golden import GoldenFeature
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import similarity_precision, squared_distances, triplet_distances


@pytest.fixture
def rated():
    """Triplets that two of three features explain, in the ratio 1 to 4, with one wrong rating in ten."""
    rng = np.random.default_rng(0)
    features = {
        "first": rng.normal(size=(300, 2)),
        "second": rng.normal(size=(300, 2)),
        "noise": 100 * rng.normal(size=(300, 5)),
    }
    triplets = np.array([rng.choice(300, 3, replace=False) for _ in range(1500)])
    truth = np.concatenate([features["first"], 2 * features["second"]], axis=1)
    wrong = ~similarity_precision(triplet_distances(truth, triplets)) ^ (rng.random(1500) < 0.1)
    triplets[wrong] = triplets[wrong][:, [0, 2, 1]]
    return features, triplets


def test_the_weights_are_found(rated):
    features, triplets = rated
    weights = GoldenFeature.fit(features, triplets).weights
    assert weights["second"] / weights["first"] == pytest.approx(4, rel=0.15)
    share = {name: w * np.mean(triplet_distances(features[name], triplets)) for name, w in weights.items()}
    assert share.get("noise", 0) < 0.1 * share["second"]


def test_the_weights_are_the_best_of_all_non_negative_ones(rated):
    features, triplets = rated
    golden = GoldenFeature.fit(features, triplets, penalty=0.01)
    pairs = {name: triplet_distances(vectors, triplets) for name, vectors in features.items()}
    scale = np.array([np.mean(found) for found in pairs.values()])
    margins = np.stack([found.negative - found.positive for found in pairs.values()], axis=1) / scale

    def objective(weights):
        return 0.5 * weights @ weights + 2 * 0.01 * np.maximum(0, 1 - margins @ weights).sum()

    direction = np.array([golden.weights.get(name, 0) for name in features]) * scale
    best = min((objective(direction * size), size) for size in np.geomspace(0.1, 30, 2000))
    rng = np.random.default_rng(0)
    for _ in range(500):
        other = np.maximum(0, direction * best[1] + rng.normal(0, 0.1, 3))
        assert objective(other) > best[0] - 1e-3


def test_a_feature_that_is_wrong_is_left_out(rated):
    features, triplets = rated
    turned = {"first": features["first"], "wrong": features["second"]}
    pairs = triplet_distances(features["second"], triplets)
    disagree = triplets[~similarity_precision(pairs)]
    golden = GoldenFeature.fit(
        turned, disagree[similarity_precision(triplet_distances(features["first"], disagree))]
    )
    assert list(golden.weights) == ["first"]


def test_the_weighted_distances_have_mean_one(rated):
    features, triplets = rated
    vectors = GoldenFeature.fit(features, triplets).vectors(features)
    assert np.mean(triplet_distances(vectors, triplets)) == pytest.approx(1)


def test_its_vectors_have_the_weighted_sum_of_distances(rated):
    features, _ = rated
    golden = GoldenFeature({"first": 0.3, "noise": 0.0, "second": 2.0})
    vectors = golden.vectors(features)
    assert vectors.shape == (300, 4)
    expected = sum(
        weight * squared_distances(features[name][:100], features[name][100:200])
        for name, weight in golden.weights.items()
    )
    np.testing.assert_allclose(squared_distances(vectors[:100], vectors[100:200]), expected)


def test_float32_stays_float32():
    assert GoldenFeature({"a": 0.3}).vectors({"a": np.ones((2, 2), np.float32)}).dtype == np.float32


def test_one_triplet_is_enough():
    vectors = {"a": np.array([[0.0], [1.0], [3.0]])}
    assert GoldenFeature.fit(vectors, np.array([[0, 1, 2]])).weights == {"a": pytest.approx(1 / 5)}


@pytest.mark.parametrize("vectors", [[[0.0], [3.0], [1.0]], [[1.0], [1.0], [1.0]]], ids=["wrong", "constant"])
def test_nothing_better_than_chance_is_an_error(vectors):
    with pytest.raises(DeepRankingError, match="better than chance"):
        GoldenFeature.fit({"a": np.array(vectors)}, np.array([[0, 1, 2]]))


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": float("nan")}])
def test_weights_are_checked(weights):
    with pytest.raises(DeepRankingError, match="expected weights of 0 or more"):
        GoldenFeature(weights)


def test_the_file_comes_back(tmp_path):
    golden = GoldenFeature({"colour é": 0.1 + 0.2, "b": 0.0})
    golden.save(tmp_path / "golden.json")
    assert GoldenFeature.load(tmp_path / "golden.json") == golden


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"golden_feature": 1}',
        '{"golden_feature": {"a": "x"}}',
        '{"golden_feature": {"a": -1}}',
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path, text):
    (tmp_path / "golden.json").write_text(text)
    with pytest.raises(DeepRankingError, match=r"golden\.json: expected JSON such as"):
        GoldenFeature.load(tmp_path / "golden.json")
