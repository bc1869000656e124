"""Learning the map that an index is searched under: from ratings, in seconds, no image opened."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics.interval import Estimate, bootstrap
from deep_ranking.evaluation.metrics.triplets import (
    positive_ranks,
    similarity_precision,
    triplet_distances,
)
from deep_ranking.files import composed
from deep_ranking.learning.folds import folds, independent_groups
from deep_ranking.learning.metric import Comparisons, MahalanobisMetric
from deep_ranking.learning.settings import LessonSettings
from deep_ranking.search.learned import KEY, Stretch

if TYPE_CHECKING:
    from deep_ranking.ratings.export import Judgements
    from deep_ranking.search.index import Index
    from deep_ranking.search.snapshot import Snapshot

DECAYS = (20.0, 2.0, 0.2, 0.02)
"""How strongly the map is pulled back to the start, over the number of triplets: as a prior is, it counts for
less the more there are. Cross-validation chooses; the start, which nothing is learned in, is a choice too."""

_WEAKEST = 1e-6  # decay: a million judgements hold a map by themselves, and less would only take longer

FEWEST = 10
"""Judgements that anything is learned from; `FIRST_MODEL` are said to be worth it."""

FIRST_MODEL = 50

_PLACED, _AMONG = 2_000, 5_000  # triplets, and images beside theirs, that ranks in a search are measured by

_SMALLEST = 0.05  # of a direction's factor: what is pressed flat could not be told apart any more

_DRAWN_BACK = 0.3
"""Every direction's change is drawn back by this share of the greatest one: most of what lies below is noise,
which costs the nearest neighbours more than it teaches."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What was learned from ratings.

    Args:
        map: that the index is searched under; None where nothing that was tried is better than the start:
            ranks triplets better that were held out, whose positives do not fall in a search for it.
        before, after: similarity precision on triplets held out, under the start and under what was learned.
        gain: the difference, with its 95% interval; cross-validated, the strength too.
        triplets: learned from.
        groups: of triplets that are held out together.
        left_out: triplets that name an image that the index does not have.
    """

    map: Stretch | None
    before: Estimate
    after: Estimate
    gain: Estimate
    triplets: int
    groups: int
    left_out: int = 0

    @property
    def told(self) -> dict[str, float]:
        """The figures by name, as the index keeps them."""
        return {"triplets": self.triplets, "before": self.before.value, "after": self.after.value} | {
            f"gain{'' if name == 'value' else '_' + name}": x for name, x in self.gain._asdict().items()
        }


def teach(index: "Index", judgements: "Judgements", settings: LessonSettings | None = None) -> Lesson:
    """Learn from judgements, and let the index be searched under what was learned; no image is opened.

    What is learned is a small map on top of the vectors that the index keeps, which stay as they are: images
    that come later and queries go through it too, learning again starts from those vectors, and `forget`
    takes it back. If no map ranks triplets better that it was not learned from, the index is searched as it
    was made.

    Args:
        index: of a store whose vectors can be read here, such as a folder.
        judgements: as of `read_judgements`; their names are the index's paths.
        settings: the defaults of `LessonSettings` where none are given.

    Raises:
        DeepRankingError: fewer than ten judgements of the index's images, or all of one query; a store that
            is searched elsewhere, or that may only be read.
    """
    from deep_ranking.ratings.export import Judgements

    expect("judgements", isinstance(judgements, Judgements), "what `read_judgements` gives", judgements)
    snapshot = index.snapshot
    _check_here(snapshot, index.store.name)
    rows = _rows(snapshot, judgements.triplets)
    there = np.all(rows >= 0, axis=1)
    rows, weights = rows[there], judgements.weights[there]
    lost = len(there) - len(rows)
    if len(rows) < FEWEST:
        more = f", and {lost} that name images it does not have" if lost else ""
        raise DeepRankingError(
            f"{index.store.name}: expected {FEWEST} judgements or more to learn from, found {len(rows)}"
            f"{more}; rate some with: deep-ranking serve"
        )
    images = snapshot.images
    folder = np.array([image.path.rpartition("/")[0] for image in images])
    content = np.array([image.hash.hex() for image in images])
    lesson = learn_map(snapshot.contents.whole().matrix, rows, weights, settings, (folder, content))
    index.write(metadata={KEY: lesson.map.to_text() if lesson.map else ""})
    index.snapshot.warm()
    return replace(lesson, left_out=lost)


def forget(index: "Index") -> bool:
    """Let an index be searched as it was before it learned; tells whether it had learned anything."""
    learned = bool(index.metadata.get(KEY))
    if learned:
        index.write(metadata={KEY: ""})
    return learned


def learn_map(
    vectors: NDArray[np.float32],
    triplets: NDArray[np.integer],
    weights: NDArray[Any] | None = None,
    settings: LessonSettings | None = None,
    labels: Sequence[NDArray[Any]] = (),
) -> Lesson:
    """Learn a map of vectors from triplets; time is linear in them, and memory hardly grows with them.

    Args:
        vectors: (images, d) float32.
        triplets: (t, 3) rows of query, positive and negative.
        weights: (t,) of each triplet; each the same where not given.
        settings: the defaults where none are given.
        labels: each (images,): what an image shares with others, such as the text query that found it, and
            what is to be on one side of a fold; those that leave too few groups are not looked at.

    Raises:
        DeepRankingError: fewer groups of triplets than folds, or vectors that are all the same.
    """
    settings = settings or LessonSettings()
    weights = np.ones(len(triplets)) if weights is None else np.asarray(weights, np.float64)
    groups = _groups(triplets, labels, settings.folds)
    decays = [*dict.fromkeys(max(decay / len(triplets), _WEAKEST) for decay in DECAYS)]
    with _one_thread():
        compared = Comparisons(vectors, triplets, settings.directions)
        before = similarity_precision(triplet_distances(vectors, triplets)).astype(np.float64)
        right, fallen = np.zeros((2, len(decays), len(triplets)))
        placed = np.arange(len(triplets)) % (1 + len(triplets) // _PLACED) == 0
        sample = np.sort(np.random.default_rng(settings.seed).permutation(len(vectors))[:_AMONG])
        parts = folds(groups, settings.folds)
        for training, held_out in parts:
            own = np.zeros(len(triplets))
            own[training] = weights[training]
            images = np.union1d(triplets[held_out], sample)
            some, rows = vectors[images], np.searchsorted(images, triplets[held_out])
            where = placed[held_out]
            start = positive_ranks(some, rows[where])
            for number, found in enumerate(_maps(compared, own, decays)):
                moved = found(some)
                right[number, held_out] = similarity_precision(triplet_distances(moved, rows))
                fallen[number, held_out[where]] = np.log(positive_ranks(moved, rows[where]) / start)
        after = before.copy()
        for others, held_out in parts:  # the best of several on its own triplets would flatter
            chosen = _best(right[:, others], fallen[:, others])
            after[held_out] = before[held_out] if chosen is None else right[chosen, held_out]
        scores = {"before": before, "after": after, "gain": after - before}
        measured = bootstrap(scores, groups, seed=settings.seed)
        about = {"triplets": len(triplets), "groups": int(groups.max()) + 1}
        lesson = Lesson(None, measured["before"], measured["after"], measured["gain"], **about)
        gain = lesson.gain
        # By less than its standard error it may as well be worse.
        best = _best(right, fallen)
        if best is None or gain.value <= 0 or gain.value < (gain.high - gain.low) / (2 * 1.96):
            return replace(lesson, after=lesson.before, gain=Estimate(0.0, 0.0, 0.0))
        *_, last = _maps(compared, weights, decays[: best + 1])
    return replace(lesson, map=replace(last, told=lesson.told))


def _best(right: NDArray[np.float64], fallen: NDArray[np.float64]) -> int | None:
    """Return which strength ranks most triplets right, of those under which positives do not fall; or None.

    Pairs far apart, as answers often are about, can be ranked better at the cost of the nearest neighbours.
    """
    scores = np.where(fallen.sum(axis=1) <= 0, right.mean(axis=1), -1.0)
    return int(scores.argmax()) if scores.max() >= 0 else None


def _one_thread() -> AbstractContextManager[Any]:
    """Let products run in one thread: they are too small for more, which would wait for one another.

    Not in a thread of a server's, which is limited as a whole: libraries are looked through under a lock of
    the loader, for which another thread that imports something would wait for ever.
    """
    in_main = threading.current_thread() is threading.main_thread()
    return threadpool_limits(1, "blas") if in_main else nullcontext()


def _maps(compared: Comparisons, weights: NDArray[np.float64], decays: Sequence[float]) -> Iterator[Stretch]:
    """Yield the map that is learned with each decay, from the strongest to the weakest."""
    change = None
    for decay in decays:
        metric = MahalanobisMetric(decay=decay)
        change = metric.change(compared, weights, change)
        yield _stretch(compared, change / metric.confidence)


def _stretch(compared: Comparisons, change: NDArray[np.float64]) -> Stretch:
    """Return the map of the metric I + change, less its noise, on the few directions that are left.

    Source: soft thresholding of the spectrum, the step by which a nuclear norm is minimized (Cai, Candès and
    Shen 2010).
    """
    values, turned = np.linalg.eigh(change)
    kept = np.maximum(np.abs(values) - _DRAWN_BACK * np.abs(values).max(), 0)
    few = kept > 0
    factors = np.sqrt(np.maximum(1 + (np.sign(values) * kept)[few], _SMALLEST**2))
    return Stretch((compared.axes @ turned[:, few]).astype(np.float32), factors.astype(np.float32))


def _groups(triplets: NDArray[np.integer], labels: Sequence[NDArray[Any]], count: int) -> NDArray[np.intp]:
    """Return what is held out together: all that has anything in common, or else what is asked of one query.

    The more is kept apart, the less a figure flatters; but answers about few images all hang together.
    """
    for some in (labels, labels[1:], ()):
        groups = independent_groups(triplets, *some)
        sizes = np.bincount(groups)
        if len(sizes) >= 2 * count and 2 * sizes.max() <= len(triplets):
            return groups
    _, groups = np.unique(triplets[:, 0], return_inverse=True)
    queries = int(groups.max()) + 1
    expect("queries that were judged", queries >= count, f"{count} or more", queries)
    return np.asarray(groups)


def _rows(snapshot: "Snapshot", names: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the rows of images by their paths, which may be in another form of Unicode; -1: none."""
    rows = {image.path: row for row, image in enumerate(snapshot.images)}
    unique, places = np.unique(names.astype(object), return_inverse=True)
    found = np.array([rows.get(name, -1) for name in unique], np.int64)
    if (found < 0).any():
        alike = {composed(path): row for path, row in rows.items()}
        found = np.array(
            [r if r >= 0 else alike.get(composed(n), -1) for n, r in zip(unique, found, strict=True)]
        )
    return found[places].reshape(-1, 3) if len(names) else np.empty((0, 3), np.int64)


def _check_here(snapshot: "Snapshot", name: str) -> None:
    if snapshot.remote or snapshot.store.caches(snapshot.version) is None:
        raise DeepRankingError(
            f"{name}: expected an index in a folder, found one that a server searches, which knows of no "
            "learned map; index the images into a folder"
        )
