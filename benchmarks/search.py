"""Search rates, each beside what bounds it, measured in the same run.

    python benchmarks/search.py [--quick]

- exact, one query: how much of the matrix-vector bandwidth a whole search reaches (the bare product, in
  memory, of the same shape; the search has to read a mapped file, select, and name what it found);
- exact, a batch: its rate over that of FAISS's flat index;
- exact, one query: the rate by rows of eight bits over that of the whole scan, in processor time, the answers
  compared; of a million, where the index would take longer to fill than to measure, without its files;
- clustered: recall@10, and its rate over that of the exact search, one query at a time;
- the exact search beside scikit-learn's NearestNeighbors (brute, kd-tree), one query at a time.

The vectors resemble embeddings: unit length, in classes, and within a class of few directions (32), where
independent Gaussian coordinates, which no index can cluster, have as many as there are. These are measured
too, at the first size, without a goal. Queries are other vectors of the same kind. Times are the best of
several, taken in turns, so that a busy machine slows both sides of a ratio; of the clustered search, of
twenty queries in a row, since each exact one sweeps the processor's caches.
"""

import tempfile
import time
from collections.abc import Callable
from importlib import import_module

import faiss
import numpy as np
from outcome import print_json
from scale import scale
from sklearn.neighbors import NearestNeighbors

from deep_ranking import Index, Options

SIZES = [(100_000, 128), (100_000, 512), (20_000, 4_096)]
SCANNED = {"full": [(100_000, 512), (1_000_000, 512)], "quick": [(100_000, 128)], "tiny": [(5_000, 32)]}
QUICK_SIZES = [(20_000, 128), (5_000, 512)]
TINY_SIZES = [(2_000, 32)]
QUERIES, K = 256, 10
CLASSES, DIRECTIONS, SPREAD = 200, 32, 0.7
GOALS = {
    "bandwidth share": 0.7,
    "batch over FAISS flat": 0.9,
    "eight bits over whole scan": 3,
    "clustered recall@10": 0.95,
    "clustered over exact": 10,
}


def like_embeddings(count: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """Draw (count, dimension) float32 of unit length: a class's centre, and noise along a few directions."""
    centres = rng.standard_normal((CLASSES, dimension), np.float32) / dimension**0.5
    directions = rng.standard_normal((DIRECTIONS, dimension), np.float32) / dimension**0.5
    noise = rng.standard_normal((count, DIRECTIONS), np.float32) / DIRECTIONS**0.5
    return unit(centres[rng.integers(CLASSES, size=count)] + SPREAD * noise @ directions)


def unstructured(count: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    return unit(rng.standard_normal((count, dimension), np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def best_seconds(*calls: Callable[[int], object], turns: int) -> list[float]:
    """Return the best time of each call, taken in turns after one that is not counted."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(turns + 1):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call(turn)
            own.append(time.perf_counter() - start)
    return [min(own[1:]) for own in times]


def measure(kind: Callable, count: int, dimension: int, quick: bool) -> dict[str, float]:
    vectors = kind(count + QUERIES, dimension, np.random.default_rng(0))
    vectors, queries = vectors[:-QUERIES].copy(), vectors[-QUERIES:].copy()
    found = {}
    with tempfile.TemporaryDirectory() as folder, Index.create(folder, dimension, "benchmark") as index:
        index.add([f"{i:08}.jpg" for i in range(count)], vectors)
        vectors = vectors[: len(index)]  # makes the cache too
        out = np.empty(count, np.float32)
        turns = 50 if quick else 200
        product, exact = best_seconds(
            lambda i: np.dot(vectors, queries[i], out=out), lambda i: index.search(queries[i], K), turns=turns
        )
        found |= {
            "GB/s": vectors.nbytes / product / 1e9,
            "exact ms": exact * 1e3,
            "bandwidth share": product / exact,
        }
        if kind is like_embeddings:
            flat = faiss.IndexFlatL2(dimension)
            flat.add(vectors)
            theirs, ours = best_seconds(
                lambda i: flat.search(queries, K),
                lambda i: index.search_batch(queries, K),
                turns=3 if quick else 7,
            )
            found |= {"batch queries/s": QUERIES / ours, "batch over FAISS flat": theirs / ours}
            del flat
            for algorithm in ("brute", "kd_tree"):
                neighbours = NearestNeighbors(n_neighbors=K, algorithm=algorithm).fit(vectors)
                (own,) = best_seconds(lambda i: neighbours.kneighbors(queries[i : i + 1]), turns=5)  # noqa: B023
                found[f"exact over scikit-learn {algorithm}"] = own / exact
        clustered = Options(approximate="clustered")
        truth = index.search_batch(queries, K)
        start = time.perf_counter()
        index.search(queries[0], K, clustered)
        found["clustering s"] = time.perf_counter() - start
        answers = [index.search(query, K, clustered) for query in queries]
        found["clustered recall@10"] = float(
            np.mean(
                [
                    len({h.path for h in a} & {h.path for h in t}) / K
                    for a, t in zip(answers, truth, strict=True)
                ]
            )
        )
        found["probe"] = index.snapshot.approximate("clustered").probe
        exact, near = best_seconds(
            lambda i: index.search(queries[i], K),
            lambda i: [index.search(query, K, clustered) for query in queries[:20]],
            turns=turns,
        )
        found |= {"clustered ms": near / 20 * 1e3, "clustered over exact": exact / (near / 20)}
    return found


def by_eight_bits(count: int, dimension: int) -> dict[str, float]:
    """Compare the least processor time of both scans, in turns of five: either sweeps the other's caches."""
    rng, vectors = np.random.default_rng(0), np.empty((count, dimension), np.float32)
    drawn = like_embeddings(min(count, 100_000) + QUERIES, dimension, rng)
    queries = drawn[-QUERIES:].copy()
    for start in range(0, count, 100_000):  # of a million, nine tenths lie around the first hundred thousand
        some = vectors[start : start + 100_000]
        some[:] = drawn[: len(some)]
        if start:
            some[:] = unit(some + 0.02 * rng.standard_normal(some.shape, np.float32))
    # The scans alone, which have no public name: an index of a million takes longer to fill than to measure.
    exact, by_codes = (import_module(f"deep_ranking.search.{name}") for name in ("exact", "codes"))
    begin = time.process_time()
    codes = by_codes.Codes.of(vectors)
    made = time.process_time() - begin
    ways = {"whole": exact.Exact(vectors), "codes": exact.Exact(vectors, codes.few)}
    ways["whole"].bounds  # noqa: B018 - read once, as in an index
    least, after, answers = dict.fromkeys(ways, float("inf")), float("inf"), {name: [] for name in ways}
    for turn in range(0, 40, 5):
        for name, way in ways.items():
            for i, query in enumerate(queries[turn : turn + 5]):
                begin = time.process_time()
                (rows,) = way.nearest(query[None], K)
                far = exact.distances(vectors, rows, query)
                order = np.lexsort((rows, far))[:K]
                seconds = time.process_time() - begin
                least[name] = min(least[name], seconds)
                after = min(after, seconds) if name == "codes" and not i else after
                answers[name].append((rows[order].tolist(), far[order].tolist()))
    assert answers["whole"] == answers["codes"]
    return {
        "whole scan ms": least["whole"] * 1e3,
        "eight bits ms": least["codes"] * 1e3,
        "codes made s": made,
        "rows left": float(np.median([np.size(codes.few(vectors, query, K)) for query in queries[:9]])),
        "right after a whole scan, over it": least["whole"] / after,
        "eight bits over whole scan": least["whole"] / least["codes"],
    }


def main() -> None:
    part = scale(__doc__, "smaller sizes; goals are not held")
    quick = part != "full"
    results = []
    sizes = {"full": SIZES, "quick": QUICK_SIZES, "tiny": TINY_SIZES}[part]
    shapes = [(like_embeddings, *shape) for shape in sizes] + [(unstructured, *sizes[0])]
    for kind, *shape in [*shapes, *((by_eight_bits, *shape) for shape in SCANNED[part])]:
        case = f"{shape[0]} x {shape[1]} {kind.__name__.replace('_', ' ')}"
        print(case, flush=True)
        found = by_eight_bits(*shape) if kind is by_eight_bits else measure(kind, *shape, quick)
        for metric, value in found.items():
            goal = None if kind is unstructured or quick else GOALS.get(metric)
            ok = goal is None or value >= goal
            print(
                f"  {metric:<32}{value:>10.3f}"
                + ("" if goal is None else f"  goal {goal:<5} {'ok' if ok else 'MISSED'}"),
                flush=True,
            )
            if metric in GOALS or "over" in metric:
                results.append(
                    {"case": case, "metric": metric, "value": round(value, 4), "goal": goal, "ok": ok}
                )
    print_json("search", results)


if __name__ == "__main__":
    main()
