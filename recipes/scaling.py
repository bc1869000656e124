"""What 100 million and 10 billion images take: bytes, hours, machines; a simulation where nobody can measure.

    python recipes/scaling.py [--images 1e8 1e10] [--workers 64 512] [--embed_rate R] ...

Takes the rates that `python benchmarks/scaling.py` measures (the defaults are those of docs/scaling.md) and
plays two things through: workers that embed shards, fail, start again and hand what is finished to one that
merges; and queries that wait for the slowest of many search shards. Needs seconds, and nothing but NumPy.
"""

import argparse
import heapq
import json
from dataclasses import dataclass

import numpy as np

HOUR = 3600.0


@dataclass(frozen=True)
class Crew:
    """Workers that embed shards.

    Args:
        workers: how many.
        rate: images a second of each.
        hours_between_failures: of one worker, on average; its shard begins anew.
        restart: seconds until a failed worker is back, the network loaded.
        spread: standard deviation of log(time of a shard); slow disks and noisy neighbours.
        merge_rate: images a second that the driver puts into one index; infinite where nobody merges.
    """

    workers: int
    rate: float
    hours_between_failures: float = 24.0
    restart: float = 120.0
    spread: float = 0.2
    merge_rate: float = np.inf


@dataclass(frozen=True)
class Run:
    """How an embedding run went.

    Args:
        hours: from start to the last shard merged.
        repeated: share of the embedding work that was lost with workers.
        idle: share of the workers' time in which there was nothing left to take.
        waiting: share of the hours after the last shard was embedded, for the merge alone.
    """

    hours: float
    repeated: float
    idle: float
    waiting: float


def embed(images: float, shard: int, crew: Crew, seed: int = 0) -> Run:
    """Play an embedding run through, event by event.

    Args:
        images: how many.
        shard: images a shard.
        crew: who does it.
        seed: any integer.
    """
    rng = np.random.default_rng(seed)
    count = max(1, round(images / shard))
    usual = shard / crew.rate
    free = [(0.0, worker) for worker in range(crew.workers)]
    until_failure = rng.exponential(crew.hours_between_failures * HOUR, crew.workers)
    lost = merged = last = 0.0
    finished = []
    for _ in range(count):
        now, worker = heapq.heappop(free)
        need = usual * rng.lognormal(-(crew.spread**2) / 2, crew.spread)
        while need > until_failure[worker]:
            now += until_failure[worker] + crew.restart
            lost += until_failure[worker]
            until_failure[worker] = rng.exponential(crew.hours_between_failures * HOUR)
        until_failure[worker] -= need
        now += need
        finished.append(now)
        heapq.heappush(free, (now, worker))
    for done in sorted(finished):
        merged = max(merged, done) + shard / crew.merge_rate
    last = max(finished)
    work = count * usual
    return Run(
        merged / HOUR,
        lost / (work + lost),
        sum(last - t for t, _ in free) / (last * crew.workers),
        1 - last / merged,
    )


def fan_out(
    shards: int, milliseconds: float, spread: float, copies: int = 1, seed: int = 0
) -> tuple[float, float]:
    """Return the median and the 99th percentile of a query's time, in milliseconds.

    A query waits for the slowest of `shards`; with two copies of each it takes the faster one.

    Args:
        shards: asked at once.
        milliseconds: median of one.
        spread: standard deviation of log(time).
        copies: of each shard that are asked.
        seed: any integer.
    """
    # The slowest of n is drawn at once: the largest of n uniforms is U^(1/n).
    rng = np.random.default_rng(seed)
    largest = rng.random(100_000) ** (1 / shards)
    each = 1 - (1 - largest) ** (1 / copies)  # the faster of the copies is that slow
    times = milliseconds * np.exp(spread * _normal_quantile(each))
    return float(np.median(times)), float(np.quantile(times, 0.99))


def _normal_quantile(share: np.ndarray) -> np.ndarray:
    from statistics import NormalDist

    grid = np.concatenate(
        [np.logspace(-9, -1, 400), np.linspace(0.1, 0.9, 400), 1 - np.logspace(-1, -9, 400)]
    )
    return np.interp(share, grid, [NormalDist().inv_cdf(x) for x in grid])


def bytes_of(images: float, dimension: int) -> dict[str, float]:
    """Return what is kept of images, in bytes."""
    return {
        "vectors, float32": images * dimension * 4,
        "vectors, float16": images * dimension * 2,
        "codes of product quantization, 64 bytes": images * 64,
        "paths, hashes, labels": images * 150,
    }


def main() -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--images", type=float, nargs="+", default=[1e8, 1e10])
    add("--workers", type=int, nargs="+", default=[64, 512])
    add("--embed_rate", type=float, default=EMBED_RATE, help="images a second of one worker")
    add("--merge_rate", type=float, default=MERGE_RATE, help="images a second into one index")
    add("--scan_rate", type=float, default=SCAN_RATE, help="bytes a second that exact search goes through")
    add("--bytes_per_image", type=float, default=120e3, help="of the encoded image")
    add("--dimension", type=int, default=128)
    add("--machine_memory", type=float, default=256e9)
    args = parser.parse_args()
    results = []
    for images, workers in zip(args.images, args.workers, strict=True):
        shard = 1024 if images <= 1e9 else 10_240
        print(
            f"\n{images:,.0f} images of {args.dimension} coordinates, "
            f"{workers} workers at {args.embed_rate:g}/s"
        )
        print(f"  {'images read':<42}{images * args.bytes_per_image / 1e12:>10.2f} TB")
        for name, size in bytes_of(images, args.dimension).items():
            print(f"  {name:<42}{size / 1e12:>10.2f} TB")
        for name, merge_rate in (("shards alone", np.inf), ("and merged into one index", args.merge_rate)):
            run = embed(images, shard, Crew(workers, args.embed_rate, merge_rate=merge_rate))
            print(
                f"  embedding, {name:<31}{run.hours:>10.1f} h   {run.repeated:.3%} repeated, "
                f"{run.idle:.2%} idle at the end, {run.waiting:.0%} waiting for the merge"
            )
            results.append({"case": f"{images:g} images, {name}", "metric": "hours", "value": run.hours})
        machines = max(1, int(np.ceil(images * 4 * args.dimension / (0.7 * args.machine_memory))))
        for kind, times in (("exact", 1), ("clustered", CLUSTERED)):
            alone = images * 4 * args.dimension / machines / args.scan_rate / times * 1000
            for copies in (1, 2):
                median, tail = fan_out(machines, alone, spread=0.3, copies=copies)
                name = f"{kind} search, {machines} machines{' twice' if copies == 2 else ''}"
                print(f"  {name:<42}{alone:>10,.0f} ms each, median {median:,.0f}, 99% {tail:,.0f}")
    print(json.dumps({"recipe": "scaling", "results": results}))


# Measured by benchmarks/scaling.py, on 2 cores; see docs/scaling.md.
EMBED_RATE = 260.0  # four cores that decode and run MobileNetV2 at 224 pixels by OpenVINO
MERGE_RATE = 35_000.0
SCAN_RATE = 15e9
CLUSTERED = 16  # times as fast as exact search, at 128 coordinates (docs/search.md)


if __name__ == "__main__":
    main()
