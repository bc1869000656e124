"""Many equal vectors: each stands once in a structure, and the recall is told honestly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import vectors_like_embeddings

from deep_ranking.search import Index, Options
from deep_ranking.search.copies import Copies
from deep_ranking.search.measure import measure

KINDS = ["clustered", "hnsw"]


@given(
    st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.0, 1.5]), min_size=2, max_size=2), max_size=30),
    st.integers(1, 40),
    st.data(),
)
def test_copies_are_those_that_a_dictionary_finds(rows, most, data):
    matrix = np.array(rows, np.float32).reshape(-1, 2)
    groups: dict[tuple, list[int]] = {}
    for number, row in enumerate(matrix.tolist()):
        groups.setdefault(tuple(row), []).append(number)  # a dictionary takes -0 for 0 as well
    copies = Copies.of(matrix)
    distinct = copies.distinct(matrix)
    assert copies.count == len(groups) == len(distinct)
    assert {tuple(row) for row in distinct.tolist()} == groups.keys()
    order = data.draw(st.permutations(range(len(groups))))
    among = data.draw(
        st.one_of(
            st.none(),
            st.builds(slice, st.integers(0, 15), st.integers(10, 30)),
            st.sets(st.integers(0, max(0, len(rows) - 1))).map(lambda some: np.array(sorted(some), np.int64)),
        )
    )
    if isinstance(among, np.ndarray):
        among = among[among < len(rows)]
    allowed = set(range(len(rows)) if among is None else np.arange(len(rows))[among].tolist())
    every = [row for place in order for row in groups[tuple(distinct[place].tolist())]]
    if copies.count == len(rows):  # then a structure's rows are the matrix's
        assert copies.distinct(matrix) is matrix
        return
    found = copies.rows(np.array(order), most, among)
    assert found.tolist() == [row for row in every if row in allowed][:most]
    assert {tuple(distinct[place].tolist()) for place in copies.places_of(among)} == {
        tuple(rows[row]) for row in allowed
    }


def test_vectors_that_share_a_key_are_still_told_apart(monkeypatch):
    monkeypatch.setattr("deep_ranking.search.copies._keys", lambda matrix: [np.zeros(len(matrix), np.uint64)])
    copies = Copies.of(np.array([[1], [2], [1], [3]], np.float32))
    assert copies.count == 3
    assert copies.rows(np.arange(3), 10).tolist() == [0, 2, 1, 3]


COUNT = 4000
DRAWN = vectors_like_embeddings(COUNT + 200, 24)
QUERIES = DRAWN[COUNT:]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Make an index of which half are copies: 20 pictures with 100 copies each."""
    pytest.importorskip("faiss")
    vectors = DRAWN[:COUNT].copy()
    for first in range(0, COUNT // 2, 100):
        vectors[first : first + 100] = vectors[first]
    vectors = vectors[np.random.default_rng(1).permutation(COUNT)]
    with Index.create(tmp_path_factory.mktemp("copies"), vectors.shape[1], "test") as index:
        labels = [f"label {number % 3}" for number in range(len(vectors))]
        index.add([f"{number:05}.jpg" for number in range(len(vectors))], vectors, labels)
        yield index


def recall(found, right):
    """Return the share of hits at a distance at which the nearest are: equal vectors are equally right."""
    shares = [
        sum(hit.distance <= exact[-1].distance * (1 + 1e-6) for hit in hits) / len(exact)
        for hits, exact in zip(found, right, strict=True)
    ]
    return np.mean(shares)


@pytest.mark.parametrize("filters", [{}, {"label": "label 1"}, {"folder": ""}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_half_of_the_library_are_copies_and_the_recall_is_as_promised(index, kind, filters):
    right = index.search_batch(QUERIES, 10, **filters)
    found = index.search_batch(QUERIES, 10, approximate=kind, **filters)
    assert recall(found, right) >= 0.95
    structure = index.snapshot.approximate(kind)
    assert structure.recall >= 0.95
    assert structure._structure.ntotal == index.snapshot.approximate(kind)._copies.count == 2000 + 20
    # Read from its cache, it is the same.
    with Index.open(index.store.path.parent) as again:
        assert again.search_batch(QUERIES[:9], 10, approximate=kind, **filters) == found[:9]
        assert again.snapshot.approximate(kind).recall == np.float32(structure.recall)


@pytest.mark.parametrize("kind", KINDS)
def test_of_copies_those_first_by_path_are_found_as_an_exact_search_finds_them(index, kind):
    copied = next(row for row in index.snapshot.matrix if (index.snapshot.matrix == row).all(1).sum() == 100)
    options = Options(approximate=kind, probe=4000)
    assert index.search(copied, 150, options)[:100] == index.search(copied, 100)
    assert index.search(copied, 7, options) == index.search(copied, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_measured_is_what_new_queries_get(index, kind):
    """Copies of the query are no merit of a search that finds them."""
    right = index.search_batch(QUERIES, 10)
    for found in measure(index.snapshot):
        if found.approximate == kind and found.recall < 0.99:
            options = Options(approximate=kind, probe=found.probe)
            assert found.recall == pytest.approx(
                recall(index.search_batch(QUERIES, 10, options), right), abs=0.06
            )


def test_a_recall_below_the_promised_is_told_when_built_and_when_read(tmp_path, monkeypatch, caplog):
    pytest.importorskip("faiss")
    monkeypatch.setattr("deep_ranking.search.approximate._LARGEST", 16)
    vectors = np.random.default_rng(0).normal(size=(3000, 40)).astype(np.float32)
    with Index.create(tmp_path, 40, "test") as index:
        index.add([str(number) for number in range(3000)], vectors)
        index.search(vectors[0], approximate="hnsw")
    with Index.open(tmp_path) as index:
        index.search(vectors[0], approximate="clustered")
        index.search(vectors[0], approximate="hnsw")
        index.search(vectors[1], approximate="hnsw")
        percent = f"{100 * index.snapshot.approximate('hnsw').recall:.1f}%"
    assert float(percent[:-1]) < 95
    told = [record.getMessage() for record in caplog.records if "hnsw" in record.getMessage()]
    assert len(told) == 2
    assert told[0] == told[1]
    assert f"hnsw finds {percent} of the ten nearest among these vectors, and 95% are promised" in told[0]
