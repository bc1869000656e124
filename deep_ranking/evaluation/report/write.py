"""Writing the report's folder."""

import json
import os
from importlib.util import find_spec
from typing import Any

from deep_ranking.datasets.folder import check_free, folder_written_whole
from deep_ranking.errors import MissingExtraError
from deep_ranking.evaluation.report.charts import charts
from deep_ranking.evaluation.report.findings import find
from deep_ranking.evaluation.report.page import page
from deep_ranking.evaluation.report.pictures import save, strip
from deep_ranking.evaluation.report.questions import Questions


def write_report(
    output: str | os.PathLike[str],
    model: str | os.PathLike[str],
    questions: Questions,
    baselines: bool = False,
    quiet: bool = True,
    engine: str = "auto",
    precision: str = "float32",
) -> dict[str, Any]:
    """Write a folder with `index.html`, its pictures as PNG files and `metrics.json`, whole or not at all.

    Args:
        output: a folder that is not there yet, or is empty.
        model: the model file; its training log is looked for beside it.
        questions: the training and the test images.
        baselines: measure these too.
        quiet: no progress.
        engine: what runs the model, as in `Embedder.load`; baselines run on Keras.
        precision: of the engine.

    Returns:
        What `metrics.json` holds.

    Raises:
        MissingExtraError: Matplotlib, Jinja or the engine is not installed.
        DeepRankingError: the model, its log or an image cannot be read, the folder holds something already,
            or the classes do not suffice (two, and one of them with two images).
        OSError: a file cannot be written.
    """
    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "report", "the report")
    check_free(output)  # before long work
    findings = find(model, questions, baselines, quiet, engine, precision)
    numbers, drawn = findings.as_dict(), charts(findings)
    with folder_written_whole(output) as folder:
        for name, versions in drawn.items():
            (folder / f"{name}.png").write_bytes(save(versions[0], "png"))
        for number, query in enumerate(findings.queries, 1):
            (folder / f"query-{number}.png").write_bytes(save(strip(query), "png"))
        (folder / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        (folder / "index.html").write_text(page(findings, drawn), encoding="utf-8")
    return numbers
