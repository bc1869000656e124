"""What everything promises that learns from triplets of vectors."""

import dataclasses
import inspect

import numpy as np
import parts
import pytest

from deep_ranking.errors import DeepRankingError
from recipes.linear import LinearEmbedding
from recipes.oasis import Oasis

RNG = np.random.default_rng(2)
VECTORS = RNG.normal(size=(20, 4)).astype(np.float32)
RANKED = [RNG.permutation(20)[:3] for _ in range(40)]
TRIPLETS = np.array(
    # By the first two coordinates, so that there is something to learn.
    [
        [q, *sorted(rest, key=lambda row: np.linalg.norm((VECTORS[q] - VECTORS[row])[:2]))]
        for q, *rest in RANKED
    ]
)
LEARNERS = [
    kind
    for kind in [*parts.classes("blend"), *parts.classes("learning"), LinearEmbedding, Oasis]
    if "triplets" in inspect.signature(getattr(kind, "fit", len)).parameters
]

SEEDED = [kind for kind in LEARNERS if any(field.name == "seed" for field in dataclasses.fields(kind))]


@pytest.fixture(params=LEARNERS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def learned(kind, vectors=VECTORS, triplets=TRIPLETS, **settings):
    """What was learned, as an array."""
    if inspect.ismethod(kind.fit):  # made by `fit`; of vectors under names, which it applies itself
        given = {"one": vectors, "two": vectors[:, ::-1]}
        return np.asarray(kind.fit(given, triplets).vectors(given))
    return kind(**settings).fit(vectors, triplets)


def test_they_are_found():
    assert {"Oasis", "LinearEmbedding", "MahalanobisMetric", "GoldenFeature", "Blend"} <= {
        k.__name__ for k in LEARNERS
    }


def test_finite_of_the_same_result_twice_and_the_input_as_it_was(kind):
    vectors, triplets = VECTORS.copy(), TRIPLETS.copy()
    first, again = learned(kind, vectors, triplets), learned(kind, vectors, triplets)
    assert np.isfinite(first).all()
    assert first.ndim == 2
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(vectors, VECTORS)
    np.testing.assert_array_equal(triplets, TRIPLETS)


def test_float64_and_strided_vectors_and_small_integers_give_the_same(kind):
    expected = learned(kind)
    strided = np.repeat(VECTORS, 2, axis=1)[:, ::2]
    for vectors in (VECTORS.astype(np.float64), strided, np.asfortranarray(VECTORS)):
        np.testing.assert_allclose(learned(kind, vectors), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(learned(kind, triplets=TRIPLETS.astype(np.int32)), expected, rtol=1e-6)
    np.testing.assert_allclose(learned(kind, triplets=np.asfortranarray(TRIPLETS)), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", SEEDED, ids=lambda kind: kind.__name__)
def test_its_seed_counts(kind):
    assert (learned(kind, seed=1) != learned(kind, seed=2)).any()


def test_one_triplet_is_enough(kind):
    assert np.isfinite(learned(kind, triplets=TRIPLETS[:1])).all()


@pytest.mark.parametrize(
    "triplets",
    [TRIPLETS[:0], TRIPLETS[:, :2], TRIPLETS + 20, -1 - TRIPLETS],
    ids=["none", "pairs", "beyond", "below"],
)
def test_no_triplets_are_refused(kind, triplets):
    with pytest.raises(DeepRankingError):
        learned(kind, triplets=triplets)
