"""A linear layer on kept features, learned in closed form and never worse than they are.

f(x) = u(A (x - m)): x are the features, u brings to unit length, m is their mean. Of the classes' scatter W
the directions are shortened in which images of one class scatter, A' = (I + W / (s t))^-1/2 with t the mean
variance of W over the directions that the images span; then those are lengthened in which the classes' means
differ, A = (I + g P) A', where P projects on what A' makes of them. With s = infinity and g = 0 only the mean
is taken off; with g = infinity they are linear discriminants. Between those ends the images decide: s and g
are chosen by images that are held out, and the plain features stand beside as they are.

Source: Fisher 1936, Rao 1948; the shrinkage is Friedman's, 1989; that it holds for classes never seen is
"relevant component analysis", Bar-Hillel et al. 2003. docs/experiments.md has the figures behind the choices.
"""

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.metrics import Estimate, bootstrap
from deep_ranking.evaluation.metrics.retrieval import map_at_r, recall_at
from deep_ranking.training.verdict import METRICS, Verdict
from deep_ranking.vectors import unit

SHRINKAGES = (math.inf, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
GAINS = (0.0, 0.25, 0.5, 1.0, 2.0)
_FOLDS = 5
_QUERIES, _GALLERY = 1500, 8000
"""Images that are looked for, and looked for in, at most: more tell little, and take long."""
_HARM = 8.0
"""A point that a metric falls below the plain features weighs as much as so many that others gain."""
_CERTAIN = 2.5
"""Standard errors that a gain must have: the best of all these heads gains some where labels mean nothing."""

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
"""(queries, 3), those of `METRICS`."""


class Head(NamedTuple):
    """An affine map; `u((x - mean) @ axes)` are the embeddings.

    Attributes:
        mean: (d,) float32.
        axes: (d, k) float32.
    """

    mean: Vectors
    axes: Vectors

    def __call__(self, vectors: NDArray[Any]) -> Vectors:
        """Map (n, d) to (n, k), of unit length."""
        return unit((np.asarray(vectors, np.float32) - self.mean) @ self.axes)

    def reduced(self, vectors: Vectors, size: int) -> "Head":
        """Return the head that keeps the principal components of what this one makes of vectors."""
        found = self(vectors)
        turn = np.linalg.eigh(found.T @ found)[1][:, ::-1][:, :size]
        return Head(self.mean, self.axes @ turn)


class Scatter:
    """How features scatter within classes, and where the classes' means are; from it each `Head` is made.

    Args:
        vectors: (n, d) float32.
        labels: (n,), of two classes or more, one of them with two images.

    Raises:
        DeepRankingError: one class, or none that scatters.

    Example:
        >>> vectors = np.array([[0, 5], [0.2, -5], [1, -5], [1.2, 5]], np.float32)
        >>> head = Scatter(vectors, np.array([0, 0, 1, 1])).head(shrinkage=0.001, gain=2.0)
        >>> head(vectors).round(1).astype(float).round(1).tolist()
        [[-1.0, 0.1], [-1.0, -0.1], [1.0, -0.1], [1.0, 0.1]]
    """

    def __init__(self, vectors: Vectors, labels: NDArray[np.integer]):
        classes, of, counts = np.unique(labels, return_inverse=True, return_counts=True)
        expect("classes", len(classes) >= 2, "two or more to tell apart", len(classes))
        order = np.argsort(of, kind="stable")
        sums = np.add.reduceat(vectors[order], np.cumsum(counts) - counts, axis=0, dtype=np.float64)
        means = (sums / counts[:, None]).astype(np.float32)
        scattered = vectors - means[of]
        variances, axes = np.linalg.eigh((scattered.T @ scattered).astype(np.float64))
        expect("vectors", variances[-1] > 0, "some that differ from others of their class", "none")
        self.variances = np.maximum(variances, 0) / max(1, len(vectors) - len(classes))
        self.mean, self.axes = means.mean(axis=0), axes.astype(np.float32)
        self.means = self.turned(means)

    def turned(self, vectors: Vectors) -> Vectors:
        """Return (n, d) vectors less the mean along the axes of W."""
        return (vectors - self.mean) @ self.axes

    def stretched(self, turned: Vectors, shrinkage: float, gain: float) -> Vectors:
        """Return (n, d), what A makes of `turned` vectors, along the same axes.

        Args:
            turned: what `turned` gave.
            shrinkage: s, above 0; infinity leaves the scatter as it is.
            gain: g, 0 or more.
        """
        shorter = (1 / np.sqrt(1 + self.variances / (shrinkage * self.variances.mean()))).astype(np.float32)
        found = turned * shorter
        if gain:
            means = self.means * shorter
            squares, sides = np.linalg.eigh((means @ means.T).astype(np.float64))
            kept = squares > 1e-6 * squares[-1]
            turn = (means.T @ (sides[:, kept] / np.sqrt(squares[kept]))).astype(np.float32)
            found += gain * ((found @ turn) @ turn.T)
        return found

    def head(self, shrinkage: float, gain: float) -> Head:
        """Return A and m of the module's formula; the arguments are those of `stretched`."""
        return Head(self.mean, self.stretched(self.axes, shrinkage, gain) @ self.axes.T)


class Split(NamedTuple):
    """Images to learn from, and others to look for: in those that were learned from, or among themselves."""

    learned: NDArray[np.intp]
    queries: NDArray[np.intp]
    gallery: NDArray[np.intp]


def held_out_images(labels: NDArray[np.integer], seed: int) -> list[Split]:
    """Return splits in which each image of a class with two or more is held out once, or 1,500 of them are.

    What is held out is looked for in what was learned from, as new photographs are in those that one has.
    """
    random = np.random.default_rng([seed, 5])
    order = random.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, at random within
    place = np.arange(len(order)) - np.searchsorted(labels[order], labels[order])
    fold = np.empty(len(labels), np.intp)
    fold[order] = (place + labels[order]) % _FOLDS  # each class begins with another, so all get as many
    chosen = random.permutation(np.flatnonzero(np.bincount(labels)[labels] > 1))
    few = len(chosen) <= _QUERIES
    splits = []
    for number in range(_FOLDS if few else 1):
        queries = chosen[fold[chosen] == number] if few else chosen[:_QUERIES]
        learned = np.setdiff1d(np.arange(len(labels)), queries)
        queries = queries[np.isin(labels[queries], labels[learned])]
        if len(queries):
            splits.append(Split(learned, queries, np.sort(random.permutation(learned)[:_GALLERY])))
    return splits


def held_out_classes(labels: NDArray[np.integer], seed: int) -> list[Split]:
    """Return two splits, each with one half of the classes learned from and the images of the other half
    looked for among themselves; none where a half would be a single class.
    """
    random = np.random.default_rng([seed, 6])
    classes = random.permutation(np.flatnonzero(np.bincount(labels) > 1))
    if len(classes) < 4:
        return []
    halves = [random.permutation(np.flatnonzero(np.isin(labels, classes[side::2]))) for side in (0, 1)]
    return [Split(halves[s], halves[1 - s][:_QUERIES], halves[1 - s][:_GALLERY]) for s in (0, 1)]


def scores(queries: Vectors, gallery: Vectors, labels: NDArray[np.integer], split: Split) -> Scores:
    """Return the scores of each query of a split; NaN for one that has nothing to find.

    Args:
        queries, gallery: the split's, float32 of unit length.
        labels: (n,) of all images, 0 and up.
        split: which they are; a query is left out of its own results.
    """
    own = split.queries[:, None] == split.gallery
    there = own.any(axis=1)
    held, sought = labels[split.gallery], labels[split.queries]
    relevant = np.bincount(held, minlength=labels.max() + 1)[sought] - there
    nearness = np.where(own, -np.inf, queries @ gallery.T)
    most = len(held) - there.any()
    depth = min(most, max(10, int(relevant.max())))
    top = np.argpartition(-nearness, depth - 1, axis=1)[:, :depth]
    order = np.argsort(-np.take_along_axis(nearness, top, axis=1), axis=1, kind="stable")
    hits = held[np.take_along_axis(top, order, axis=1)] == sought[:, None]
    columns = [hits[:, 0], recall_at(hits, min(10, depth)), map_at_r(hits, np.maximum(relevant, 1))]
    return np.where(relevant[:, None] > 0, np.column_stack(columns).astype(np.float64), np.nan)


class Chosen(NamedTuple):
    """The head that was chosen.

    Attributes:
        head: None where none was better than the features as they are.
        shrinkage, gain: what it was made with.
        verdict: it beside the plain features, on images held out from learning it.
    """

    head: Head | None
    shrinkage: float
    gain: float
    verdict: Verdict


def check_classes(labels: NDArray[np.integer]) -> None:
    """Raise DeepRankingError where there is one class, or no class with two images."""
    counts = np.bincount(labels)
    classes = int(np.count_nonzero(counts))
    expect("classes", classes >= 2, "two or more to tell apart", classes)
    if counts.max() < 2:
        raise DeepRankingError("expected a class with two images or more, so that one can look for the other")


def choose_head(vectors: Vectors, labels: NDArray[np.integer], seed: int = 0) -> Chosen:
    """Learn the head whose shrinkage and gain do best on images and on classes that are held out.

    Nearest neighbour, recall@10 and MAP@R, of images of the classes learned from and of classes not learned
    from, are six figures. What a head gains in them over the plain features counts, and what it loses counts
    eight times; the head with the most is taken, and none where that is nothing, or what the best of so many
    may gain by chance: less than 2.5 standard errors. None, too, where so few images cannot tell: where one
    class alone has two, or two classes have two each.

    Args:
        vectors: (n, d), the features, of unit length.
        labels: (n,) of two classes or more, 0 and up.
        seed: of what is held out.

    Raises:
        DeepRankingError: one class, or no class with two images.
    """
    check_classes(labels)
    # Within what the vectors span a head is what it is; beyond it does nothing. Few images span little.
    span = np.linalg.svd(vectors, full_matrices=False)[2] if len(vectors) < vectors.shape[1] else None
    inside = vectors if span is None else vectors @ span.T
    repeated = range(max(1, min(3, 1000 // len(labels))))
    kinds = held_out_images, held_out_classes
    tests = [[split for i in repeated for split in kind(labels, seed * 8 + i)] for kind in kinds]
    trials = [[_Trial(inside, labels, split) for split in splits] for splits in tests]
    start = [_of_each(own, labels) for own in trials]
    best: tuple[float, float, float, list[Scores]] = (0.0, math.inf, 0.0, start)
    for shrinkage in SHRINKAGES if _can_tell(labels, tests[0]) else ():
        before = -math.inf
        for gain in GAINS if math.isfinite(shrinkage) else GAINS[:1]:
            found = [_of_each(own, labels, (shrinkage, gain)) for own in trials]
            gained = [(a - b).mean(axis=0) for a, b in zip(found, start, strict=True) if len(a)]
            worth = float(sum(np.where(part < 0, _HARM, 1.0) @ part for part in gained))
            if worth > best[0]:
                best = worth, shrinkage, gain, found
            if worth < before:  # it only falls from here
                break
            before = worth
    worth, shrinkage, gain, found = best
    if not worth or _certainty(start, found) < _CERTAIN:
        head, shrinkage, gain, found = None, math.inf, 0.0, start
    else:
        head = Scatter(inside, labels).head(shrinkage, gain)
        if span is not None:
            whole = np.eye(vectors.shape[1]) + span.T @ (head.axes - np.eye(len(span))) @ span
            head = Head(head.mean @ span, whole.astype(np.float32))
    seen, unseen = ([_estimated(part) for part in (start[i], found[i])] for i in (0, 1))
    on = f"{len(start[0]):,} images held out in turn"
    return Chosen(
        head, shrinkage, gain, Verdict(head is not None, on, seen[0], seen[1], unseen[0], unseen[1])
    )


def _can_tell(labels: NDArray[np.integer], splits: list[Split]) -> bool:
    """Tell whether images that are held out can judge a head.

    They are to be of two classes: where one alone is looked for, whatever draws all images together is right.
    And a class has to scatter in all that is learned from.
    """
    several = np.count_nonzero(np.bincount(labels) > 1) > 1
    return bool(several) and all(np.bincount(labels[split.learned]).max() > 1 for split in splits)


def _certainty(start: list[Scores], found: list[Scores]) -> float:
    """Return how many standard errors of the mean lie between the scores of two, summed for each image."""
    gained = np.concatenate([(b - a).sum(axis=1) for a, b in zip(start, found, strict=True)])
    return float(gained.mean() / max(gained.std() / math.sqrt(len(start[0])), 1e-12))


class _Trial:
    """A split, and what is learned from it."""

    def __init__(self, vectors: Vectors, labels: NDArray[np.integer], split: Split):
        self.split, self.labels = split, labels
        self.learned = vectors[split.learned], labels[split.learned]
        self.plain = vectors[split.queries], vectors[split.gallery]

    @cached_property
    def scatter(self) -> Scatter:
        return Scatter(*self.learned)

    @cached_property
    def turned(self) -> list[Vectors]:
        return [self.scatter.turned(part) for part in self.plain]

    def scores(self, made_by: tuple[float, float] | None) -> Scores:
        if made_by is None:
            return scores(*self.plain, self.labels, self.split)
        queries, gallery = (unit(self.scatter.stretched(part, *made_by)) for part in self.turned)
        return scores(queries, gallery, self.labels, self.split)


def _of_each(
    trials: list[_Trial], labels: NDArray[np.integer], made_by: tuple[float, float] | None = None
) -> Scores:
    """Return the scores of each image that was held out, the mean where it was more than once."""
    total, count = np.zeros((len(labels), len(METRICS))), np.zeros((len(labels), 1))
    for trial in trials:
        found = trial.scores(made_by)
        there = np.isfinite(found[:, 0])
        total[trial.split.queries[there]] += found[there]
        count[trial.split.queries[there]] += 1
    there = count[:, 0] > 0
    return total[there] / count[there]


def _estimated(of_queries: Scores) -> dict[str, Estimate]:
    return bootstrap(dict(zip(METRICS, of_queries.T, strict=True))) if len(of_queries) else {}
