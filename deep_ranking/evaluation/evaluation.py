"""The metrics that are wanted, by name, of the tasks that there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import Measurement
from deep_ranking.evaluation.metrics.registry import find
from deep_ranking.evaluation.tasks import RetrievalTask, TripletTask, classes_by_folder, sample_classes
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings

_Task = TypeVar("_Task", TripletTask, RetrievalTask)
_OF_TRIPLETS = ("triplets", "groups")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One or two tasks, and which of their metrics are wanted.

    Args:
        triplets: for the metrics of triplets.
        retrieval: for those of retrieval.
        metrics: names, with any number for K; none: all of them, with K = 30 for the triplets, 1 and 10 for
            precision and Recall, 1 and 30 for the neighbours' accuracy, as far as the gallery goes.

    Raises:
        DeepRankingError: a metric is unknown, its task is not there, or K is beyond the gallery.

    Example:
        >>> import numpy as np
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

    @classmethod
    def of_table(
        cls,
        table: Triplets,
        root: str,
        metrics: Sequence[str],
        images_per_class: int | None = None,
        seed: int = 0,
    ) -> "Evaluation":
        """Return the evaluation of a validation set: the images of a triplet file, by their paths.

        Args:
            table: the triplets.
            root: folder whose sub-folders are the classes.
            metrics: names.
            images_per_class: retrieval is measured on a sample of so many, the same each time; None: on all.
            seed: of the sample.

        Raises:
            DeepRankingError: as above, or `images_per_class` is below 1.
        """
        classes = classes_by_folder(table.images, root)
        sample = sample_classes(classes, images_per_class, seed)
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
            parts.append(retrieval.measure(embeddings, at, voters))
        metrics = {name: estimate for part in parts for name, estimate in part.metrics.items()}
        counts = {name: count for part in parts for name, count in part.counts.items()}
        return Measurement({name: metrics[name] for name in self.metrics or metrics}, counts)

    def _wanted(self, task: _Task | None, *needs: str) -> _Task | None:
        wanted = not self.metrics or any(find(name)[0].needs in needs for name in self.metrics)
        return task if wanted else None

    def _numbers(self, of: str) -> list[int]:
        return sorted({k for metric, k in map(find, self.metrics) if metric.numbers == of and k})
