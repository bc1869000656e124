"""One query, and many, beside other libraries' searches, at equal recall.

    python benchmarks/libraries.py [--quick] [--embeddings FILE]

FAISS (flat, clusters, HNSW), hnswlib and usearch (`pip install hnswlib usearch`; left out where they are
missing) over the same vectors, through their own Python interfaces. Graphs have 32 links a node and 64
candidates when they are built, clusters are as many as ours. Each gets the smallest probe that finds 96.5% of
the ten nearest of other vectors. Then all are asked in turns, one query at a time, on one core; the time is
the processor's, of each query the least of some rounds, the mean of all. Ours answers with paths, labels and
distances in float64, the others with numbers of rows. A batch is all queries at once, exactly.

FILE is what `recall.py` made: 20,000 images of Tiny ImageNet, and ten near-copies of each, 200,000 in all.
Without it, vectors that resemble embeddings.
"""

import bisect
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import recall
from outcome import Outcome
from scale import parser
from search import like_embeddings
from threadpoolctl import threadpool_limits

from deep_ranking import Index

K, DIMENSION = 10, 256
QUERIES = {"full": 500, "quick": 100, "tiny": 20}
SIZES = {"full": (20_000, 200_000), "quick": (10_000,), "tiny": (1_000,)}
ROUNDS = {"full": 7, "quick": 3, "tiny": 1}
RECALL, LARGEST = 0.965, 2_000
LINKS, CANDIDATES = 32, 64
FASTEST, BATCH = 0.9, 1.5

Search = Callable[[int, np.ndarray], np.ndarray]
"""Takes a probe and (m, dimension) queries, and returns (m, 10) numbers of rows."""


def by_faiss(made: faiss.Index, name: str, probe: int, queries: np.ndarray) -> np.ndarray:
    """Search one of FAISS's, whose probe has this name."""
    faiss.ParameterSpace().set_index_parameter(made, name, probe)
    return made.search(queries, K)[1]


def libraries(vectors: np.ndarray) -> Iterator[tuple[str, Search]]:
    """Yield the libraries' approximate searches that there are, by name."""
    count, dimension = vectors.shape
    centres = min(int(4 * count**0.5), count // 39)
    for name, recipe, probe in [
        ("FAISS clusters", f"IVF{centres},Flat", "nprobe"),
        ("FAISS HNSW", f"HNSW{LINKS},Flat", "efSearch"),
    ]:
        made = faiss.index_factory(dimension, recipe)
        if probe == "efSearch":
            made.hnsw.efConstruction = CANDIDATES
        made.train(vectors)
        made.add(vectors)
        yield name, partial(by_faiss, made, probe)
    try:
        import hnswlib

        graph = hnswlib.Index("l2", dimension)
        graph.init_index(count, M=LINKS, ef_construction=CANDIDATES)
        graph.add_items(vectors, num_threads=1)

        def by_hnswlib(probe: int, queries: np.ndarray) -> np.ndarray:
            graph.set_ef(probe)
            return graph.knn_query(queries, K, num_threads=1)[0]

        yield "hnswlib", by_hnswlib
    except ImportError:
        print("left out: hnswlib, which is not installed")
    try:
        from usearch.index import Index as Graph

        for kind in ("f32", "bf16"):
            other = Graph(
                ndim=dimension, metric="l2sq", dtype=kind, connectivity=LINKS, expansion_add=CANDIDATES
            )
            other.add(np.arange(count), vectors, threads=1)

            def by_usearch(probe: int, queries: np.ndarray, graph: Graph = other) -> np.ndarray:
                graph.expansion_search = probe
                return graph.search(queries, K, threads=1).keys.reshape(-1, K)

            yield f"usearch {kind}", by_usearch
    except ImportError:
        print("left out: usearch, which is not installed")


def ours(index: Index, kind: str, probe: int, queries: np.ndarray) -> np.ndarray:
    """Search an index whose images are called by their row."""
    found = index.search_batch(queries, K, approximate=kind, probe=probe)
    return np.array([[int(hit.path) for hit in hits] for hits in found])


def smallest_probe(search: Search, queries: np.ndarray, right: np.ndarray) -> tuple[int, float]:
    """Return the smallest probe that finds as much as all are compared at, and what it finds."""

    def found(probe: int) -> float:
        pairs = zip(search(probe, queries).tolist(), right.tolist(), strict=True)
        return float(np.mean([len({*hits} & {*near}) / K for hits, near in pairs]))

    probe = bisect.bisect_left(range(LARGEST), RECALL, lo=K, key=found)
    return probe, found(probe)


def least_microseconds(
    ways: Mapping[str, Callable[[np.ndarray], object]], queries: np.ndarray, rounds: int
) -> dict[str, float]:
    """Return the mean of the queries' least processor time by each way, all in turns."""
    least = {name: np.full(len(queries), np.inf) for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            for number in range(len(queries)):
                begin = time.process_time()
                way(queries[number : number + 1])
                least[name][number] = min(least[name][number], time.process_time() - begin)
    return {name: 1e6 * float(own.mean()) for name, own in least.items()}


def drawn(count: int, queries: int, embeddings: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors, and others of their kind to ask for."""
    if embeddings is None:
        vectors = like_embeddings(count + queries, DIMENSION, np.random.default_rng(0))
        return vectors[:count].copy(), vectors[count:].copy()
    vectors = recall.components(recall.embeddings("", embeddings), 20_000)
    near = recall.galleries(vectors[:20_000], np.random.default_rng(0), count)
    found = vectors[:count] if count <= 20_000 else next(own for name, own, _ in near if "near" in name)
    return found, np.ascontiguousarray(vectors[20_000:][:: 2_000 // queries][:queries])


def measure(vectors: np.ndarray, queries: np.ndarray, rounds: int, outcome: Outcome) -> None:
    """Print a row for each search, and keep the ratios."""
    count, flat = len(vectors), faiss.IndexFlatL2(DIMENSION)
    flat.add(vectors)
    right = flat.search(queries, K)[1]
    with tempfile.TemporaryDirectory() as folder, Index.create(folder, DIMENSION, "benchmark") as index:
        index.add([f"{row:08}" for row in range(count)], vectors)
        index.snapshot.prepare()
        searches = dict(libraries(vectors))
        others = list(searches)
        searches |= {f"ours, {kind}": partial(ours, index, kind) for kind in index.snapshot.kinds}
        probes = {name: smallest_probe(search, queries, right) for name, search in searches.items()}
        ways = {name: partial(searches[name], probes[name][0]) for name in others}
        for kind in index.snapshot.kinds:
            options = {"approximate": kind, "probe": probes[f"ours, {kind}"][0]}
            ways[f"ours, {kind}"] = lambda query, options=options: index.search(query[0], K, **options)
        ways |= {"FAISS flat": lambda query: flat.search(query, K), "ours": lambda q: index.search(q[0], K)}
        found = least_microseconds(ways, queries, rounds)
        for name, microseconds in found.items():
            probe, share = probes.get(name, (0, 1.0))
            print(
                f"{count:>8}  {name:<16}{probe:>6}{share:>8.3f}{microseconds:>10.0f} microseconds", flush=True
            )
        for name, rivals in {
            "ours, hnsw": others,
            "ours, clustered": ["FAISS clusters"],
            "ours": ["FAISS flat"],
        }.items():
            fastest = min(rivals, key=found.__getitem__)
            ratio, goal = found[fastest] / found[name], None if name == "ours, clustered" else FASTEST
            outcome.add(f"{count} x {DIMENSION}, {name}", f"rate over {fastest}", round(ratio, 4), goal)
        batches = {
            "FAISS flat": lambda _: flat.search(queries, K),
            "ours": lambda _: index.search_batch(queries, K),
        }
        times = least_microseconds(batches, queries[:1], rounds)
        for name, microseconds in times.items():
            print(f"{count:>8}  {name}, a batch {microseconds / len(queries):>10.0f} microseconds a query")
        outcome.add(
            f"{count} x {DIMENSION}, ours, a batch",
            "rate over FAISS flat",
            round(times["FAISS flat"] / times["ours"], 4),
            BATCH,
        )


def main() -> None:
    flags = parser(__doc__, "one small size, few queries")
    flags.add_argument("--embeddings", type=Path, help="of real images, as recall.py keeps them")
    args = flags.parse_args()
    faiss.omp_set_num_threads(1)
    outcome = Outcome("libraries")
    with threadpool_limits(1):
        for count in SIZES[args.scale]:
            vectors, queries = drawn(count, QUERIES[args.scale], args.embeddings)
            measure(vectors, queries, ROUNDS[args.scale], outcome)
    outcome.show()


if __name__ == "__main__":
    main()
