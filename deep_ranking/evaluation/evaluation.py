"""Measure a model, or vectors from elsewhere: the metrics that are wanted of the tasks that there are."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import Measurement
from deep_ranking.evaluation.metrics.registry import find
from deep_ranking.evaluation.tasks import (
    Classes,
    RetrievalTask,
    TripletTask,
    classes_by_folder,
    sample_classes,
)
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings

Labelled = str | os.PathLike[str] | Mapping[str, str] | Classes
"""A folder of one sub-folder a class, path -> label, or label -> paths."""

_Task = TypeVar("_Task", TripletTask, RetrievalTask)
_OF_TRIPLETS = ("triplets", "groups")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One or two tasks, and which of their metrics are wanted.

    Args:
        triplets: for the metrics of triplets.
        retrieval: for those of retrieval.
        metrics: names, with any number for K; none: all of them but `average_precision`, with
            K = 30 for the triplets, 1 and 10 for precision, Recall and NDCG, 1 and 30 for the neighbours'
            accuracy, as far as the gallery goes.

    Raises:
        DeepRankingError: a metric is unknown, its task is not there, or K is beyond the gallery.

    Example:
        >>> classes = {"cat": ["a", "b"], "dog": ["c", "d"]}
        >>> wanted = Evaluation(retrieval=RetrievalTask(classes, classes), metrics=["recall@2", "map@r"])
        >>> embeddings = Embeddings(np.array(list("abcd")), np.array([[0], [1], [5], [6]], np.float32))
        >>> {name: found.value for name, found in wanted.measure(embeddings).metrics.items()}
        {'recall@2': 1.0, 'map@r': 1.0}
    """

    triplets: TripletTask | None = None
    retrieval: RetrievalTask | None = None
    metrics: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in self.metrics:
            metric, k = find(name)
            if metric.needs in _OF_TRIPLETS:
                if self.triplets is None:
                    raise DeepRankingError(f"{name} needs triplets; give a triplet file")
                if metric.needs == "groups" and self.triplets.groups is None:
                    raise DeepRankingError(
                        f"{name} needs each image in the folder of its text query or class"
                    )
            elif self.retrieval is None:
                raise DeepRankingError(f"{name} needs classes; give a folder with one sub-folder a class")
            elif k and k > self.retrieval.most:
                raise DeepRankingError(
                    f"{name}: expected K up to {self.retrieval.most}, the images that can be found"
                )
        if wanted := self._wanted(self.retrieval, "retrieval"):
            wanted.check()

    @classmethod
    def of_table(
        cls, table: Triplets, root: str, metrics: Sequence[str], images_per_class: int | None = None
    ) -> "Evaluation":
        """Return the evaluation of a validation set: the images of a triplet file, by their paths.

        Args:
            table: the triplets.
            root: folder whose sub-folders are the classes.
            metrics: names.
            images_per_class: retrieval is measured on a sample of so many, the same each time; None: on all.

        Raises:
            DeepRankingError: as above, or `images_per_class` is below 1.
        """
        classes = classes_by_folder(table.images, root)
        sample = sample_classes(classes, images_per_class)
        retrieval = RetrievalTask(sample, sample) if sample else None
        return cls(TripletTask.of_table(table, classes), retrieval, metrics)

    @property
    def images(self) -> list[str]:
        """The images whose embeddings are needed."""
        tasks = (self._wanted(self.triplets, *_OF_TRIPLETS), self._wanted(self.retrieval, "retrieval"))
        return list(dict.fromkeys(image for task in tasks if task for image in task.images))

    def measure(self, embeddings: Embeddings) -> Measurement:
        """Measure embeddings.

        Raises:
            DeepRankingError: an image has none, or no query has another image of its class in the gallery.
        """
        parts = []
        if triplets := self._wanted(self.triplets, *_OF_TRIPLETS):
            parts += [triplets.measure(embeddings, top) for top in self._numbers("top") or [30]]
        if retrieval := self._wanted(self.retrieval, "retrieval"):
            at, voters = self._numbers("at") or [1], self._numbers("voters")
            if not self.metrics:
                at, voters = ([k for k in numbers if k <= retrieval.most] for numbers in ((1, 10), (1, 30)))
            whole = any(find(name)[0].whole for name in self.metrics)
            parts.append(retrieval.measure(embeddings, at, voters, whole))
        metrics = {name: estimate for part in parts for name, estimate in part.metrics.items()}
        counts = {name: count for part in parts for name, count in part.counts.items()}
        asked = list(self.metrics or metrics)
        classes = {
            label: {name: found[name] for name in ("queries", *asked) if name in found}
            for part in parts
            for label, found in part.classes.items()
        }
        return Measurement({name: metrics[name] for name in asked}, counts, classes)

    def _wanted(self, task: _Task | None, *needs: str) -> _Task | None:
        wanted = not self.metrics or any(find(name)[0].needs in needs for name in self.metrics)
        return task if wanted else None

    def _numbers(self, of: str) -> list[int]:
        return sorted({k for metric, k in map(find, self.metrics) if metric.numbers == of and k})


@runtime_checkable
class Encoder(Protocol):
    """What gives vectors of images: a `Model`, or whatever else has this method."""

    def encode(self, images: Sequence[str]) -> Any:
        """Return the vectors of images, (n, d), a row for each path."""


def evaluate(
    model_or_vectors: Encoder | Embeddings | str | os.PathLike[str],
    classes: Labelled | None = None,
    *,
    triplets: Triplets | None = None,
    queries: Labelled | None = None,
    gallery: Labelled | None = None,
    metrics: Sequence[str] = (),
) -> Measurement:
    """Measure how well a model, or vectors, rank images; docs/metrics.md defines the metrics.

    Args:
        model_or_vectors: a model or its file, or anything with `encode(paths)`; or `Embeddings`, whose paths
            are those used below.
        classes: each image looks for the others of its class; the classes are also the groups of the
            triplets' score at top K. Embeddings with nothing else to be measured by are taken by the folders
            that their paths begin with.
        triplets: how many are ranked right?
        queries: are looked up in the gallery, an image that is in both not in its own results.
        gallery: with `queries`.
        metrics: only these, such as `recall@4`; none: all.

    Raises:
        DeepRankingError: an argument is something else, a metric is unknown, or there is nothing to measure.

    Example:
        >>> vectors = np.array([[0], [1], [5], [6]], np.float32)
        >>> embeddings = Embeddings(np.array(["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"]), vectors)
        >>> print(evaluate(embeddings, metrics=["recall@1", "map@r"]))
        recall@1  100.0% (100.0 to 100.0)
        map@r     100.0% (100.0 to 100.0)
        >>> evaluate(embeddings, {"cat/1.jpg": "old", "dog/1.jpg": "old"}).counts
        {'queries': 2, 'lonely': 0, 'gallery': 2}
    """
    embeddings = model_or_vectors if isinstance(model_or_vectors, Embeddings) else None
    if not isinstance(model_or_vectors, Embeddings | Encoder | os.PathLike):  # a text has an `encode` too
        raise DeepRankingError(
            "model_or_vectors: expected Embeddings, or a model with a method encode(paths), "
            f"found {type(model_or_vectors).__name__}"
        )
    if (queries is None) != (gallery is None):
        raise DeepRankingError("expected queries and gallery together, found one; or give classes alone")
    if triplets is not None and not isinstance(triplets, Triplets):
        raise DeepRankingError(
            f"triplets: expected Triplets, as Triplets.load gives them, found {type(triplets).__name__}"
        )
    if isinstance(metrics, str):
        raise DeepRankingError(f"metrics: expected several names, found a text; write [{metrics!r}]")
    if classes is None and triplets is None and queries is None:
        if embeddings is None:
            raise DeepRankingError("nothing to measure by; give classes, triplets, or queries and a gallery")
        classes = os.curdir
    given = {"classes": classes, "queries": queries, "gallery": gallery}
    found = {what: _classes(what, those, embeddings) for what, those in given.items() if those is not None}
    grouped = found.get("classes", {})
    task = None if triplets is None else TripletTask.of_table(triplets, grouped)
    searched = found.get("queries", grouped), found.get("gallery", grouped)
    retrieval = RetrievalTask.of_files if queries is not None and embeddings is None else RetrievalTask
    evaluation = Evaluation(task, retrieval(*searched) if found else None, metrics)
    return evaluation.measure(embeddings or _encoded(model_or_vectors, evaluation.images))


def _encoded(model: Any, images: list[str]) -> Embeddings:
    if not images:
        raise DeepRankingError("expected images to measure, found none")
    if isinstance(model, str | os.PathLike):
        import deep_ranking  # what loads models lies above; it is asked for by its public name

        model = deep_ranking.load(model)
    vectors = np.asarray(model.encode(images))
    if len(vectors) != len(images):
        raise DeepRankingError(
            f"encode: expected a vector for each of {len(images)} images, found shape {vectors.shape}"
        )
    return Embeddings(np.array(images), vectors.astype(np.float32, copy=False))


def _classes(what: str, given: Any, embeddings: Embeddings | None) -> Classes:
    if isinstance(given, str | os.PathLike):
        root = os.fspath(given)
        if not embeddings:
            import deep_ranking  # what looks into files lies above; it is asked for by its public name

            classes = deep_ranking.find_classes(root)
            return {label: [f"{root}/{path}" for path in paths] for label, paths in classes.items()}
        if classes := classes_by_folder(map(str, embeddings.paths), root):
            return classes
        raise DeepRankingError(f"{what}: expected images in sub-folders of {root}, one a class; found none")
    if isinstance(given, Mapping) and given:
        values = list(given.values())
        if all(isinstance(value, str) for value in values):
            classes = {}
            for path, label in given.items():
                classes.setdefault(label, []).append(os.fspath(path))
            return classes
        if all(isinstance(value, Sequence) and not isinstance(value, str | bytes) for value in values):
            return {str(label): [os.fspath(path) for path in paths] for label, paths in given.items()}
    found = type(given).__name__
    if isinstance(given, Mapping):
        odd = (f"{k!r}: {v!r}" for k, v in given.items() if not isinstance(v, str | list | tuple))
        found = next(odd, "an empty mapping")
    expected = "a folder of one sub-folder a class, path -> label (a text), or label -> paths"
    raise DeepRankingError(f"{what}: expected {expected}; found {found}")
