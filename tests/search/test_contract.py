"""One suite over every store and every way to search, against a slow and obvious oracle."""

import numpy as np
import pytest
from samples import vectors_like_embeddings

from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Options

pytestmark = pytest.mark.usefixtures("store")

SEARCHES = [
    *[("local", kind) for kind in (None, "clustered", "hnsw")],
    *[("memory", kind) for kind in (None, "clustered", "hnsw")],
    *[("postgres", kind) for kind in (None, "hnsw")],
    ("sharded", None),
    *[pytest.param("sharded", kind, marks=pytest.mark.long) for kind in ("clustered", "hnsw")],
]
EVERYTHING = 10**6  # a probe that looks at all there is: an approximate search is then exact

every_search = pytest.mark.parametrize(("store", "kind"), SEARCHES, indirect=["store"])
every_approximate_search = pytest.mark.parametrize(
    ("store", "kind"), [s for s in SEARCHES if None not in getattr(s, "values", s)], indirect=["store"]
)


def options(kind, **others):
    if kind:
        pytest.importorskip("faiss")
        others["probe"] = EVERYTHING if kind == "clustered" else 2000
    return Options(approximate=kind, **others)


def points(unit=True):
    """Return the vectors that most tests search; a store needs time for each index."""
    return vectors_like_embeddings(600, 7, unit=unit)


def oracle(index, query, keep=lambda path, label, distance: True, farthest=False):
    """Return `(distance, path)` of every image, one by one in float64, in the right order."""
    snapshot = index.snapshot
    found = []
    for image, vector in zip(snapshot.images, snapshot.matrix, strict=True):
        distance = sum((float(a) - float(b)) ** 2 for a, b in zip(vector, query, strict=True)) ** 0.5
        if keep(image.path, image.label, distance):
            found.append((-distance if farthest else distance, image.path))
    return [(abs(distance), path) for distance, path in sorted(found)]


def assert_same(hits, expected):
    assert [hit.path for hit in hits] == [path for _, path in expected]
    assert [hit.distance for hit in hits] == pytest.approx([d for d, _ in expected], rel=1e-6, abs=1e-7)


@pytest.fixture
def queries():
    return vectors_like_embeddings(6, 7, seed=5)


@pytest.mark.parametrize("unit", [True, False], ids=["unit", "any length"])
@every_search
def test_the_nearest_of_one_and_of_many_queries(shared_index, queries, kind, unit):
    index = shared_index(points(unit))
    expected = [oracle(index, query)[:9] for query in queries]
    for query, right in zip(queries, expected, strict=True):
        assert_same(index.search(query, 9, options(kind)), right)
    for hits, right in zip(index.search_batch(queries, 9, options(kind)), expected, strict=True):
        assert_same(hits, right)


@every_search
def test_filters_by_label_by_folder_and_by_distance(shared_index, queries, kind):
    index = shared_index(points())
    for query in queries:
        ranked = oracle(index, query)
        radius = (ranked[40][0] + ranked[41][0]) / 2
        hits = index.search(query, 10, options(kind, label="class 1"))
        assert_same(hits, oracle(index, query, lambda path, label, d: label == "class 1")[:10])
        hits = index.search(query, 10, options(kind, folder="class 2"))
        assert_same(hits, oracle(index, query, lambda path, label, d: path.startswith("class 2/"))[:10])
        hits = index.search(query, 100, options(kind, within=radius, folder="class 0", label="class 0"))
        assert_same(hits, [(d, p) for d, p in ranked if d <= radius and p.startswith("class 0/")])
        assert index.search(query, 10, options(kind, label="class 1", folder="class 0")) == []
        hits = index.search(query, 10, options(kind, label=("class 2", "class 0")))
        assert_same(hits, oracle(index, query, lambda path, label, d: label != "class 1")[:10])


@every_search
def test_more_asked_for_than_there_are_gives_all(shared_index, queries, kind):
    index = shared_index(points())
    assert_same(index.search(queries[0], 1000, options(kind)), oracle(index, queries[0]))


@every_search
def test_an_empty_index_has_no_hits(shared_index, kind):
    index = shared_index(np.zeros((0, 7), np.float32))
    assert index.search(np.ones(7), 3, options(kind)) == []
    assert index.search_batch(np.ones((2, 7)), 3, options(kind)) == [[], []]


@every_search
def test_equal_vectors_come_in_order_of_their_paths(shared_index, kind):
    index = shared_index(np.ones((50, 7), np.float32))
    assert [hit.path for hit in index.search(np.ones(7), 50, options(kind))] == [
        image.path for image in index.snapshot.images
    ]


@every_search
def test_the_query_is_left_out_if_asked(shared_index, kind):
    index = shared_index(points())
    path = "class 1/000100.jpg"
    vector = index.snapshot.matrix[index.snapshot.row(path)]
    assert index.search(path, 5, options(kind))[0].path == path
    hits = index.search(path, 5, options(kind, leave_self_out=True))
    assert_same(hits, oracle(index, vector, lambda other, label, d: other != path)[:5])


def test_the_farthest_those_beyond_a_distance_and_all(shared_index, queries):
    index = shared_index(points(unit=False))
    for query in queries:
        ranked = oracle(index, query)
        low, high = (ranked[i][0] / 2 + ranked[i + 1][0] / 2 for i in (29, 400))
        assert_same(index.search(query, 8, Options(bottom=True)), oracle(index, query, farthest=True)[:8])
        assert_same(index.search(query, 8, Options(beyond=low)), ranked[30:38])
        assert_same(index.search(query, None, Options(beyond=low, within=high)), ranked[30:401])
        assert_same(
            index.search(query, 5, Options(bottom=True, within=high)),
            oracle(index, query, lambda p, label, d, high=high: d <= high, farthest=True)[:5],
        )
        assert_same(index.search(query, None), ranked)


def test_several_queries_search_by_their_mean_at_length_one(shared_index):
    index = shared_index(points())
    paths = [index.snapshot.images[row].path for row in (3, 50)]
    mean = index.snapshot.matrix[[3, 50]].mean(axis=0)
    assert_same(index.search(paths, 5), oracle(index, mean / np.linalg.norm(mean))[:5])
    assert not {hit.path for hit in index.search(paths, 5, Options(leave_self_out=True))} & set(paths)


def test_the_mean_of_vectors_of_any_length_is_the_plain_mean(shared_index):
    index = shared_index(np.array([[0, 0], [2, 0], [6, 0]], np.float32))
    hits = index.search([np.array([1.0, 0]), np.array([3.0, 0])], 1)
    assert (hits[0].path, hits[0].distance) == ("class 1/000001.jpg", 0)


@every_approximate_search
def test_a_narrow_filter_still_finds_all_it_asks_for(shared_index, kind):
    pytest.importorskip("faiss")
    index = shared_index(vectors_like_embeddings(3000, 7), labels=300)
    hits = index.search(np.ones(7), 10, Options(approximate=kind, probe=1, label="class 7"))
    assert_same(hits, oracle(index, np.ones(7), lambda path, label, d: label == "class 7")[:10])


@every_approximate_search
def test_the_probe_is_chosen_so_that_other_queries_too_are_answered(shared_index, kind):
    pytest.importorskip("faiss")
    index = shared_index(vectors_like_embeddings(5000, 32))
    queries = vectors_like_embeddings(100, 32)  # the first of the same draw: near what is indexed
    exact = index.search_batch(queries, 10)
    found = index.search_batch(queries, 10, Options(approximate=kind))
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]
    assert np.mean(shares) >= 0.95


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"within": -1}, "within: expected a distance of 0 or more, found -1"),
        ({"within": 0.5, "beyond": 0.7}, "within: expected 0.7 or more, as `beyond` asks for, found 0.5"),
        ({"beyond": float("nan")}, "beyond: expected a distance"),
        ({"approximate": "magic"}, "expected one of clustered, hnsw, found 'magic'"),
        ({"approximate": "hnsw", "bottom": True}, "finds the nearest images only"),
        ({"approximate": "hnsw", "probe": 0}, "probe: expected 1 or more, found 0"),
        ({"label": ()}, "label: expected a label or several"),
        ({"probe": 3}, "probe: it belongs to an approximate search"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(DeepRankingError, match=message):
        Options(**settings)


def test_queries_that_make_no_sense_are_refused(shared_index):
    index = shared_index(np.eye(3, dtype=np.float32))
    for query, k, message in [
        (np.ones(4), 1, "expected vectors of 3 coordinates, found the shape"),
        (np.ones(0), 1, r"expected vectors of 3 coordinates, found the shape \(1, 0\)"),
        (np.array([1, np.nan, 1]), 1, "expected finite coordinates"),
        (np.ones((2, 3)), 1, "expected a vector of one axis"),
        (np.ones(3), 0, "expected 1 result or more"),
        ([], 1, "expected at least one query image"),
        ("nowhere.jpg", 1, "nowhere.jpg: expected an image file or a path in the index"),
        (".", 1, "^\\.: expected an image file or a path in the index, found a folder"),
        (
            "http://a.b/c.jpg",
            1,
            "c.jpg: expected an image file .* found an address; download the image first",
        ),
    ]:
        with pytest.raises(DeepRankingError, match=message):
            index.search(query, k)
    with pytest.raises(DeepRankingError, match=r"expected one of the 3 in the index .*found 'dogs'"):
        index.search(np.ones(3), 1, Options(label="dogs"))
    with pytest.raises(DeepRankingError, match="found 'dogs'"):
        index.search(np.ones(3), 1, Options(label=("class 0", "dogs")))
    with pytest.raises(DeepRankingError, match=r"folder: expected one that has .* found 'clas'"):
        index.search(np.ones(3), 1, Options(folder="clas"))
    with pytest.raises(DeepRankingError, match="expected a vector and a label for each of 1 paths"):
        index.add(["a"], np.eye(3))
    with pytest.raises(DeepRankingError, match="vector 1"):
        index.add(["a", "b"], [[1, 2, 3], [1, 2, np.inf]])
