"""The layer on kept features: its formula, what is held out, and that it is never worse than they are."""

import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import measure_retrieval
from deep_ranking.training import head
from deep_ranking.training.head import Scatter, Split, choose_head, held_out_classes, held_out_images
from deep_ranking.training.verdict import METRICS
from deep_ranking.vectors import unit


def drawn(classes=12, images=8, size=24, noise=6, seed=0):
    """Return features of classes whose images scatter most where the classes do not differ."""
    rng = np.random.default_rng(seed)
    means = np.zeros((classes, size))
    means[:, noise:] = rng.normal(size=(classes, size - noise))
    vectors = np.repeat(means, images, axis=0) + rng.normal(size=(classes * images, size))
    vectors[:, :noise] += 4 * rng.normal(size=(len(vectors), noise)) + 3
    return unit(vectors), np.repeat(np.arange(classes), images)


@pytest.mark.parametrize(("shrinkage", "gain"), [(np.inf, 0), (10, 0), (0.3, 0.5), (1, 40)])
def test_the_head_is_the_formula(shrinkage, gain):
    vectors, labels = drawn(5, 7)
    labels[:9] = 0  # not all classes have as many
    means = np.stack([vectors[labels == c].mean(axis=0) for c in range(5)]).astype(float)
    scatter = sum(np.outer(v - means[c], v - means[c]) for v, c in zip(vectors, labels, strict=True)) / 30
    values, axes = np.linalg.eigh(np.eye(24) + scatter / (shrinkage * np.trace(scatter) / 24))
    shorter = axes @ np.diag(values**-0.5) @ axes.T
    directions = (means - means.mean(axis=0)) @ shorter
    expected = (np.eye(24) + gain * np.linalg.pinv(directions) @ directions) @ shorter
    found = Scatter(vectors, labels).head(shrinkage, gain)
    np.testing.assert_allclose(found.mean, means.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.axes @ found.axes.T, expected.T @ expected, atol=2e-4 * (1 + gain) ** 2)
    mapped = (vectors - means.mean(axis=0)) @ expected.T
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    np.testing.assert_allclose(found(vectors) @ found(vectors).T, mapped @ mapped.T, atol=1e-4)
    whole = found.reduced(vectors, 24)
    np.testing.assert_allclose(whole(vectors) @ whole(vectors).T, mapped @ mapped.T, atol=1e-4)
    assert found.reduced(vectors, 3)(vectors).shape == (35, 3)


@pytest.mark.parametrize("own", [True, False])
def test_scores_are_the_projects_metrics(own):
    vectors, labels = drawn(6, 5, seed=3)
    queries = np.arange(0, 30, 2)
    gallery = queries if own else np.arange(1, 30)
    found = head.scores(vectors[queries], vectors[gallery], labels, Split(gallery, queries, gallery))
    leave_out = np.array([np.flatnonzero(gallery == q)[0] if q in gallery else -1 for q in queries])
    expected = measure_retrieval(
        vectors[queries], labels[queries], vectors[gallery], labels[gallery], leave_out, [10], [1]
    )
    there = np.isfinite(found[:, 0])
    for column, name in zip(found[there].T, METRICS, strict=True):
        assert column.mean() == pytest.approx(expected.metrics[name].value)
    assert there.sum() == expected.counts["queries"]


def test_what_is_held_out_is_not_learned_from():
    labels = np.repeat(np.arange(9), [1, 2, 2, 3, 4, 5, 6, 7, 30])
    splits = held_out_images(labels, seed=1)
    asked = np.concatenate([split.queries for split in splits])
    assert sorted(asked) == list(range(1, 60))  # each once; the first is alone in its class
    for split in splits:
        assert not set(split.queries) & set(split.learned)
        assert set(labels[split.queries]) <= set(labels[split.learned])
    one, other = held_out_classes(labels, seed=1)
    assert not set(labels[one.learned]) & set(labels[one.queries])
    assert set(one.queries) == set(other.learned)
    assert not held_out_classes(np.repeat([0, 1, 2], 4), 0)


def test_it_is_better_where_that_can_be_and_says_by_how_much():
    vectors, labels = drawn()
    chosen = choose_head(vectors, labels)
    told = chosen.verdict
    assert told.better
    for start, model in ((told.start, told.model), (told.unseen_start, told.unseen_model)):
        assert all(model[name].value >= start[name].value - 0.03 for name in METRICS)
        assert model["map@r"].value > start["map@r"].value + 0.1
    others, their_labels = drawn(seed=1)  # classes that it has never seen
    itself = np.arange(len(others))
    precisions = [
        measure_retrieval(v, their_labels, v, their_labels, itself, [1], [1]).metrics["map@r"].value
        for v in (others, chosen.head(others))
    ]
    assert precisions[1] > precisions[0] + 0.1
    assert told.sentence("m.h5").startswith(
        "Better than the pretrained features on 96 images held out in turn: "
    )
    assert choose_head(vectors, labels).head.axes.tobytes() == chosen.head.axes.tobytes()


def test_where_nothing_can_be_better_there_is_no_head():
    labels = np.repeat(np.arange(6), 5)
    vectors = unit(np.eye(6)[labels] + 0.01 * np.random.default_rng(0).normal(size=(30, 6)))
    chosen = choose_head(vectors, labels)
    assert chosen.head is None
    assert not chosen.verdict.better
    assert "so that is what m.h5 holds" in chosen.verdict.sentence("m.h5")
    assert chosen.verdict.model == chosen.verdict.start


def test_what_chance_gains_is_not_taken(monkeypatch):
    """Labels that mean nothing: the best of many heads does better than the features in some draws."""

    def taken():
        labels = np.repeat(np.arange(5), 20)
        draws = (unit(np.random.default_rng(seed).normal(size=(100, 12))) for seed in range(12))
        chosen = [choose_head(vectors, labels, seed) for seed, vectors in enumerate(draws)]
        assert all(one.head is not None or one.verdict.model == one.verdict.start for one in chosen)
        return sum(one.head is not None for one in chosen)

    assert taken() == 0
    monkeypatch.setattr(head, "_CERTAIN", 0)
    assert taken() > 1


@pytest.mark.parametrize("sizes", [(2, 2), (2, 1), (2, 1, 1), (3, 1), (5, 1, 1)])
def test_so_few_images_cannot_tell_so_there_is_no_head(sizes):
    """Of one class with pairs, a head that draws all images together had been right of each held out."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(10):
        vectors = unit(np.random.default_rng(seed).normal(size=(len(labels), 256)).astype(np.float32))
        chosen = choose_head(vectors, labels, seed)
        assert chosen.head is None
        assert chosen.verdict.model == chosen.verdict.start
        assert set(chosen.verdict.start) == set(METRICS)


def test_few_images_of_many_numbers_give_the_head_of_the_formula():
    vectors, labels = drawn(6, 5, size=64)
    chosen = choose_head(vectors, labels)
    assert chosen.head.axes.shape == (64, 64)
    expected = Scatter(vectors, labels).head(chosen.shrinkage, chosen.gain)
    new = drawn(6, 5, size=64, seed=5)[0]
    # The mean variance is taken over what the images span, fewer directions than 64.
    wide = Scatter(vectors, labels).head(chosen.shrinkage * 64 / 30, chosen.gain)
    found = chosen.head(new) @ chosen.head(new).T
    np.testing.assert_allclose(found, wide(new) @ wide(new).T, atol=1e-3)
    assert expected.axes.shape == wide.axes.shape


def test_data_without_a_pair_is_refused():
    vectors = unit(np.random.default_rng(0).normal(size=(4, 3)))
    with pytest.raises(DeepRankingError, match="expected a class with two images or more"):
        choose_head(vectors, np.arange(4))
    with pytest.raises(DeepRankingError, match="classes: expected two or more to tell apart, found 1"):
        choose_head(vectors, np.zeros(4, int))
