"""A scan over rows of eight bits finds what a scan over the whole rows does, whatever they hold."""

import errno
import sys
from threading import Event, Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_ranking import Index, Options
from deep_ranking.search import codes as module
from deep_ranking.search import neighbours, segment
from deep_ranking.search.bounds import Bounds, rounding
from deep_ranking.search.cache import save_arrays, seal
from deep_ranking.search.coded_bounds import Apart
from deep_ranking.search.codes import Codes, kernels
from deep_ranking.search.exact import Exact, squared_distances
from deep_ranking.search.image import Image
from deep_ranking.search.neighbours import NeighbourSearch

pytestmark = pytest.mark.skipif(kernels() is None, reason="the extra `search` is not installed")


def drawn(kind: str, count: int, dimension: int, scale: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, dimension))
    if kind == "unit":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    elif kind == "norms from tiny to huge":
        rows *= 10.0 ** rng.uniform(-6, 6, (count, 1))
    elif kind == "few distinct":
        rows = rows[rng.integers(min(7, count), size=count)]
    elif kind == "one far away":
        rows[count // 3] *= 1e7
    elif kind == "one far along one coordinate":
        rows[count // 3, -1] = 1e8
    elif kind == "some far away":
        rows[:: count // 20 + 1] *= 10.0 ** rng.uniform(2, 8, (len(rows[:: count // 20 + 1]), 1))
    elif kind == "one coordinate huge":
        rows[:, 0] += 1e4 * rng.integers(2, size=count)
    elif kind == "collapsed":
        rows = 1 + 1e-5 * rows
    elif kind == "whole numbers":  # ties
        rows = np.rint(rows)
    return (scale * rows).astype(np.float32)


FAR = "one far away", "one far along one coordinate", "some far away", "norms from tiny to huge"
KINDS = *FAR, "unit", "few distinct", "one coordinate huge", "collapsed", "whole numbers"

UNTOLD = "few distinct", "one coordinate huge", "norms from tiny to huge"


def nearest(matrix: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray) -> set[int]:
    """Return all rows as near as the k-th nearest, slowly."""
    far = squared_distances(matrix[allowed], query)
    return set(allowed[far <= np.sort(far)[k - 1]].tolist())


@given(
    st.sampled_from(KINDS),
    st.integers(1300, 6000),
    st.integers(1, 70),
    st.integers(1, 12),
    st.sampled_from([1e-30, 1e-12, 1e-3, 1.0, 1e6, 1e15]),
    st.sampled_from(["all", "range", "most", "gone"]),
    st.integers(0, 10**6),
)
def test_all_nearest_are_found_with_all_that_tie(kind, count, dimension, k, scale, which, seed):
    rng = np.random.default_rng(seed)
    matrix = drawn(kind, count, dimension, scale, seed)
    query = matrix[rng.integers(count)] if seed % 3 else drawn(kind, 1, dimension, scale, seed + 1)[0]
    rows = {"range": slice(7, count - 5), "most": np.sort(rng.permutation(count)[: count // 2])}.get(which)
    gone = np.sort(rng.permutation(count)[: count // 9]) if which == "gone" else None
    allowed = np.delete(np.arange(count), gone) if gone is not None else np.arange(count)
    allowed = allowed if rows is None else allowed[rows]
    right = nearest(matrix, query, k, allowed)
    found = Codes.of(matrix).few(matrix, query, k, rows, gone)
    assert found is None or right <= set(found.tolist()) <= set(allowed.tolist())
    exact = Exact(matrix, lambda _: Codes.of(matrix))
    exact = exact if gone is None else exact.without(gone)
    assert right <= set(exact.nearest(query[None], k, rows)[0].tolist()) <= set(allowed.tolist())
    several = np.concatenate([query[None], matrix[rng.integers(count, size=2)]])
    every = exact.nearest(several, k, rows)
    for one, found in zip(several, every, strict=True):
        assert nearest(matrix, one, k, allowed) <= set(found.tolist()) <= set(allowed.tolist())


@pytest.mark.parametrize("dimension", [1, 3, 64, 100, 512])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bounds_hold_and_are_near(kind, dimension):
    matrix, query = drawn(kind, 2000, dimension, 1, 0), drawn(kind, 1, dimension, 1, 1)[0] + np.float32(1e-3)
    codes = Codes.of(matrix)
    x, y = (some.astype(np.float64) - codes.centre for some in (matrix, query))
    whole = codes.numbers[0, :, None].astype(np.float64) * codes.codes
    scale = np.abs(y).max() / 127
    own = scale * np.rint(y / scale)
    true = x @ y - (x * x).sum(axis=1) / 2
    found = whole @ own - (x * x).sum(axis=1) / 2
    bound = codes.numbers[2] * np.linalg.norm(y - own) + codes.numbers[3] * np.linalg.norm(y)
    rounded = 2 * rounding(dimension) * ((x * x).sum(axis=1) + y @ y)
    assert (np.abs(true - found) <= 1.001 * bound + rounded).all()
    assert np.abs(codes.numbers[3] - np.linalg.norm(x - whole, axis=1)).max() <= 1e-6 * np.linalg.norm(x)
    if kind == "unit" and dimension >= 64:
        assert bound.max() < 0.04


@pytest.mark.parametrize("width", [1, 31, 128, 513])
def test_products_of_whole_numbers_are_exact(width):
    rng = np.random.default_rng(0)
    rows, query = rng.integers(-127, 128, (300, width), np.int8), rng.integers(-127, 128, (1, width), np.int8)
    rows[0], rows[1], query[0, :5] = 127, -127, 127
    out = np.empty((300, 1), np.float32)
    kernels().cdist(rows, query, "dot", out=out)
    assert np.array_equal(out, rows.astype(np.int64) @ query.T.astype(np.int64))


def test_few_are_left_of_many():
    matrix = drawn("unit", 20_000, 128, 1, 0)
    found = Codes.of(matrix).few(matrix, drawn("unit", 1, 128, 1, 1)[0], 10)
    assert 10 <= len(found) < 60


@pytest.mark.parametrize("kind", FAR)
@pytest.mark.parametrize("scale", [1e-3, 1])
def test_what_lies_far_away_leaves_the_others_their_codes(kind, scale):
    matrix = drawn(kind, 20_000, 128, scale, 0)
    codes, ranked = Codes.of(matrix), np.linalg.norm(matrix, axis=1).argsort()
    for row in ranked[[0, 10_000, -1]]:
        for query in (matrix[row], matrix[row] + matrix[7]):
            found = codes.few(matrix, query, 10)
            assert nearest(matrix, query, 10, np.arange(20_000)) <= set(found.tolist())
            assert len(found) < 100, (row, len(found))


def test_copies_by_the_thousand_are_left_to_the_whole_scan():
    matrix = np.repeat(drawn("unit", 4, 32, 1, 0), 1000, axis=0)
    assert Codes.of(matrix).few(matrix, matrix[0], 10) is None
    assert Codes.of(matrix).few(matrix, matrix[0], 1000) is None
    (found,) = Exact(matrix, lambda _: Codes.of(matrix)).nearest(matrix[:1], 10)
    assert set(range(1000)) <= set(found.tolist())


def test_squares_beyond_float32_are_left_to_the_whole_scan():
    matrix = drawn("unit", 4000, 8, 1e30, 0)
    assert Codes.of(matrix).few(matrix, matrix[0], 3) is None
    wide = drawn("unit", 4000, 8, 1, 0)
    wide[5], wide[6:8] = 3e38, -3e38
    found = set(Codes.of(wide).few(wide, wide[0], 3).tolist())
    assert nearest(wide, wide[0], 3, np.arange(4000)) | {5, 6, 7} <= found
    assert len(found) < 20
    assert Codes.of(wide).few(wide, wide[5], 3) is None
    wide[::9] = 3e38
    assert Codes.of(wide).few(wide, wide[1], 3) is None


VECTORS = drawn("unit", 4000, 16, 1, 5)
QUERIES = drawn("unit", 6, 16, 1, 6)


def answers(index: Index, *options: Options) -> list:
    return [
        [(hit.path, hit.distance) for hit in index.search(query, 5, asked)]
        for query in QUERIES
        for asked in options or (Options(), Options(folder="b"), Options(label=("0", "2")))
    ]


def fill(place, kept: bool = True) -> list:
    paths = [f"{'ab'[i % 2]}/{i:05}.jpg" for i in range(len(VECTORS))]
    with Index.create(place, 16, "model") as index:
        index.add(paths, VECTORS, labels=[str(i % 3) for i in range(len(paths))])
        right = answers(index)
        if kept:
            index.snapshot.warm()
        return right


@pytest.mark.parametrize("kind", KINDS)
def test_many_queries_are_asked_by_eight_bits_as_far_as_these_tell_rows_apart(kind, monkeypatch):
    monkeypatch.setattr(module, "pays", lambda *shape: True)
    matrix, queries = drawn(kind, 4000, 24, 1, 0), drawn(kind, 600, 24, 1, 1)
    queries[0], queries[-1] = matrix[7], matrix[3999]
    leave_out, codes, asked = np.full(600, -1), Codes.of(matrix), 0
    leave_out[[0, -1]] = 7, 3999
    for some, block in codes.blocks(matrix, queries, 3, leave_out=leave_out):
        assert some.start == asked
        for query, found in enumerate(block.all_nearest(), asked):
            allowed = (
                np.delete(np.arange(4000), leave_out[query]) if leave_out[query] >= 0 else np.arange(4000)
            )
            assert nearest(matrix, queries[query], 3, allowed) <= set(found.tolist()) <= set(allowed.tolist())
            asked += 1
    assert asked == (0 if kind in UNTOLD else 512 if kind == "some far away" else 600)


def test_where_it_does_not_pay_many_queries_are_asked_by_float32(monkeypatch):
    matrix = drawn("unit", 4000, 24, 1, 0)
    for there in (True, False):
        monkeypatch.setattr(module, "pays", lambda *shape, there=there: there)
        assert bool(list(Codes.of(matrix).blocks(matrix, matrix[:2], 3))) is there


def test_it_pays_for_many_rows_and_few_neighbours_and_with_the_instructions_alone(monkeypatch):
    class Kernels:
        def get_capabilities(self):
            return {"haswell": True, "icelake": self.there}

    monkeypatch.setattr(module, "kernels", Kernels)
    Kernels.there = True
    asked = (100_000, 512, 100), (100_000, 128, 10), (100_000, 128, 100), (1_000, 512, 10), (9_999, 70_000, 1)
    assert [module.pays(*one) for one in asked] == [True, True, False, False, False]
    Kernels.there = False
    assert not any(module.pays(*one) for one in asked)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(-30, 30), st.integers(0, 10**6))
def test_what_is_taken_apart_is_never_less_than_the_product(rows, queries, scale, seed):
    rng = np.random.default_rng(seed)
    one, other = np.abs(rng.standard_normal(rows)), np.abs(rng.standard_cauchy(queries)) * 10.0**scale
    row, query = Apart(one)(other)
    assert query.min() >= 0
    assert (row[:, None] + query >= np.outer(one, other) - 1e-12 * (np.abs(row[:, None]) + query)).all()


def test_many_neighbours_are_the_same_by_eight_bits(monkeypatch):
    for place in (module, neighbours):
        monkeypatch.setattr(place, "pays", lambda *shape: True)
    matrix = drawn("unit", 3000, 96, 1, 0)
    matrix[1000:1100], matrix[2000] = matrix[0], 1e6  # a hundred copies, and one far away
    rows = np.arange(3000)
    right = NeighbourSearch(matrix.astype(np.float64), matrix, rows)
    ours = NeighbourSearch(matrix, matrix, rows)
    assert right._codes is None
    assert ours._codes is not None
    for k in (1, 5, 200):
        for (_, one), (_, other) in zip(right.blocks(k), ours.blocks(k), strict=True):
            assert np.array_equal(one.indices, other.indices)
            assert np.array_equal(one.squared_distances, other.squared_distances)


@pytest.fixture
def small(monkeypatch):
    """Codes even of small matrices."""
    monkeypatch.setattr(module, "LEAST_BYTES", 0)
    monkeypatch.setattr(module, "_NARROWEST", 0)


def kept(place) -> list:
    return [*(place / "cache").glob("codes-*.npy")]


def test_an_index_keeps_them_and_answers_the_same(tmp_path, small, monkeypatch):
    right = fill(tmp_path, kept=False)
    assert not kept(tmp_path)
    with Index.open(tmp_path) as index:
        index.snapshot.warm()
        assert len(kept(tmp_path)) == 1
        assert answers(index) == right
        monkeypatch.setattr(Exact, "_closeness", None)  # the whole scan
        assert answers(index, Options(), Options(label=("0", "2"))) == [
            hits for i, hits in enumerate(right) if i % 3 != 1
        ]


def test_many_queries_of_an_index_are_answered_by_them_and_the_same(tmp_path, small, monkeypatch):
    monkeypatch.setattr(module, "pays", lambda *shape: True)
    fill(tmp_path, kept=False)
    ways = Options(), Options(folder="b"), Options(label=("0", "2"))
    with Index.open(tmp_path) as index:
        index.remove([hit.path for hit in index.search(QUERIES[0], 3)])
        right = [index.search_batch(QUERIES, 5, way) for way in ways]
        index.snapshot.warm()
        monkeypatch.setattr(Bounds, "blocks", None)  # by float32
        assert [index.search_batch(QUERIES, 5, way) for way in ways] == right


@pytest.mark.parametrize("harm", ["gone", "cut", "changed", "of another matrix"])
def test_a_file_that_is_not_as_it_was_does_no_harm(tmp_path, small, harm):
    right = fill(tmp_path)
    (path,) = kept(tmp_path)
    data = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(data[:-100])
    elif harm == "changed":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.unlink()
        save_arrays(path, Codes.of(VECTORS[:50]).arrays())
        seal(path)
    with Index.open(tmp_path) as index:
        assert answers(index) == right
        index.snapshot.warm()
        assert answers(index) == right
    assert kept(tmp_path) == [path]


def test_what_was_removed_or_changed_since_is_not_found(tmp_path, small):
    fill(tmp_path)
    with Index.open(tmp_path) as index:
        gone = {hits[0][0] for hits in answers(index, Options())}
        index.remove([*gone])
        index.add(["new.jpg"], QUERIES[:1])
        assert [len(part.gone) for part in index.snapshot.parts] == [len(gone), 0]
        there = np.array([f"{'ab'[i % 2]}/{i:05}.jpg" not in gone for i in range(len(VECTORS))])
        for query, found in zip(QUERIES, answers(index, Options()), strict=True):
            far = np.sqrt(squared_distances(np.concatenate([VECTORS[there], QUERIES[:1]]), query))
            assert [distance for _, distance in found] == pytest.approx(np.sort(far)[:5].tolist(), rel=1e-12)
            assert not gone & {path for path, _ in found}


def test_they_are_made_once_so_many_searches_took_as_long(tmp_path, small, monkeypatch):
    monkeypatch.setattr(segment, "_REPAID", 20)
    right = fill(tmp_path, kept=False)[0]
    with Index.open(tmp_path) as index:
        for search in range(1, 22):
            assert [(hit.path, hit.distance) for hit in index.search(QUERIES[0], 5)] == right
            assert len(kept(tmp_path)) == (search >= 20)


def test_a_full_disk_ends_no_search(tmp_path, small, monkeypatch):
    right = fill(tmp_path, kept=False)

    def full(path, arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(segment, "save_arrays", full)
    with Index.open(tmp_path) as index:
        index.snapshot.prepare()
        assert index.snapshot.parts[0].segment.codes() is not None
        assert answers(index) == right
    assert not kept(tmp_path)


def test_who_asks_while_they_are_made_does_not_make_them_too(monkeypatch, small):
    made, begun, go = [], Event(), Event()

    def slowly(matrix, of=Codes.of):
        made.append(len(matrix))
        begun.set()
        assert go.wait(60)
        return of(matrix)

    monkeypatch.setattr(segment.Codes, "of", slowly)
    own = segment.Segment([Image(f"{i:05}", b"", 0, 0) for i in range(len(VECTORS))], VECTORS)
    thread = Thread(target=own.codes, kwargs={"now": True})
    thread.start()
    assert begun.wait(60)
    monkeypatch.setattr(segment, "_REPAID", 0)
    assert own.codes() is None
    go.set()
    thread.join()
    assert own.codes() is not None
    assert made == [len(VECTORS)]


def test_without_the_package_all_is_as_before(tmp_path, small, monkeypatch):
    right = fill(tmp_path)
    monkeypatch.setitem(sys.modules, "numkong", None)
    kernels.cache_clear()
    try:
        with Index.open(tmp_path) as index:
            assert index.snapshot.parts[0].segment.codes(now=True) is None
            assert answers(index) == right
    finally:
        kernels.cache_clear()


def test_small_matrices_have_none(tmp_path):
    fill(tmp_path)
    assert not kept(tmp_path)
