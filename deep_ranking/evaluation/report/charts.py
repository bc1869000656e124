"""Which charts the report has."""

import numpy as np
from PIL import Image

from deep_ranking.evaluation.report.drawing import DARK, LIGHT, Draw, confusion, curves, drawn, histograms
from deep_ranking.evaluation.report.findings import Findings
from deep_ranking.evaluation.report.pictures import embedding_map
from deep_ranking.evaluation.report.questions import confusion_matrix
from deep_ranking.evaluation.tasks import images_of

_MAPPED = 400


def charts(findings: Findings) -> dict[str, tuple[Image.Image, ...]]:
    """Return the charts there is something for, by name: for light pages and, if it differs, for dark."""
    questions, log = findings.questions, findings.log
    drawings: dict[str, Draw] = {}
    for name, column in (("loss", "loss"), ("ranking", "similarity_precision")):
        if {column, f"val_{column}"} & set(log):
            drawings[name] = curves(log, column, f"val_{column}", column.replace("_", " "))
    drawings["distances"] = histograms(*questions.pair_distances(findings.embeddings))
    if findings.confusions:
        names, shares = confusion_matrix(findings.confusions)
        drawings["confusion"] = confusion([questions.title(name) for name in names], shares)
    images = np.random.default_rng(questions.seed).permutation(images_of(questions.test))[:_MAPPED].tolist()
    vectors = findings.embeddings.vectors[findings.embeddings.rows(images)]
    return {name: tuple(drawn(draw, ink) for ink in (LIGHT, DARK)) for name, draw in drawings.items()} | {
        "map": (embedding_map(vectors, images, questions.seed),)
    }
