"""Of the user's own vectors: recall against latency, and which setting to use; how far apart pairs are."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.approximate import Kind
from deep_ranking.search.copies import Copies
from deep_ranking.search.exact import pair_distances
from deep_ranking.search.options import Options
from deep_ranking.search.promise import NEIGHBOURS, PROMISED
from deep_ranking.search.snapshot import Snapshot

_TIMED = 50

PAIRS = 100_000
BINS = 50


@dataclass(frozen=True)
class Measurement:
    """One setting: mean recall@10 in 0..1, and the median time of one query in milliseconds."""

    approximate: Kind | None
    probe: int | None
    recall: float
    milliseconds: float


def measure(snapshot: Snapshot, seed: int = 0) -> Iterator[Measurement]:
    """Yield a measurement of the exact search, and of each approximate one for growing probes.

    Recall is that of images that are not in the index, as it was measured when the structures were built
    (they are, if they are not there yet); the time is that of a sample of those that are.

    Raises:
        DeepRankingError: fewer than 20 images that differ, of which nothing can be learned.
        MissingExtraError: FAISS is not installed.
    """
    matrix = snapshot.matrix
    if (count := Copies.of(matrix).count) < 20:
        raise DeepRankingError(
            f"expected 20 images or more to measure on, found {count} that are not copies of others"
        )
    sample = np.random.default_rng(seed).choice(len(matrix), min(_TIMED, len(matrix)), replace=False)
    queries = np.ascontiguousarray(matrix[sample])

    def measured(options: Options, recall: float) -> Measurement:
        times = []
        for query in queries:
            start = time.perf_counter()
            snapshot.search(query[None], NEIGHBOURS, options)
            times.append(time.perf_counter() - start)
        return Measurement(options.approximate, options.probe, recall, 1000 * float(np.median(times)))

    yield measured(Options(), 1.0)
    for kind in snapshot.kinds:
        for probe, recall in snapshot.recalls(kind):
            yield measured(Options(approximate=kind, probe=probe), recall)


def recommend(measurements: Sequence[Measurement], recall: float = PROMISED) -> Measurement:
    """Return the fastest measurement with at least this recall.

    Example:
        >>> recommend([Measurement(None, None, 1.0, 9.0), Measurement("clustered", 2, 0.9, 0.1),
        ...            Measurement("clustered", 8, 0.96, 0.3)]).probe
        8
    """
    return min((m for m in measurements if m.recall >= recall), key=lambda m: m.milliseconds)


class PairDistances:
    """Distances of pairs of rows: all pairs where they are no more than `most`, else a sample of so many.

    Args:
        matrix: (n, dimension) float32.
        seed: of the sample.
        most: pairs.

    Example:
        >>> pairs = PairDistances(np.array([[0], [1], [3]], np.float32))
        >>> pairs.distances, pairs.closer_than(2.5)
        (array([1., 2., 3.]), 0.3333333333333333)
    """

    def __init__(self, matrix: np.ndarray, seed: int = 0, most: int = PAIRS):
        count = len(matrix)
        if count * (count - 1) // 2 <= most:
            one, other = np.triu_indices(count, 1)
        else:
            rng = np.random.default_rng(seed)
            one = rng.integers(count, size=most)
            other = (one + rng.integers(1, count, size=most)) % count  # any but itself
        self.distances = np.sort(pair_distances(matrix, one, other))

    def closer_than(self, distance: float) -> float:
        """Return the share of pairs that are farther apart than this, 0..1; 0 if there are no pairs."""
        count = len(self.distances)
        return float((count - np.searchsorted(self.distances, distance, "right")) / count) if count else 0.0

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the edges (n + 1,) from 0 to the largest distance, and the counts (n,)."""
        largest = float(self.distances[-1]) if len(self.distances) else 0.0
        counts, edges = np.histogram(self.distances, BINS, (0, largest or 1.0))
        return edges, counts
