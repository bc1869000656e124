"""Speed and memory of neighbours and retrieval metrics, against scikit-learn's exact neighbours.

Embeddings are drawn: 100 images a class around a centre of the class, L2-normalized, float32.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from outcome import print_json
from scale import parser

NEIGHBOURS = 100
MEMORY_GOAL = 2e9  # bytes


def embeddings(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(count) % (count // 100)
    vectors = random.standard_normal((count // 100, width), dtype=np.float32)[labels]
    vectors += 1.5 * random.standard_normal((count, width), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, labels


def speed(count: int, width: int, queries: int) -> tuple[float, float]:
    """Return how many times as fast ours is: neighbours alone, and all metrics against neighbours alone."""
    from sklearn.neighbors import NearestNeighbors

    from deep_ranking import measure_retrieval, nearest_neighbours

    vectors, labels = embeddings(count, width)
    some, own = vectors[:queries].copy(), np.arange(queries)
    theirs = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(vectors)
    reference, ours, metrics = quickest(
        lambda: theirs.kneighbors(some),
        lambda: nearest_neighbours(some, vectors, NEIGHBOURS),
        lambda: measure_retrieval(some, labels[:queries], vectors, labels, leave_out=own),
    )
    return reference / ours, reference / metrics


def quickest(*tasks: Callable[[], object], times: int = 3) -> list[float]:
    """Return the least seconds of each task, run in turn: those least disturbed by other programs."""
    least = [float("inf")] * len(tasks)
    for _ in range(times):
        for number, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            least[number] = min(least[number], time.perf_counter() - start)
    return least


def whole(count: int, width: int) -> None:
    """Print the seconds and the peak bytes of all metrics with every image as query."""
    import resource

    from deep_ranking import measure_retrieval

    vectors, labels = embeddings(count, width)
    start = time.perf_counter()
    measure_retrieval(vectors, labels, vectors, labels, leave_out=np.arange(count))
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    flags = parser(__doc__, "a fifth of the gallery")
    flags.add_argument("--whole", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = flags.parse_args()
    if arguments.whole:
        whole(*arguments.whole)
        return
    count, queries = {"full": (100_000, 5_000), "quick": (20_000, 1_000), "tiny": (1_000, 100)}[
        arguments.scale
    ]
    results = []

    def report(case: str, metric: str, value: float, goal: float, ok: bool) -> None:
        print(f"{case:32} {metric:52} {value:8.2f} {goal:8.2f}  {'ok' if ok else 'short'}", flush=True)
        results.append({"case": case, "metric": metric, "value": round(value, 3), "goal": goal, "ok": ok})

    print(f"{'case':32} {'metric':52} {'value':>8} {'goal':>8}")
    for width in (128, 512):
        neighbours, metrics = speed(count, width, queries)
        case = f"{queries} queries, {count} x {width}"
        report(case, "neighbours, times scikit-learn's speed", neighbours, 3, neighbours >= 3)
        report(case, "all metrics, times scikit-learn's neighbours alone", metrics, 3, metrics >= 3)
    command = [sys.executable, __file__, "--whole", str(count), "512"]
    seconds, peak = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
    share = peak / MEMORY_GOAL
    report(
        f"{count} queries, {count} x 512", "all metrics, peak memory as a share of 2 GB", share, 1, share < 1
    )
    print(f"all metrics of {count} queries took {seconds:.0f} s, peak memory {peak / 1e6:.0f} MB")
    print_json("metrics", results)


if __name__ == "__main__":
    main()
