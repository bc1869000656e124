"""The exact sampler's frequencies agree with eqs. 6-8 of the paper."""

import numpy as np
import pytest
from scipy import stats

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.importance import ImportanceSampler
from deep_ranking.triplets.relevance import LabelRelevance, PairRelevance, Relevance
from deep_ranking.triplets.settings import ImportanceSettings

CATEGORIES = np.array([2, 0, 0, 2, 0, 2, 0, 2, 5, 0, 2])  # not sorted, with gaps; category 5 has one image


class TableRelevance(Relevance):
    """Any numbers, not symmetric, so that query and candidate cannot be confused."""

    def __init__(self, categories, table):
        super().__init__(categories, maximum=table.max())
        self.table = table

    def _within(self, queries, others):
        return self.table[queries, others]


def table_relevance(seed=0):
    rng = np.random.default_rng(seed)
    table = rng.gamma(0.7, size=(len(CATEGORIES),) * 2)
    table[rng.random(table.shape) < 0.2] = 0
    table[:, 7] = 0  # relevant to nobody
    table[4] = 0  # nobody is relevant to it: never a query
    return TableRelevance(CATEGORIES, table)


def slow_probabilities(relevance, settings):
    """P(i, j, k) by the paper's words, loop by loop; out-of-class and in-class apart, then mixed."""
    n = len(relevance.categories)
    r = np.array([[float(relevance(i, j)) for j in range(n)] for i in range(n)])
    same = relevance.categories[:, None] == relevance.categories[None, :]
    by_kind = np.zeros((2, n, n, n))
    for i in range(n):
        capped = np.minimum(settings.relevance_cap, r[i])
        for j in range(n):
            if r[i, j] == 0:
                continue
            p = r[i].sum() / r.sum() * capped[j] / capped.sum()
            by_kind[0, i, j, ~same[i]] = p / (~same[i]).sum()
            legal = np.where(r[i, j] - r[i] >= settings.relevance_margin, capped, 0) / capped.sum()
            if legal.sum():
                kept = 1 - (1 - legal.sum()) ** settings.failure_limit
                by_kind[1, i, j] = p * kept * legal / legal.sum()
    by_kind /= by_kind.sum(axis=(1, 2, 3), keepdims=True)
    return by_kind[0] * settings.out_of_class_ratio + by_kind[1] * (1 - settings.out_of_class_ratio)


def p_value(triplets, probabilities):
    """Chi-square of all the cells; those expected fewer than 10 times make one."""
    observed = np.zeros(probabilities.shape)
    np.add.at(observed, tuple(triplets.T), 1)
    assert not observed[probabilities == 0].any()
    expected = probabilities * len(triplets)
    large = expected >= 10
    cells = [np.append(values[large], values[~large].sum()) for values in (observed, expected)]
    if cells[1][-1] < 10:
        cells = [np.append(values[:-2], values[-2:].sum()) for values in cells]
    return stats.chisquare(*cells).pvalue


@pytest.mark.parametrize("rounds", [0, 1, 30], ids=["whole category", "mixed", "by rejection"])
@pytest.mark.parametrize(
    "settings",
    [
        ImportanceSettings(),
        ImportanceSettings(relevance_cap=0.4, relevance_margin=0.3, out_of_class_ratio=0.5),
        ImportanceSettings(relevance_margin=0.5, out_of_class_ratio=0, failure_limit=1),
        ImportanceSettings(relevance_cap=1, out_of_class_ratio=0, failure_limit=3),
        ImportanceSettings(relevance_cap=0.7, out_of_class_ratio=1),
    ],
    ids=["default", "cap and margin", "one trial", "three trials", "out of class only"],
)
def test_frequencies_agree_with_equations_6_to_8(settings, rounds):
    relevance = table_relevance()
    sampler = ImportanceSampler(relevance, settings, seed=11)
    sampler._candidates.quick_rounds = rounds
    triplets = sampler.draw(60_000)
    assert p_value(triplets, slow_probabilities(relevance, settings)) > 0.001


def test_frequencies_agree_where_the_source_lists_neighbours_and_least_relevances():
    rng = np.random.default_rng(2)
    first, second = np.triu_indices(len(CATEGORIES), 1)
    scored = (CATEGORIES[first] == CATEGORIES[second]) & (rng.random(len(first)) < 0.7)
    relevance = PairRelevance(CATEGORIES, first[scored], second[scored], rng.integers(1, 5, scored.sum()))
    settings = ImportanceSettings(relevance_cap=3, relevance_margin=2, failure_limit=2)
    triplets = ImportanceSampler(relevance, settings, seed=8).draw(60_000)
    assert p_value(triplets, slow_probabilities(relevance, settings)) > 0.001


def test_the_chi_square_would_see_another_cap_margin_or_limit():
    relevance, settings = table_relevance(), ImportanceSettings(relevance_cap=0.5, failure_limit=3)
    triplets = ImportanceSampler(relevance, settings, seed=11).draw(60_000)
    for other in [
        ImportanceSettings(relevance_cap=0.7, failure_limit=3),
        ImportanceSettings(relevance_cap=0.5, relevance_margin=0.2, failure_limit=3),
        ImportanceSettings(relevance_cap=0.5, failure_limit=1),
        ImportanceSettings(relevance_cap=0.5, failure_limit=3, out_of_class_ratio=0.22),
    ]:
        expected = slow_probabilities(relevance, other)
        assert (expected[tuple(triplets.T)] == 0).any() or p_value(triplets, expected) < 0.001


def test_copies_weigh_positives_and_negatives():
    relevance = table_relevance()
    copies = np.random.default_rng(4).integers(1, 5, len(CATEGORIES))
    settings = ImportanceSettings(out_of_class_ratio=1)
    triplets = ImportanceSampler(relevance, settings, seed=3, copies=copies).draw(40_000)
    # Each image as many times as it has copies; only the copies' sums are seen.
    weight = np.minimum(np.inf, relevance(np.arange(11)[:, None], np.arange(11))) * copies
    out = (CATEGORIES[:, None] != CATEGORIES) * copies
    totals = relevance.totals() / relevance.totals().sum()
    expected = totals[:, None] * weight / np.maximum(weight.sum(1, keepdims=True), 1e-300)
    expected = expected[:, :, None] * (out / out.sum(1, keepdims=True))[:, None, :]
    assert p_value(triplets, expected) > 0.001


def test_pieces_of_any_size_make_the_same_sequence():
    make = lambda: ImportanceSampler(table_relevance(), seed=5)  # noqa: E731
    whole, pieces, resumed = make(), make(), make()
    expected = whole.draw(70_000)  # more than are made at a time
    assert (np.concatenate([pieces.draw(n) for n in (1, 0, 999, 69_000)]) == expected).all()
    resumed.drawn = 69_990
    assert (resumed.draw(10) == expected[-10:]).all()
    other = ImportanceSampler(table_relevance(), seed=6).draw(1000)
    assert (other != expected[:1000]).any()


def test_the_margin_is_kept_and_the_ratio_is_the_setting():
    relevance = table_relevance()
    settings = ImportanceSettings(relevance_margin=0.4, out_of_class_ratio=0.3)
    q, p, n = ImportanceSampler(relevance, settings, seed=1).draw(20_000).T
    inside = CATEGORIES[q] == CATEGORIES[n]
    assert (relevance(q, p)[inside] - relevance(q, n)[inside] >= 0.4).all()
    assert (CATEGORIES[q] == CATEGORIES[p]).all()
    assert (q != p).all()
    assert (p != n).all()
    assert (q != n).all()
    assert stats.binomtest(int((~inside).sum()), len(inside), 0.3).pvalue > 0.001


def test_without_a_legal_negative_the_error_says_what_to_do():
    labels = LabelRelevance([0, 0, 0, 1, 1])
    with pytest.raises(DeepRankingError, match="out_of_class_ratio to 1"):
        ImportanceSampler(labels).draw(10)
    assert ImportanceSampler(labels, ImportanceSettings(out_of_class_ratio=1)).draw(10).shape == (10, 3)


def test_no_query_or_no_other_category_is_an_error():
    with pytest.raises(DeepRankingError, match="no query"):
        ImportanceSampler(LabelRelevance([0, 1, 2]))
    with pytest.raises(DeepRankingError, match="no query"):
        ImportanceSampler(TableRelevance(np.zeros(3, int), np.zeros((3, 3))))
    with pytest.raises(DeepRankingError, match="no query"):
        ImportanceSampler(LabelRelevance([]))
    with pytest.raises(DeepRankingError, match="one category"):
        ImportanceSampler(LabelRelevance([0, 0]))


def test_a_positive_that_is_rare_in_its_category_is_found():
    """One pair in 4,000 images: the quick rounds miss it, the whole category does not."""
    table = np.zeros((4001, 4001), np.float32)
    table[7, 2000] = 1
    categories = np.zeros(4001, int)
    categories[4000] = 1
    sampler = ImportanceSampler(TableRelevance(categories, table), ImportanceSettings(out_of_class_ratio=1))
    assert (sampler.draw(20) == [7, 2000, 4000]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"relevance_cap": 0},
        {"relevance_margin": 0},
        {"relevance_margin": np.nan},
        {"out_of_class_ratio": 1.1},
        {"failure_limit": 0},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(DeepRankingError, match=next(iter(wrong))):
        ImportanceSettings(**wrong)
