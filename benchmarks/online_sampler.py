"""How fast images stream into the reservoirs and triplets come out, on one core, and in how much memory.

    python benchmarks/online_sampler.py [--quick]

One million images in 1,000 categories, 100 kept of each, with 16 features an image; `--quick` takes a fifth
of it. Seconds are of processor time on one core, so that other work on the machine does not count; the time
to make the images up is left out. Triplets by features are drawn with the default settings: 80 % have an
in-class negative.
"""

import functools
import os
import resource
import sys
import time

import numpy as np
from outcome import Outcome
from scale import scale

from deep_ranking import FeatureRelevance, ImportanceSettings, OnlineSampler

CAPACITY, DIMENSION, PIECE = 100, 16, 10_000
GOAL_IMAGES, GOAL_TRIPLETS, GOAL_MEGABYTES = 200_000, 200_000, 500


def main() -> None:
    images, categories, draws = {
        "full": (1_000_000, 1000, 400_000),
        "quick": (200_000, 200, 100_000),
        "tiny": (20_000, 20, 1_000),
    }[scale(__doc__, "200,000 images in 200 categories")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

    labels = OnlineSampler(CAPACITY, settings=ImportanceSettings(out_of_class_ratio=1))
    features = OnlineSampler(CAPACITY, functools.partial(FeatureRelevance, scale=10.0))
    rows = [
        ("stream, labels", "images/s", stream(labels, images, categories, carry=False), GOAL_IMAGES),
        ("stream, features", "images/s", stream(features, images, categories, carry=True), GOAL_IMAGES),
        ("draw, labels", "triplets/s", draw(labels, draws), GOAL_TRIPLETS),
        ("draw, features", "triplets/s", draw(features, draws), GOAL_TRIPLETS),
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)

    print(f"{images:,} images, {categories:,} categories, {CAPACITY} kept of each, one core")
    outcome = Outcome("online_sampler")
    for case, unit, rate, goal in rows:
        print(f"{case:<18}{rate:>12,.0f} {unit}")
        outcome.add(case, f"{unit} / {goal:,}", round(rate / goal, 3), 1.0)
    print(f"{'whole process':<18}{peak:>12,.0f} MB at most\n")
    outcome.add("whole process", f"{GOAL_MEGABYTES} MB / its memory", round(GOAL_MEGABYTES / peak, 3), 1.0)
    outcome.show()


def stream(sampler: OnlineSampler, images: int, categories: int, carry: bool) -> float:
    """Return images taken in a second; features vary in 4 directions, relevance over its whole range."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4, DIMENSION)).astype(np.float32)
    seconds = 0.0
    for start in range(0, images, PIECE):
        ids, category = np.arange(start, start + PIECE), rng.integers(0, categories, PIECE)
        vectors = rng.normal(size=(PIECE, 4)).astype(np.float32) @ directions
        mean = rng.random(PIECE)
        begin = time.process_time()
        if carry:
            sampler.add(ids, category, mean, {"vectors": vectors})
        else:
            sampler.add(ids, category)
        seconds += time.process_time() - begin
    begin = time.process_time()
    sampler.draw(1)  # the last pieces are sorted in
    return images / (seconds + time.process_time() - begin)


def draw(sampler: OnlineSampler, count: int) -> float:
    """Return triplets drawn in a second, the median of three runs."""
    rates = []
    for _ in range(3):
        begin = time.process_time()
        sampler.draw(count)
        rates.append(count / (time.process_time() - begin))
    return sorted(rates)[1]


if __name__ == "__main__":
    main()
