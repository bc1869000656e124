"""All that the report tells, before it is drawn."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.embedding import Embedder
from deep_ranking.embedding.baselines import systems
from deep_ranking.evaluation.embeddings_file import Embeddings
from deep_ranking.evaluation.metrics import Measurement
from deep_ranking.evaluation.report.log import read_log
from deep_ranking.evaluation.report.questions import Confusion, Query, Questions


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
    embedder: Embedder
    log: Mapping[str, Sequence[float]]
    questions: Questions
    embeddings: Embeddings
    results: Mapping[str, Mapping[str, Measurement]]
    queries: Sequence[Query]
    confusions: Sequence[Confusion]

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
    model: str | os.PathLike[str],
    questions: Questions,
    baselines: bool,
    quiet: bool,
    engine: str,
    precision: str,
) -> Findings:
    """Embed all images and measure; the arguments are those of `write_report`.

    Raises:
        DeepRankingError: the model, its log or an image cannot be read, or the classes do not suffice.
    """
    log, embedder = read_log(model), Embedder.load(model, engine, precision)
    results, own = {}, None
    for name, embed in systems(embedder, baselines):
        embeddings = Embeddings(np.array(questions.images), embed(questions.images, quiet))
        results[name] = questions.measure(embeddings)
        own = own or embeddings  # the model comes first
    assert own is not None
    return Findings(
        Path(model).name,
        embedder,
        log,
        questions,
        own,
        results,
        questions.queries(own),
        questions.confusions(own),
    )
