"""Did training pay? The model beside what it started from, on images held out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from deep_ranking.embedding import Model
from deep_ranking.evaluation.metrics import (
    Estimate,
    Measurement,
    bootstrap,
    measure_retrieval,
    measure_triplets,
    positive_ranks,
)
from deep_ranking.evaluation.metrics.measure import table
from deep_ranking.evaluation.metrics.registry import spoken
from deep_ranking.images.cache import ImageCache
from deep_ranking.triplets.table import Triplets

_PLACED = 10_000  # triplets, at most, that positives are looked for by

METRICS = ("knn_accuracy@1", "recall@10", "map@r")

ADVICE = "More images help most, of each class too; or try a larger --image_size, or another --backbone"


ADVICE_FOR_EPOCHS = (
    "Try --preset features, which learns without steps; or a smaller --learning_rate, --backbone_rate 0, or "
    "more images"
)


@dataclass(frozen=True)
class Verdict:
    """A model beside its start.

    Args:
        better: whether the model is what was written, and not the start.
        on: what they were measured on, in words.
        start: of the start, by name of the metric.
        model: of the model.
        unseen_start, unseen_model: the same of classes that were held out whole; empty where none were.
        start_is: the start in words.
        epochs: whether it was learned in epochs.
    """

    better: bool
    on: str
    start: Mapping[str, Estimate]
    model: Mapping[str, Estimate]
    unseen_start: Mapping[str, Estimate] = field(default_factory=dict)
    unseen_model: Mapping[str, Estimate] = field(default_factory=dict)
    start_is: str = "the pretrained features"
    epochs: bool = False

    def sentence(self, path: str = "the model") -> str:
        """Return in one sentence whether training paid; in two what to try, where it did not."""
        if not self.better:
            advice = ADVICE_FOR_EPOCHS if self.epochs else ADVICE
            return f"No better than {self.start_is} on {self.on}, so that is what {path} holds. {advice}."
        figures = ", ".join(
            f"{spoken(name)} {value.value:.1%} where it was {self.start[name].value:.1%}"
            for name, value in self.model.items()
        )
        return f"Better than {self.start_is} on {self.on}: {figures}."

    def table(self) -> str:
        """Return all that was measured, with 95% intervals."""
        told = {"model": self.model, "start": self.start}
        told |= {"model, other classes": self.unseen_model, "start, other classes": self.unseen_start}
        return table({name: Measurement(measured, {}) for name, measured in told.items() if measured})


def compare(
    start: keras.Model, model: keras.Model, validation: Triplets, cache: ImageCache | None = None
) -> Verdict:
    """Measure a model and its start on validation images: by their triplets, and by their classes.

    The classes are the folders that the images lie in, where they agree with the triplets; else it is looked
    for each positive among the images, as more triplets may be right while the nearest images are worse.
    Better is which has the larger sum of all that is measured.

    Args:
        start: takes images of any size of its own.
        model: as it was trained.
        validation: triplets that were not trained on.
        cache: of decoded images of the model's size.
    """
    measured = [
        _measured(Model(network, cache=cache if same else None), validation)
        for network, same in ((start, start.input_shape == model.input_shape), (model, True))
    ]
    sums = [sum(value.value for value in found.values()) for found in measured]
    on = f"{len(validation.images):,} validation images"
    return Verdict(sums[1] > sums[0], on, measured[0], measured[1], epochs=True)


def stayed(untrained: dict[str, float]) -> Verdict:
    """Return the verdict on a run of which no epoch was better than what it began with."""
    before = {"similarity_precision": Estimate(*[untrained["val_similarity_precision"]] * 3)}
    on = "the validation triplets"
    return Verdict(False, on, before, before, start_is="the network before training", epochs=True)


def _measured(model: Model, table: Triplets) -> dict[str, Estimate]:
    vectors = model.embed_all(table.images)
    found = dict(measure_triplets(vectors, table.rows).metrics)
    classes = np.unique([Path(image).parent for image in table.images], return_inverse=True)[1]
    query, positive, negative = (classes[rows] for rows in table.rows.T)
    if (query == positive).all() and (query != negative).all():
        itself = np.arange(len(classes))
        at = [min(10, len(classes) - 1)]
        retrieval = measure_retrieval(vectors, classes, vectors, classes, itself, at, [1]).metrics
        return found | {n: value for n, value in retrieval.items() if n in (*METRICS, f"recall@{at[0]}")}
    rows = table.rows[:: 1 + len(table.rows) // _PLACED]
    return found | bootstrap({"mean_reciprocal_rank": 1 / positive_ranks(vectors, rows)}, rows[:, 0])
