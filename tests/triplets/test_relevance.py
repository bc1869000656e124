"""Sources of relevance against slow loops, and their files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.relevance import (
    FeatureRelevance,
    Hierarchy,
    HierarchyRelevance,
    LabelRelevance,
    PairRelevance,
    Relevance,
    read_pairs,
    typical_distance,
)

CATEGORIES = np.array([3, 0, 3, 0, 0, 9, 3, 3])
TREE = {
    "beagle": "hound", "hound": "dog", "pug": "dog", "dog": "animal", "tabby": "cat", "cat": "animal",
    "vase": "thing",
}  # fmt: skip
NAMES = ["pug", "beagle", "tabby", "vase", "dog"]


def sources():
    rng = np.random.default_rng(0)
    n = len(CATEGORIES)
    pairs = np.array([(0, 2), (6, 2), (1, 4), (7, 0)])
    return {
        "labels": LabelRelevance(CATEGORIES),
        "pairs": PairRelevance(CATEGORIES, *pairs.T, scores=[0.5, 2, 0, 3]),
        "hierarchy": HierarchyRelevance(Hierarchy(TREE), NAMES, labels=[0, 1, 0, 3, 3, 2, 4, 4]),
        "features": FeatureRelevance(
            CATEGORIES, {"a": rng.normal(size=(n, 3)), "b": rng.random((n, 2))}, {"a": 2, "b": 0.5}, scale=3
        ),
    }


@pytest.mark.parametrize("name", sources())
def test_every_source_keeps_the_contract(name):
    relevance = sources()[name]
    n = len(relevance.categories)
    table = relevance(np.arange(n)[:, None], np.arange(n)[None, :])
    assert table.shape == (n, n)
    assert table.dtype == np.float64
    assert (table >= 0).all()
    assert table.max() <= relevance.maximum
    assert (table[relevance.categories[:, None] != relevance.categories] == 0).all()
    assert (np.diag(table) == 0).all()
    np.testing.assert_allclose(table, table.T)
    first, second = np.divmod(np.arange(n * n), n)
    np.testing.assert_allclose(relevance(first, second), table.ravel())
    np.testing.assert_allclose(relevance.totals(), table.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(Relevance.totals(relevance), table.sum(axis=1), atol=1e-12)
    smallest = relevance.smallest()
    assert all((row[row > 0] >= least).all() for row, least in zip(table, smallest, strict=True))
    listed = relevance.neighbours(np.arange(n))
    if listed is not None:
        assert relevance.reach.tolist() == (table > 0).sum(axis=1).tolist()
        for query, row in enumerate(listed):
            assert sorted({*row} - {query}) == np.flatnonzero(table[query]).tolist()


def test_features_are_a_weighted_sum_of_distances():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(4, 5))
    for metric, distance in [
        ("euclidean", lambda x, y: np.sqrt(((x - y) ** 2).sum())),
        ("manhattan", lambda x, y: np.abs(x - y).sum()),
    ]:
        relevance = FeatureRelevance([0] * 4, {"a": a, "b": b}, {"a": 2, "b": 0.3}, scale=4, metric=metric)
        expected = np.exp(-(2 * distance(a[1], a[3]) + 0.3 * distance(b[1], b[3])) / 4)
        assert relevance(1, 3) == pytest.approx(expected, rel=1e-5)


def test_typical_distance_is_the_median_within_categories():
    x = np.array([[0.0], [1], [1000], [1003]])
    relevance = FeatureRelevance([0, 0, 1, 1], {"x": x})
    assert typical_distance(relevance) in (1, 2, 3)
    many = FeatureRelevance(np.zeros(500, int), {"x": np.random.default_rng(0).random((500, 1))})
    assert typical_distance(many) == pytest.approx(1 - np.sqrt(0.5), abs=0.02)
    for features in ([[0.0], [0.0]], [[0.0]]):
        with pytest.raises(DeepRankingError):
            typical_distance(FeatureRelevance([0] * len(features), {"x": features}))


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "cosine"},
        {"scale": 0},
        {"weights": {"c": 1}},
        {"weights": {"a": -1}},
        {"weights": {"a": 0}},
        {"features": {"a": np.zeros((3, 2))}},
        {"features": {"a": np.zeros(2)}},
        {"features": {}},
    ],
)
def test_features_that_do_not_fit_are_an_error(change):
    with pytest.raises(DeepRankingError):
        FeatureRelevance(**{"categories": [0, 0], "features": {"a": np.zeros((2, 2))}, **change})


def test_hierarchy_is_the_similarity_of_wu_and_palmer():
    relevance = HierarchyRelevance(Hierarchy(TREE), NAMES, labels=np.arange(5))
    assert relevance(0, 1) == pytest.approx(2 * 2 / (3 + 4))  # pug and beagle meet in dog
    assert relevance(0, 2) == pytest.approx(2 * 1 / (3 + 3))  # and with tabby in animal
    assert relevance(1, 4) == pytest.approx(2 * 2 / (4 + 2))  # a beagle is a dog
    assert relevance(0, 3) == 0
    assert HierarchyRelevance(Hierarchy(TREE), NAMES, [0, 0])(0, 1) == 1
    deeper = HierarchyRelevance(Hierarchy(TREE), NAMES, labels=np.arange(5), category_depth=2)
    assert len(set(deeper.categories)) == 3
    assert deeper(0, 2) == 0
    assert deeper(0, 1) == relevance(0, 1)


@pytest.mark.parametrize("name", ["tree.tsv", "tree.json"])
def test_hierarchy_files(tmp_path, name):
    path = tmp_path / name
    links = [("beagle", "dog"), ("pug", "dog"), ("dog", "animal")]

    def write(links):
        if name.endswith("json"):
            path.write_text("{" + ",".join(f'"{child}": "{parent}"' for child, parent in links) + "}")
        else:
            path.write_text(
                "\ufeff# by hand\n\n" + "".join(f"{child}\t{parent}\r\n" for child, parent in links)
            )

    write(links)
    assert Hierarchy.read(path).lineage("pug") == ["animal", "dog", "pug"]
    write([*links, ("pug", "cat")])
    with pytest.raises(DeepRankingError, match=r"(line 6|'pug').*one parent"):
        Hierarchy.read(path)
    write([*links, ("animal", "pug")])
    with pytest.raises(DeepRankingError, match="its own ancestor"):
        Hierarchy.read(path)
    write([*links, ("", "pug")])
    with pytest.raises(DeepRankingError, match="expected"):
        Hierarchy.read(path)
    path.write_text("[1, 2")
    with pytest.raises(DeepRankingError, match=r"expected|not JSON"):
        Hierarchy.read(path)
    path.write_text("[1, 2]")
    with pytest.raises(DeepRankingError, match="expected"):
        Hierarchy.read(path)


def test_a_class_outside_the_hierarchy_is_named():
    with pytest.raises(DeepRankingError, match="'lamp' is not in the hierarchy"):
        HierarchyRelevance(Hierarchy(TREE), ["lamp"], [0])
    with pytest.raises(DeepRankingError, match="category_depth"):
        HierarchyRelevance(Hierarchy(TREE), NAMES, [0], category_depth=0)


scores = st.floats(0, 1e6, allow_nan=False)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.tuples(names, names, scores), min_size=1, max_size=8))
def test_pairs_come_back_from_a_file(tmp_path_factory, ending, rows):
    path = tmp_path_factory.mktemp("pairs") / f"pairs.{ending}"
    write_pairs(path, rows)
    assert [pair[1:] for pair in read_pairs(path)] == rows


def write_pairs(path, rows):
    if path.suffix == ".csv":
        import csv

        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("relevance", "note", "image", "other")])
            csv.writer(file).writerows((score, "", one, two) for one, two, score in rows)
    else:
        pytest.importorskip("pyarrow")
        import pyarrow
        import pyarrow.parquet

        columns = dict(zip(("image", "other", "relevance"), map(list, zip(*rows, strict=True)), strict=True))
        pyarrow.parquet.write_table(pyarrow.table(columns), path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image,other\na,b\n", "line 1: expected the columns"),
        ("", "line 1: expected the columns"),
        ("image,other,relevance\na,b,1\na,b\n", "line 3: expected 3 fields"),
        ("image,other,relevance\na,b,much\n", "line 2: expected a relevance of 0 or more, found 'much'"),
        ("image,other,relevance\na,b,-1\n", "line 2: expected a relevance"),
        ("image,other,relevance\na,b,nan\n", "line 2: expected a relevance"),
        ("image,other,relevance\n,b,1\n", "line 2: expected the names"),
        ('image,other,relevance\n"a"x,b,1\n', "line 2: not CSV"),
        ("image,other,relevance\na,zzz,1\n", "line 2: no image 'zzz'"),
        ("image,other,relevance\na,b,1\nb,a,2\n", "pairs 0 and 1 are the same two images"),
        ("image,other,relevance\na,a,1\n", "paired with itself"),
        ("image,other,relevance\na,c,1\n", "two categories"),
    ],
)
def test_a_bad_file_of_pairs_is_an_error_that_says_where(tmp_path, text, problem):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(DeepRankingError, match=problem) as error:
        PairRelevance.read(path, ["a", "b", "c"], [0, 0, 1])
    assert str(path) in str(error.value)


def test_a_file_that_is_no_parquet_and_a_missing_column(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "pairs.parquet"
    path.write_bytes(b"image,other,relevance")
    with pytest.raises(DeepRankingError, match="not a Parquet file"):
        list(read_pairs(path))
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"image": ["a"], "other": ["b"]}), path)
    with pytest.raises(DeepRankingError, match="relevance"):
        list(read_pairs(path))


def test_pairs_of_another_part_of_the_data_set_are_left_out(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("image,other,relevance\na,b,1\na,held out,5\n")
    relevance = PairRelevance.read(path, ["a", "b"], [0, 0], elsewhere=["held out"])
    assert relevance(0, 1) == 1
    assert relevance.maximum == 1


def test_no_pairs_at_all_is_no_relevance():
    relevance = PairRelevance([0, 0], [], [], [])
    assert relevance(0, 1) == 0
    assert relevance.totals().tolist() == [0, 0]
