"""Recall against latency on the user's own vectors, and which setting to use."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.approximate import KINDS, SAMPLE, Kind, recall_curve
from deep_ranking.search.snapshot import Snapshot

WANTED_RECALL = 0.95


@dataclass(frozen=True)
class Measurement:
    """One setting: mean recall@10 in 0..1, and the median time of one query in milliseconds."""

    approximate: Kind | None
    probe: int | None
    recall: float
    milliseconds: float


def measure(snapshot: Snapshot, seed: int = 0) -> Iterator[Measurement]:
    """Yield a measurement of the exact search, and of each approximate one for growing probes.

    The queries are a sample of the indexed vectors, each left out of its own neighbours. The structures are
    built if they are not there yet.

    Raises:
        DeepRankingError: fewer than 20 images, of which nothing can be learned.
        MissingExtraError: FAISS is not installed.
    """
    total = len(snapshot.images)
    if total < 20:
        raise DeepRankingError(f"expected 20 images or more to measure on, found {total}")
    sample = np.random.default_rng(seed).choice(total, min(SAMPLE, total), replace=False)
    queries = [np.ascontiguousarray(snapshot.matrix[row : row + 1]) for row in sample[:50]]
    exact = snapshot.exact
    yield Measurement(None, None, 1.0, _median_milliseconds(lambda query: exact.nearest(query, 10), queries))
    for kind in KINDS:
        structure = snapshot.approximate(kind)
        for probe, recall in recall_curve(structure, exact, target=0.995, seed=seed):
            time_of_one = _median_milliseconds(
                lambda query, s=structure, p=probe: s.nearest(query, 10, probe=p),
                queries,  # type: ignore[misc]
            )
            yield Measurement(kind, probe, recall, time_of_one)


def recommend(measurements: Sequence[Measurement], recall: float = WANTED_RECALL) -> Measurement:
    """Return the fastest measurement with at least this recall.

    Example:
        >>> recommend([Measurement(None, None, 1.0, 9.0), Measurement("clustered", 2, 0.9, 0.1),
        ...            Measurement("clustered", 8, 0.96, 0.3)]).probe
        8
    """
    return min((m for m in measurements if m.recall >= recall), key=lambda m: m.milliseconds)


def _median_milliseconds(search, queries: Sequence[np.ndarray]) -> float:  # type: ignore[no-untyped-def]
    times = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))
