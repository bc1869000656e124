"""OASIS and the linear embedding."""

import numpy as np
import pytest
from judged import judged_by_two

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import similarity_precision, triplet_distances
from recipes.linear import LinearEmbedding
from recipes.oasis import Oasis, similarity


@pytest.fixture
def data():
    """Vectors of six numbers of which two matter, and triplets by those two."""
    return judged_by_two(200, 6, 700)


@pytest.mark.parametrize("aggressiveness", [0.003, 0.1, 10.0])
def test_oasis_is_one_triplet_at_a_time(data, aggressiveness):
    vectors, triplets = data  # 700 are three blocks, the last one not full
    expected = np.eye(6)
    rng = np.random.default_rng(4)
    for _ in range(2):
        for t in rng.permutation(len(triplets)):
            q, p, n = vectors[triplets[t]]
            loss = max(0, 1 - q @ expected @ p + q @ expected @ n)
            update = np.outer(q, p - n)
            expected += min(aggressiveness, loss / (update**2).sum()) * update
    found = Oasis(aggressiveness, epochs=2, seed=4).fit(vectors, triplets)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_oasis_of_equal_images_stays_where_it_is():
    same = np.ones((3, 2))
    np.testing.assert_array_equal(Oasis().fit(same, np.array([[0, 1, 2]])), np.eye(2))


def test_oasis_ranks_better_than_the_identity(data):
    vectors, triplets = data
    vectors = vectors / np.linalg.norm(vectors[:, :2], axis=1, keepdims=True)  # similarity is then distance
    wrong = ~similarity_precision(triplet_distances(vectors[:, :2], triplets))
    triplets = np.where(wrong[:, None], triplets[:, [0, 2, 1]], triplets)

    def precision(weights):
        q, p, n = (vectors[rows] for rows in triplets[500:].T)
        return (similarity(weights, q, p) > similarity(weights, q, n)).mean()

    learned = Oasis(0.01, epochs=10).fit(vectors, triplets[:500])
    assert precision(learned) > precision(np.eye(6)) + 0.1


def test_linear_gradient_is_the_slope_of_the_loss(data):
    vectors, triplets = data
    linear, rng = LinearEmbedding(gap=0.7), np.random.default_rng(1)
    matrix, triplets = rng.normal(size=(6, 6)), triplets[:20]

    def loss(matrix):
        total = 0.0
        for q, p, n in vectors[triplets]:
            near, far = (((q - other) @ matrix) @ ((q - other) @ matrix) for other in (p, n))
            total += max(0.0, 0.7 + near - far)
        return total / 20

    gradient = linear._gradient(vectors, triplets, matrix)
    for i, j in ((0, 0), (0, 5), (5, 0), (3, 2)):
        step = np.zeros((6, 6))
        step[i, j] = 1e-6
        slope = (loss(matrix + step) - loss(matrix - step)) / 2e-6
        assert gradient[i, j] == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_linear_embedding_finds_what_matters(data):
    vectors, triplets = data
    matrix = LinearEmbedding(learning_rate=0.02, decay=0, epochs=20).fit(vectors, triplets[:500])
    before, after = (
        similarity_precision(triplet_distances(v, triplets[500:])).mean() for v in (vectors, vectors @ matrix)
    )
    assert after > before + 0.15


def test_without_violations_nothing_moves():
    vectors = np.array([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0]])
    matrix = LinearEmbedding(gap=0.2).fit(vectors, np.array([[0, 1, 2]]))
    np.testing.assert_array_equal(matrix, np.eye(2))


@pytest.mark.parametrize("learner", [Oasis, LinearEmbedding])
def test_the_seed_decides(data, learner):
    vectors, triplets = data
    one, again, other = (learner(seed=seed).fit(vectors, triplets) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Oasis(aggressiveness=0),
        lambda: Oasis(epochs=0),
        lambda: LinearEmbedding(gap=0),
        lambda: LinearEmbedding(learning_rate=0),
        lambda: LinearEmbedding(decay=-1),
        lambda: LinearEmbedding(epochs=0),
        lambda: LinearEmbedding(batch_size=0),
        lambda: Oasis().fit(np.ones((2, 2)), np.array([[0, 1, 2]])),
        lambda: LinearEmbedding().fit(np.ones((2, 2)), np.zeros((0, 3), int)),
    ],
)
def test_bad_settings_and_triplets(make):
    with pytest.raises(DeepRankingError, match="expected"):
        make()
