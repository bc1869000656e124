"""Measure a model, or vectors from elsewhere, in one call."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.metrics import Measurement
from deep_ranking.evaluation.tasks import Classes, RetrievalTask, TripletTask, classes_by_folder
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings

Labelled = str | os.PathLike[str] | Mapping[str, str] | Classes
"""A folder of one sub-folder a class, path -> label, or label -> paths."""


@runtime_checkable
class Encoder(Protocol):
    """What gives vectors of images: a `Model`, or whatever else has this method."""

    def encode(self, images: Sequence[str]) -> Any:
        """Return the vectors of images, (n, d), a row for each path."""


def evaluate(
    model_or_vectors: Encoder | Embeddings,
    classes: Labelled | None = None,
    *,
    triplets: Triplets | None = None,
    queries: Labelled | None = None,
    gallery: Labelled | None = None,
    metrics: Sequence[str] = (),
) -> Measurement:
    """Measure how well a model, or vectors, rank images; docs/metrics.md defines the metrics.

    Args:
        model_or_vectors: a model, or anything with `encode(paths)`; or `Embeddings`, whose paths are those
            used below.
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
    if not isinstance(model_or_vectors, Embeddings | Encoder):
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
    embeddings = model_or_vectors if isinstance(model_or_vectors, Embeddings) else None
    grouped = None if classes is None else _classes("classes", classes, embeddings)
    if grouped is None and triplets is None and queries is None:
        if embeddings is None:
            raise DeepRankingError("nothing to measure by; give classes, triplets, or queries and a gallery")
        grouped = classes_by_folder(map(str, embeddings.paths), "")
    task = TripletTask.of_table(triplets, grouped or {}) if triplets is not None else None
    retrieval = None
    if queries is not None and gallery is not None:
        retrieval = RetrievalTask(
            _classes("queries", queries, embeddings), _classes("gallery", gallery, embeddings)
        )
    elif grouped:
        retrieval = RetrievalTask(grouped, grouped)
    evaluation = Evaluation(task, retrieval, metrics)
    return evaluation.measure(embeddings or _encoded(model_or_vectors, evaluation.images))


def _encoded(model: Any, images: list[str]) -> Embeddings:
    if not images:
        raise DeepRankingError("expected images to measure, found none")
    vectors = np.asarray(model.encode(images))
    if len(vectors) != len(images):
        raise DeepRankingError(
            f"encode: expected a vector for each of {len(images)} images, found shape {vectors.shape}"
        )
    return Embeddings(np.array(images), vectors.astype(np.float32, copy=False))


def _classes(what: str, given: Any, embeddings: Embeddings | None) -> Classes:
    """Return label -> paths."""
    if isinstance(given, str | os.PathLike):
        root = os.fspath(given)
        names = [str(path) for path in embeddings.paths] if embeddings else _images_of(root)
        if classes := classes_by_folder(names, root):
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
    raise DeepRankingError(
        f"{what}: expected a folder of one sub-folder a class, path -> label, or label -> paths; "
        f"found {'an empty mapping' if isinstance(given, Mapping) and not given else type(given).__name__}"
    )


def _images_of(root: str) -> list[str]:
    import deep_ranking  # what looks into files lies above; it is asked for by its public name

    return [f"{root}/{name}" for name in deep_ranking.find_images(root)]
