"""Of the user's own vectors: recall against latency, and which setting to use; how far apart pairs are."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.approximate import NEIGHBOURS, PROMISED, SAMPLE, Kind, recall_curve
from deep_ranking.search.copies import Copies
from deep_ranking.search.exact import pair_distances
from deep_ranking.search.options import Options
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

    The queries are a sample of the distinct vectors, each left out of its own neighbours with all its copies,
    which any search finds. The structures are built if they are not there yet.

    Raises:
        DeepRankingError: fewer than 20 images that differ, of which nothing can be learned.
        MissingExtraError: FAISS is not installed.
    """
    copies, images = Copies.of(snapshot.matrix), snapshot.images
    if copies.count < 20:
        raise DeepRankingError(
            f"expected 20 images or more to measure on, found {copies.count} that are not copies of others"
        )
    sample = np.random.default_rng(seed).choice(copies.count, min(SAMPLE, copies.count), replace=False)
    groups = [copies.rows(place, len(images)) for place in sample[:, None]]
    contents = [{images[row].hash for row in group} for group in groups]
    queries = np.ascontiguousarray(snapshot.matrix[[group[0] for group in groups]])

    def search(number: int, options: Options) -> np.ndarray:
        hits = snapshot.search(queries[number, None], NEIGHBOURS, options, contents[number])[0]
        return np.array([hit.distance for hit in hits])

    def search_all(options: Options) -> list[np.ndarray]:
        return [search(number, options) for number in range(len(sample))]

    def measured(options: Options, recall: float) -> Measurement:
        times = [_seconds(lambda n=n: search(n, options)) for n in range(min(_TIMED, len(sample)))]  # type: ignore[misc]
        return Measurement(options.approximate, options.probe, recall, 1000 * float(np.median(times)))

    truth = search_all(Options())
    yield measured(Options(), 1.0)
    for kind in snapshot.kinds:

        def found(probe: int, kind: Kind = kind) -> list[np.ndarray]:
            return search_all(Options(approximate=kind, probe=probe))

        for probe, recall in recall_curve(truth, found, snapshot.probes(kind), target=0.995):
            yield measured(Options(approximate=kind, probe=probe), recall)


def recommend(measurements: Sequence[Measurement], recall: float = PROMISED) -> Measurement:
    """Return the fastest measurement with at least this recall.

    Example:
        >>> recommend([Measurement(None, None, 1.0, 9.0), Measurement("clustered", 2, 0.9, 0.1),
        ...            Measurement("clustered", 8, 0.96, 0.3)]).probe
        8
    """
    return min((m for m in measurements if m.recall >= recall), key=lambda m: m.milliseconds)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


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
