"""Each metric against plain loops, scikit-learn where it has the same one, and examples worked by hand."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score
from sklearn.neighbors import KNeighborsClassifier

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import (
    Estimate,
    bootstrap,
    map_at_r,
    measure_retrieval,
    measure_triplets,
    ndcg_at,
    positive_ranks,
    precision_at,
    r_precision,
    recall_at,
    reciprocal_rank,
    score_at_top,
    vote,
)


def test_the_example_libraries_disagree_on():
    hits, relevant = np.array([[True, False, False, False, False]]), np.array([3])
    assert precision_at(hits, 5) == [0.2]
    assert recall_at(hits, 5) == [1]
    assert map_at_r(hits, relevant) == [pytest.approx(1 / 3)]
    assert r_precision(hits, relevant) == [pytest.approx(1 / 3)]
    assert reciprocal_rank(hits) == [1]
    assert ndcg_at(hits, relevant, 5) == [pytest.approx(1 / (1 + 1 / np.log2(3) + 1 / 2))]


def slow_scores(ranked, label, relevant, at, voters):
    """All scores of one query from its ranked labels, by the definitions in words."""
    hits = [other == label for other in ranked]
    scores = {}
    for k in at:
        scores[f"precision@{k}"] = sum(hits[:k]) / k
        scores[f"recall@{k}"] = 1.0 if True in hits[:k] else 0.0
    scores["r_precision"] = sum(hits[:relevant]) / relevant
    total = 0.0
    for rank in range(1, relevant + 1):
        if hits[rank - 1]:
            total += sum(hits[:rank]) / rank
    scores["map@r"] = total / relevant
    for k in at:
        gain = sum(1 / np.log2(i + 1) for i in range(1, k + 1) if hits[i - 1])
        scores[f"ndcg@{k}"] = gain / sum(1 / np.log2(i + 1) for i in range(1, min(relevant, k) + 1))
    scores["average_precision"] = sum(sum(hits[:i]) / i for i, hit in enumerate(hits, 1) if hit) / relevant
    scores["mean_reciprocal_rank"] = 1 / (1 + hits.index(True))
    for k in voters:
        votes = {}
        for other in ranked[:k]:
            votes[other] = votes.get(other, 0) + 1
        most = max(votes.values())
        winner = next(other for other in ranked if votes.get(other) == most)
        scores[f"knn_accuracy@{k}"] = float(winner == label)
    return scores


def slow_retrieval(queries, labels, gallery, gallery_labels, leave_out, at, voters):
    every = []
    for i, query in enumerate(queries):
        order = sorted((sum((query - image) ** 2), j) for j, image in enumerate(gallery) if j != leave_out[i])
        ranked = [gallery_labels[j] for _, j in order]
        if labels[i] in ranked:
            scores = slow_scores(ranked, labels[i], ranked.count(labels[i]), at, voters)
            every.append((labels[i], scores))
    return {name: sum(scores[name] for _, scores in every) / len(every) for name in every[0][1]}, every


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_all_retrieval_metrics_are_the_plain_loops(seed, own_gallery):
    random = np.random.default_rng(seed)
    size = int(random.integers(8, 40))
    gallery = random.integers(-4, 5, (size, 3)).astype(np.float64)  # whole numbers: many exact ties
    gallery_labels = [f"class {number}" for number in random.integers(0, 6, size)]
    gallery_labels[-2:] = ["class 0", "class 0"]
    if own_gallery:
        queries, labels, leave_out = gallery, gallery_labels, np.arange(size)
    else:
        queries = random.integers(-4, 5, (9, 3)).astype(np.float64)
        labels = ["class 0"] + [f"class {number}" for number in random.integers(0, 9, 8)]
        leave_out = np.array([int(random.integers(-1, size)) for _ in labels])
    at, voters = (1, 3), (1, 4, 7)
    found = measure_retrieval(queries, labels, gallery, gallery_labels, leave_out, at, voters, whole=True)
    expected, every = slow_retrieval(queries, labels, gallery, gallery_labels, leave_out, at, voters)
    assert {name: estimate.value for name, estimate in found.metrics.items()} == pytest.approx(expected)
    count = len(every)
    assert found.counts == {"queries": count, "lonely": len(queries) - count, "gallery": size}
    assert found.classes.keys() == {label for label, _ in every}
    for label, means in found.classes.items():
        own = [scores for other, scores in every if other == label]
        slow = {name: sum(scores[name] for scores in own) / len(own) for name in expected}
        assert means == pytest.approx({"queries": len(own), **slow})
    assert all(low <= value <= high for value, low, high in found.metrics.values())


def test_reciprocal_rank_looks_at_the_whole_ranking():
    # Ten others are nearer than the one of the query's class; nothing else is ranked so deep.
    vectors = np.arange(12.0)[:, None]
    labels = ["a"] + [f"{i}" for i in range(10)] + ["a"]
    found = measure_retrieval(vectors[:1], ["a"], vectors, labels, np.array([0]), at=[1], voters=[1])
    assert found.metrics["mean_reciprocal_rank"].value == pytest.approx(1 / 11)


def test_average_precision_and_ndcg_agree_with_scikit_learn():
    random = np.random.default_rng(3)
    gallery = random.standard_normal((3000, 6)).astype(np.float32)
    labels = random.integers(0, 40, 3000)
    queries, wanted = random.standard_normal((30, 6)).astype(np.float32), random.integers(0, 40, 30)
    found = measure_retrieval(queries, wanted, gallery, labels, at=[1, 50], voters=[1], whole=True)
    closeness = -((queries[:, None].astype(np.float64) - gallery) ** 2).sum(axis=2)
    relevant = wanted[:, None] == labels
    precision = [average_precision_score(*row) for row in zip(relevant, closeness, strict=True)]
    assert found.metrics["average_precision"].value == pytest.approx(np.mean(precision))
    assert found.metrics["ndcg@50"].value == pytest.approx(ndcg_score(relevant, closeness, k=50))


def test_ranks_of_a_whole_ranking_keep_ties_in_order_of_the_gallery():
    # A collapsed network: all equal, so the images stand in their own order, whatever is rounded.
    vectors = np.full((50, 3), 0.1, np.float32)
    found = measure_retrieval(
        vectors, list("ab" * 25), vectors, list("ab" * 25), np.arange(50), [1], [1], whole=True
    )
    slow = []
    for i in range(50):
        others = [j for j in range(50) if j != i]
        ranks = [rank for rank, j in enumerate(others, 1) if j % 2 == i % 2]
        slow.append(sum(place / rank for place, rank in enumerate(ranks, 1)) / len(ranks))
    assert found.metrics["average_precision"].value == pytest.approx(np.mean(slow))


def test_vote_agrees_with_scikit_learn_where_no_classes_tie():
    random = np.random.default_rng(0)
    gallery, labels = random.standard_normal((300, 4)), random.integers(0, 5, 300)
    queries = random.standard_normal((200, 4))
    for k in (1, 2, 9):
        model = KNeighborsClassifier(n_neighbors=k).fit(gallery, labels)
        shares = np.sort(model.predict_proba(queries), axis=1)
        clear = shares[:, -1] > shares[:, -2]
        assert clear.sum() > 20
        nearest = labels[model.kneighbors(queries, return_distance=False)]
        np.testing.assert_array_equal(vote(nearest, k)[clear], model.predict(queries)[clear])


def test_knn_accuracy_agrees_with_scikit_learn():
    random = np.random.default_rng(1)
    labels = random.integers(0, 5, 400)
    vectors = (np.eye(5)[labels] + random.standard_normal((400, 5))).astype(np.float32)
    found = measure_retrieval(vectors[:100], labels[:100], vectors[100:], labels[100:], at=[1], voters=[1])
    model = KNeighborsClassifier(n_neighbors=1).fit(vectors[100:], labels[100:])
    assert found.metrics["knn_accuracy@1"].value == pytest.approx(model.score(vectors[:100], labels[:100]))


def test_map_at_r_of_a_whole_ranking_agrees_with_scikit_learn():
    # With all R relevant images ranked among the first R or not at all, MAP@R is the usual average precision.
    random = np.random.default_rng(2)
    for _ in range(50):
        length = int(random.integers(1, 12))
        hits = np.zeros(length + 5, bool)
        hits[random.choice(length, int(random.integers(1, length + 1)), replace=False)] = True
        found, ranked = int(hits.sum()), len(hits)
        usual = average_precision_score(hits, -np.arange(ranked))
        # Looking `length` deep and dividing by `length`: the same sum with another denominator.
        ours = map_at_r(hits[None], np.array([length]))[0]
        assert ours == pytest.approx(usual * found / length)


def slow_score_at_top(vectors, triplets, groups, k):
    scores = []
    for query, positive, negative in triplets:
        others = [j for j in range(len(vectors)) if groups[j] == groups[query] and j != query]
        distance = {j: sum((vectors[query] - vectors[j]) ** 2) for j in range(len(vectors))}
        top = sorted(others, key=lambda j: (distance[j], j))[:k]
        if positive in top or negative in top:
            scores.append(1 if distance[positive] < distance[negative] else -1)
        else:
            scores.append(0)
    return scores


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_triplet_metrics_are_the_plain_loops(seed):
    random = np.random.default_rng(seed)
    vectors = random.integers(-3, 4, (25, 3)).astype(np.float64)
    groups = random.integers(0, 5, 25)  # triplets across groups, and groups of one image, among them
    triplets = np.array([random.choice(25, 3, replace=False) for _ in range(40)])
    k = int(random.integers(1, 8))
    expected = slow_score_at_top(vectors, triplets, groups, k)
    assert score_at_top(vectors, triplets, groups, k).tolist() == expected
    distance = [[sum((vectors[q] - vectors[x]) ** 2) for x in (p, n)] for q, p, n in triplets]
    found = measure_triplets(vectors, triplets, groups, top=k)
    assert found.metrics["similarity_precision"].value == sum(p < n for p, n in distance) / 40
    assert found.metrics[f"score_at_top_{k}"].value == pytest.approx(sum(expected))
    assert found.counts == {
        "triplets": 40,
        "ties": sum(p == n for p, n in distance),
        f"triplets_in_top_{k}": sum(score != 0 for score in expected),
    }
    alone = measure_triplets(vectors, triplets)
    assert list(alone.metrics) == ["similarity_precision"]


def test_a_collapsed_network_ranks_nothing_right_and_says_why():
    found = measure_triplets(np.ones((9, 4)), np.arange(9).reshape(3, 3))
    assert found.metrics["similarity_precision"] == Estimate(0, 0, 0)
    assert found.counts == {"triplets": 3, "ties": 3}


def test_bootstrap_covers_what_it_says():
    random = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        scores = random.random(100) < 0.3
        _, low, high = bootstrap({"x": scores}, samples=300, seed=seed)["x"]
        covered += low <= 0.3 <= high
    assert 180 <= covered <= 200  # 95% of 200 is 190; 3 standard deviations are 9


def test_bootstrap_by_group_is_wider_where_groups_agree():
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(50), 20)
    scores = np.repeat(random.random(50) < 0.5, 20)  # 1,000 scores that say no more than 50
    value, low, high = bootstrap({"x": scores}, groups)["x"]
    single = bootstrap({"x": scores})["x"]
    assert value == single.value == scores.mean()
    assert (high - low) / (single.high - single.low) == pytest.approx(np.sqrt(20), rel=0.2)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(value * (1 - value) / 50), rel=0.15)


def test_bootstrap_of_groups_is_the_plain_loop(monkeypatch):
    random = np.random.default_rng(5)
    scores, groups = random.random(30), np.array(list("abcde"))[random.integers(0, 5, 30)]
    names = sorted(set(groups))
    draws = np.random.default_rng(9).integers(len(names), size=(40, len(names)))
    means = [np.mean(np.concatenate([scores[groups == names[g]] for g in draw])) for draw in draws]
    expected = Estimate(scores.mean(), *np.percentile(means, [2.5, 97.5]))
    monkeypatch.setattr("deep_ranking.evaluation.metrics.interval._BLOCK", 35)  # seven draws at a time
    assert bootstrap({"x": scores}, groups, samples=40, seed=9)["x"] == pytest.approx(expected)


def test_bootstrap_is_a_function_of_its_seed():
    scores = {"x": np.random.default_rng(6).random(50)}
    assert bootstrap(scores, seed=1) == bootstrap(scores, seed=1) != bootstrap(scores, seed=2)


VECTORS = np.arange(8.0).reshape(4, 2)


def measured(labels, **how):
    return measure_retrieval(VECTORS, labels, VECTORS, labels, np.arange(4), **how)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_at(np.ones((1, 3), bool), 4), "expected K from 1 to 3"),
        (lambda: recall_at(np.ones((1, 3), bool), 0), "expected K from 1 to 3"),
        (lambda: r_precision(np.ones((1, 3), bool), np.array([0])), "expected R from 1 to 3"),
        (lambda: map_at_r(np.ones((1, 3), bool), np.array([4])), "expected R from 1 to 3"),
        (lambda: vote(np.ones((1, 3)), 4), "expected 1 to 3 voters"),
        (lambda: bootstrap({"x": np.array([])}), "at least one finite score"),
        (lambda: bootstrap({"x": np.array([np.nan])}), "at least one finite score"),
        (lambda: bootstrap({"x": np.ones(3)}, np.ones(2)), "one group for each of 3 scores"),
        (lambda: measure_retrieval(VECTORS, "abc", VECTORS, list("aabb")), "one label an image"),
        (lambda: measure_retrieval(VECTORS, list("abcd"), VECTORS, list("efgh")), "no query has another"),
        (
            lambda: measure_retrieval(VECTORS, list("aabb"), VECTORS, list("aabb"), at=[9]),
            "expected 1 to 4 neighbours",
        ),
        (lambda: measured([None, 1, 1, 2]), r"query_labels\[0\]: expected a label, found None"),
        (lambda: measured([0, np.nan, 1, np.nan]), r"query_labels\[1\]: expected a label, found nan"),
        (lambda: measured([1, 1, pd.NA, 2]), r"query_labels\[2\]: expected a label, found <NA>"),
        (lambda: measured(np.array(["a", "a", 1, 2], object)), "labels of one kind"),
        (lambda: measured([0, 0, 1, 1], at=2), "at: expected several whole numbers, found 2"),
        (
            lambda: measured([0, 0, 1, 1], voters=[1.5]),
            r"voters: expected several whole numbers, found \[1.5",
        ),
        (lambda: measured([0, 0, 1, 1], at=[1], voters=[1], seed=-1), "seed: expected a whole number of 0"),
        (lambda: bootstrap({}), "scores: expected one score a query of each kind"),
        (lambda: bootstrap({"x": np.ones(3), "y": np.ones(4)}), "scores: expected .* arrays of one length"),
        (lambda: measure_triplets(VECTORS, np.array([[0, 1, 4]])), "rows 0 to 3, found 0 to 4"),
        (lambda: measure_triplets(VECTORS, np.array([[0, 1]])), "expected triplets as whole numbers"),
        (lambda: measure_triplets(VECTORS, np.zeros((0, 3), int)), "expected triplets as whole numbers"),
        (lambda: measure_triplets(VECTORS, np.array([[0.0, 1, 2]])), "expected triplets as whole numbers"),
        (lambda: measure_triplets(VECTORS, np.array([[0, 1, 2]]), ["a"]), "one group for each of 4 images"),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(DeepRankingError, match=message):
        call()


def test_as_dict_is_json():
    found = measure_triplets(VECTORS, np.array([[0, 1, 2]]), groups=list("aaaa"), top=2)
    assert json.loads(json.dumps(found.as_dict())) == {
        "metrics": {
            "similarity_precision": {"value": 1.0, "low": 1.0, "high": 1.0},
            "score_at_top_2": {"value": 1.0, "low": 1.0, "high": 1.0},
        },
        "counts": {"triplets": 1, "ties": 0, "triplets_in_top_2": 1},
    }


def test_ranks_are_those_of_a_plain_search():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(120, 6)).astype(np.float32)
    vectors[100:] = vectors[:20]  # of those as near as the positive, the ones before it come first
    triplets = np.array([rng.choice(120, 3, replace=False) for _ in range(600)])
    expected = []
    for query, positive, _ in triplets:
        squares = np.square(vectors[query].astype(float) - vectors).sum(axis=1)
        order = [row for row in np.argsort(squares, kind="stable") if row != query]
        expected.append(1 + order.index(positive))
    np.testing.assert_array_equal(positive_ranks(vectors, triplets), expected)
