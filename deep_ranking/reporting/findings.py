"""All that the report tells, before it is drawn: what is asked of a model, and what is found."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.embedding import Model
from deep_ranking.embedding.baselines import systems
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.log import read_log
from deep_ranking.evaluation.metrics import Measurement, Neighbours, neighbours, triplet_distances
from deep_ranking.evaluation.metrics.registry import spoken
from deep_ranking.evaluation.tasks import Classes, RetrievalTask, TripletTask, class_of_each, images_of
from deep_ranking.files import held_by
from deep_ranking.vectors import Embeddings

logger = logging.getLogger(__name__)

QUERIES, SHOWN, CONFUSED = 5, 10, 8
"""Queries that are shown, images that each finds, and classes in the matrix of confusions; at most."""

COMPARED = ("knn_accuracy@1", "map@r")
FAR_APART = 0.1
"""Of similarity precision, between training and test."""


@dataclass(frozen=True)
class Found:
    """An image that a query found; the distance is Euclidean."""

    image: str
    label: str
    distance: float


@dataclass(frozen=True)
class Example:
    """A query image, the images nearest to it, and the farthest, the most extreme first."""

    image: str
    label: str
    nearest: Sequence[Found]
    farthest: Sequence[Found]


@dataclass(frozen=True)
class Confusion:
    """Queries of one class whose nearest image is of another, as a share of the class's queries."""

    label: str
    taken_for: str
    share: float


@dataclass(frozen=True)
class Questions:
    """What is asked of the model and of each baseline.

    Queries are the test images. The gallery is the training set; where that holds none of the test classes,
    it is the test set, each image asking for the others.

    Args:
        train: class name -> paths of its images.
        test: class name -> paths of its images.
        seed: of the triplets and of the chosen queries.
        titles: how classes are called on the page, where not as their folders.
    """

    train: Classes
    test: Classes
    seed: int = 0
    titles: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def triplets(self) -> dict[str, TripletTask]:
        """Triplets of the training and of the test set, nine a query, sampled uniformly."""
        sets = {"train": self.train, "test": self.test}
        return {name: TripletTask.sampled(classes, seed=self.seed) for name, classes in sets.items()}

    @cached_property
    def retrieval(self) -> RetrievalTask:
        """Test images as queries."""
        gallery = self.train if set(self.train) & set(self.test) else self.test
        return RetrievalTask.of_files(self.test, gallery)

    def check(self) -> None:
        """Look, before anything is embedded, whether there is something to ask, and to mistake.

        Raises:
            DeepRankingError: the classes do not suffice.
        """
        _ = self.triplets
        self.retrieval.check()
        train, test = map(images_of, (self.train, self.test))
        if shared := sum(held_by(train, test)):
            told = "%s of %s test images are trained on too (the same bytes), so the figures flatter"
            logger.warning(told, f"{shared:,}", f"{len(test):,}")

    def title(self, label: str) -> str:
        """Return how a class is called."""
        return self.titles.get(label, label)

    @property
    def images(self) -> list[str]:
        """All that are embedded."""
        return list(dict.fromkeys([*images_of(self.train), *images_of(self.test)]))

    def measure(self, embeddings: Embeddings) -> dict[str, Measurement]:
        """Return the metrics: `train` and `test` of the triplets, `retrieval` of the neighbours."""
        return {
            name: Evaluation(task, metrics=["similarity_precision"]).measure(embeddings)
            for name, task in self.triplets.items()
        } | {"retrieval": Evaluation(retrieval=self.retrieval).measure(embeddings)}

    def queries(self, embeddings: Embeddings) -> list[Example]:
        """Return `QUERIES` test images of different classes, chosen by the seed, and what they find."""
        rng = np.random.default_rng([self.seed, 3])
        labels = np.array(class_of_each(self.test))
        classes = rng.permutation([name for name in self.test if name in self.retrieval.gallery])[:QUERIES]
        rows = np.array([rng.choice(np.flatnonzero(labels == name)) for name in classes])
        vectors, gallery = self.retrieval.vectors(embeddings)
        leave_out, count = self.retrieval.leave_out[rows], min(SHOWN, self.retrieval.most)
        near, far = (
            self._found(neighbours(vectors[rows], gallery, count, leave_out, farthest=farthest))
            for farthest in (False, True)
        )
        images = images_of(self.test)
        return [Example(images[row], str(labels[row]), near[i], far[i]) for i, row in enumerate(rows)]

    def pair_distances(self, embeddings: Embeddings) -> tuple[np.ndarray, np.ndarray]:
        """Return the Euclidean distances of the test triplets' positive and negative pairs, (t,) each."""
        task = self.triplets["test"]
        squared = triplet_distances(embeddings.vectors[embeddings.rows(task.images)], task.triplets)
        return np.sqrt(squared.positive), np.sqrt(squared.negative)

    def confusions(self, embeddings: Embeddings) -> list[Confusion]:
        """Return how often the nearest image is of which other class, the most frequent first."""
        vectors, gallery = self.retrieval.vectors(embeddings)
        nearest = neighbours(vectors, gallery, 1, self.retrieval.leave_out).indices[:, 0]
        labels = np.array(class_of_each(self.test))
        taken_for = np.array(class_of_each(self.retrieval.gallery))[nearest]
        wrong = (labels != taken_for) & np.isin(labels, list(self.retrieval.gallery))
        pairs, counts = np.unique(np.stack([labels, taken_for])[:, wrong], axis=1, return_counts=True)
        found = [
            Confusion(str(label), str(other), int(count) / len(self.test[label]))
            for (label, other), count in zip(pairs.T, counts, strict=True)
        ]
        return sorted(found, key=lambda confusion: -confusion.share)

    def _found(self, results: Neighbours) -> list[list[Found]]:
        names, labels = images_of(self.retrieval.gallery), class_of_each(self.retrieval.gallery)
        return [
            [Found(names[i], labels[i], float(d)) for i, d in zip(indices, distances, strict=True)]
            for indices, distances in zip(results.indices, results.distances, strict=True)
        ]


@dataclass(frozen=True)
class Findings:
    """A model, what it was asked, and its answers.

    Args:
        model: its file's name.
        embedder: the model.
        log: the training log, column by column; `{}` where there is none.
        questions: what was asked.
        embeddings: of all images, by the model.
        results: `"model"` and each baseline -> `train`, `test` and `retrieval`.
        queries: with what they found.
        confusions: the most frequent first.
    """

    model: str
    embedder: Model
    log: Mapping[str, Sequence[float]]
    questions: Questions
    embeddings: Embeddings
    results: Mapping[str, Mapping[str, Measurement]]
    queries: Sequence[Example]
    confusions: Sequence[Confusion]

    @property
    def summary(self) -> str:
        """Return in a sentence what the model is worth: against its start, where there is one; and in another
        that training and test are far apart, if they are.
        """
        model, start = (self.results.get(name, {}).get("retrieval") for name in ("model", "start"))
        assert model is not None  # it is always measured
        value = {name: model.metrics[name].value for name in COMPARED}
        first, whole = COMPARED
        told = (
            f"of {model.counts['queries']:,} test images {value[first]:.1%} find one of their class nearest"
        )
        if start is None:
            told = f"{told[:1].upper()}{told[1:]}; there is no start to compare that with."
        else:
            before = {name: start.metrics[name].value for name in COMPARED}
            better = "Better" if sum(value.values()) > sum(before.values()) else "No better"
            told = (
                f"{better} than what it started from: {told}, where {before[first]:.1%} did before "
                f"({spoken(whole)} {value[whole]:.1%}, before {before[whole]:.1%})."
            )
        train, test = (
            self.results["model"][part].metrics["similarity_precision"].value for part in ("train", "test")
        )
        if train - test > FAR_APART:
            told += (
                f" Training and test are far apart ({train:.1%} and {test:.1%} of triplets ranked right): "
                "it knows its training images too well; more images or fewer epochs help."
            )
        return told

    @property
    def verdict(self) -> str:
        """Return the same in a few words, as a heading."""
        better, colon, _ = self.summary.partition(": of ")
        first, _ = COMPARED
        value = self.results["model"]["retrieval"].metrics[first].value
        return better if colon else f"{value:.1%} of test images find one of their class nearest"

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, as JSON holds them."""
        return {
            "model": self.model,
            "fingerprint": self.embedder.fingerprint,
            "settings": self.embedder.metadata.get("settings"),
            "seed": self.questions.seed,
            "results": {
                name: {part: measured.as_dict() for part, measured in parts.items()}
                for name, parts in self.results.items()
            },
            "queries": [asdict(query) for query in self.queries],
            "confusions": [asdict(confusion) for confusion in self.confusions],
            "log": {name: [None if np.isnan(x) else x for x in column] for name, column in self.log.items()},
        }


def find(
    model: Model | str | os.PathLike[str], questions: Questions, baselines: bool, quiet: bool, **engine: str
) -> Findings:
    """Embed all images and measure; the arguments are those of `write_report`.

    Raises:
        DeepRankingError: the model, its log or an image cannot be read, or the classes do not suffice.
    """
    questions.check()
    if isinstance(model, Model):
        log, embedder, called = {}, model, "the model"
    else:
        log, embedder, called = read_log(model), Model.load(model, **engine), Path(model).name
    results, own = {}, None
    for name, system in systems(embedder, baselines, beside_start=True):
        embeddings = Embeddings(np.array(questions.images), system.embed_all(questions.images, quiet))
        results[name] = questions.measure(embeddings)
        own = own or embeddings  # the model comes first
    assert own is not None
    shown, confusions = questions.queries(own), questions.confusions(own)
    return Findings(called, embedder, log, questions, own, results, shown, confusions)


def confusion_matrix(confusions: Sequence[Confusion]) -> tuple[list[str], np.ndarray]:
    """Return the classes most mixed up with each other, and their shares: row taken for column.

    Returns:
        At most `CONFUSED` class names, and shape (classes, classes), float64, the diagonal NaN.

    Example:
        >>> confusion_matrix([Confusion("cat", "dog", 0.5)])
        (['cat', 'dog'], array([[nan, 0.5],
               [0. , nan]]))
    """
    shares = {(found.label, found.taken_for): found.share for found in confusions}
    pairs = sorted(shares, key=lambda pair: -(shares[pair] + shares.get(pair[::-1], 0)))
    names = list(dict.fromkeys(name for pair in pairs for name in pair))[:CONFUSED]
    matrix = np.array([[shares.get((row, column), 0) for column in names] for row in names], float)
    matrix = matrix.reshape(len(names), len(names))
    np.fill_diagonal(matrix, np.nan)
    return names, matrix
