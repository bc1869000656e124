"""What a change, a start and a search cost as an index grows.

    python benchmarks/growth.py [--quick] [--peers]

Vectors of 128 coordinates, as of 10,000, 100,000 and 1,000,000 images in folders of 1,000; nine of ten have
one of nine labels. Each act runs in a process of its own that has opened the index and searched once, unless
it is about that. Processor time of all threads, the least of some runs (the files are in the page cache); and
the memory that the process took at most, mapped files with it. The exponent is that of the growth from the
smallest to the largest. `--peers` sets beside it what sqlite-vec, LanceDB and usearch take for one vector
more and a search that sees it.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking import Index

DIMENSION = 128
SIZES = {"full": (10_000, 100_000, 1_000_000), "quick": (10_000, 50_000), "tiny": (1_000, 2_000)}
ACTS = (
    "open, then search", "open with nothing cached", "search", "add one, then search", "remove one",
    "add one, then a clustered search", "labels of 90%, search", "256 queries",
)  # fmt: skip
RESULTS = Path(__file__).with_name("results") / "growth.json"


def vectors(count: int, seed: int) -> np.ndarray:
    """Return vectors of length 1 that lie in clusters, as embeddings do."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((200, DIMENSION)).astype(np.float32)
    found = centres[rng.integers(0, 200, count)]
    found += 0.7 * rng.standard_normal((count, DIMENSION), np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def make(folder: Path, count: int) -> None:
    """Make an index of so many, as many `index` runs would."""
    with Index.create(folder, DIMENSION, "benchmark") as index:
        for start in range(0, count, 1 << 17):
            rows = range(start, min(count, start + (1 << 17)))
            paths = [f"{row // 1000:04}/{row:07}.jpg" for row in rows]
            labels = ["" if row % 10 == 0 else f"label {row % 10}" for row in rows]
            index.add(paths, vectors(len(rows), 1 + start), labels)
        index.snapshot.warm()


def most_memory() -> float:
    """Return the megabytes that this process took at most; what `getrusage` tells counts its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def act(folder: Path, name: str) -> dict[str, float]:
    """Do one act, and return its processor time, the time by the clock and the memory at most."""
    query = vectors(256, 999_999_999)
    if name == "open with nothing cached":
        for path in (folder / "cache").iterdir():
            path.unlink()
    fresh = name.startswith("open")
    number = str(time.time_ns())

    def add(**options: Any) -> None:
        index.add([f"new/{number}.jpg"], query[:1])
        assert index.search(query[0], 1, **options)[0].path.startswith("new/")

    with Index.open(folder) as index:
        if not fresh:
            index.search(query[1], 10)
        if name == "remove one":
            index.add([f"new/{number}.jpg"], query[:1])
            index.search(query[1], 10)
        if name.endswith("clustered search"):
            index.search(query[1], 10, approximate="clustered")
        if name == "labels of 90%, search":
            index.search(query[1], 10, label=("label 1", "label 2"))
        many = tuple(f"label {label}" for label in range(1, 10))
        work: dict[str, Callable[[], object]] = {
            "open, then search": lambda: index.search(query[0], 10),
            "open with nothing cached": lambda: index.search(query[0], 10),
            "search": lambda: index.search(query[0], 10),
            "add one, then search": add,
            "remove one": lambda: index.remove([f"new/{number}.jpg"]),
            "add one, then a clustered search": lambda: add(approximate="clustered"),
            "labels of 90%, search": lambda: index.search(query[0], 10, label=many),
            "256 queries": lambda: index.search_batch(query, 10),
        }
        begin, processor = time.perf_counter(), time.process_time()
        if fresh:
            with Index.open(folder) as index:
                work[name]()
        else:
            work[name]()
        return {
            "processor": time.process_time() - processor,
            "clock": time.perf_counter() - begin,
            "megabytes": most_memory(),
        }


def least(folder: Path, name: str, runs: int) -> dict[str, float]:
    """Return the least of each figure over some runs, each in a new process."""
    here = [sys.executable, __file__, "--act", name, str(folder)]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    found = [
        json.loads(
            subprocess.run(
                here, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True
            ).stdout
        )
        for _ in range(runs)
    ]
    return {key: min(one[key] for one in found) for key in found[0]}


def peers(count: int, folder: Path) -> dict[str, float]:
    """Return what others take, by processor time, for one vector more and a search that sees it."""
    import sqlite3

    import lancedb
    import sqlite_vec
    from usearch.index import Index as Usearch

    data, new = vectors(count, 1), vectors(1, 2)[0]
    found = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        begin = time.process_time()
        work()
        found[name] = time.process_time() - begin

    database = sqlite3.connect(folder / "vec.sqlite")
    database.enable_load_extension(True)
    sqlite_vec.load(database)
    database.execute(f"CREATE VIRTUAL TABLE v USING vec0(vector float[{DIMENSION}])")
    with database:
        database.executemany("INSERT INTO v VALUES (?)", ((row.tobytes(),) for row in data))

    def sqlite() -> None:
        with database:
            database.execute("INSERT INTO v VALUES (?)", (new.tobytes(),))
        nearest = "SELECT rowid FROM v WHERE vector MATCH ? AND k = 10 ORDER BY distance"
        assert database.execute(nearest, (new.tobytes(),)).fetchone()[0] == count + 1

    timed("sqlite-vec", sqlite)
    table = lancedb.connect(folder / "lance").create_table(
        "v", [{"id": row, "vector": vector} for row, vector in enumerate(data)]
    )

    def lance() -> None:
        table.add([{"id": count, "vector": new}])
        assert table.search(new).limit(10).to_list()[0]["id"] == count

    timed("LanceDB", lance)
    index = Usearch(ndim=DIMENSION, metric="l2sq", dtype="f32")
    index.add(np.arange(count), data)

    def usearch() -> None:
        index.add(count, new)
        index.save(folder / "usearch")
        assert index.search(new, 10)[0].key == count

    timed("usearch, saved", usearch)
    return found


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", dest="scale", action="store_const", const="quick", default="full")
    parser.add_argument("--tiny", dest="scale", action="store_const", const="tiny", help=argparse.SUPPRESS)
    parser.add_argument("--peers", action="store_true", help="sqlite-vec, LanceDB and usearch beside it")
    parser.add_argument("--act", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.act:
        print(json.dumps(act(Path(arguments.act[1]), arguments.act[0])))
        return
    sizes, results = SIZES[arguments.scale], dict[str, Any]()
    for count in sizes:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "index")
            begin = time.process_time()
            make(folder, count)
            figures: dict[str, Any] = {"made": {"processor": time.process_time() - begin}}
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            figures["disk, times the vectors"] = size / (4 * DIMENSION * count)
            for name in ACTS:
                figures[name] = least(folder, name, 1 if "cached" in name else 3)
                print(
                    f"{count:>9,}  {name:34}",
                    *(f"{key} {x:.3f}" for key, x in figures[name].items()),
                    flush=True,
                )
            if arguments.peers:
                figures["peers"] = peers(count, Path(place))
                print(f"{count:>9,}  {figures['peers']}", flush=True)
        results[str(count)] = figures
    first, last = (results[str(count)] for count in (sizes[0], sizes[-1]))
    results["exponent"] = {
        name: math.log(last[name]["processor"] / first[name]["processor"]) / math.log(sizes[-1] / sizes[0])
        for name in ACTS
    }
    if arguments.scale == "full":
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
