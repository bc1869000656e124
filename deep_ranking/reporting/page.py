"""The page: a template filled in, every picture inside it, so that it opens anywhere."""

import base64
import contextlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deep_ranking.datasets.folder import check_free, class_titles, folder_written_whole
from deep_ranking.embedding import Model
from deep_ranking.errors import MissingExtraError
from deep_ranking.evaluation.metrics.registry import readable, spoken
from deep_ranking.evaluation.tasks import Classes, images_of, sample_classes
from deep_ranking.images.find import find_classes
from deep_ranking.reporting.drawing import DARK, LIGHT, Draw, confusion, curves, drawn, histograms
from deep_ranking.reporting.findings import Findings, Questions, confusion_matrix, find
from deep_ranking.reporting.pictures import embedding_map, save, strip, thumbnail
from deep_ranking.styles import page_head

_HEADLINES = ("similarity_precision", "knn_accuracy@1", "recall@10", "precision@10")
_MAPPED = 400  # images on the map, at most


def page(findings: Findings, charts: Mapping[str, tuple[Image.Image, ...]]) -> str:
    """Return the HTML.

    Args:
        findings: what it tells.
        charts: by name, for light pages and, if it differs, for dark ones.
    """
    import jinja2
    import markupsafe

    strict = jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, undefined=strict, trim_blocks=True, lstrip_blocks=True)
    environment.filters["spoken"] = spoken
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    found = findings.results["model"]
    metrics = {**found["test"].metrics, **found["retrieval"].metrics}
    return template.render(
        head=markupsafe.Markup(page_head(f"{findings.model} - Deep Ranking report", "report")),
        findings=findings,
        facts=_facts(findings),
        leave_one_out=findings.questions.retrieval.gallery is findings.questions.test,
        headlines=[(name, metrics[name]) for name in _HEADLINES if name in metrics],
        charts={name: list(map(_inline, versions)) for name, versions in charts.items()},
        thumbnail=cache(lambda path: _inline(thumbnail(path))),
        title=findings.questions.title,
        readable=readable,
    )


def _facts(findings: Findings) -> list[str]:
    """Return what the model file says of itself, a few words each."""
    embedder = findings.embedder
    facts = ["{} x {} pixels".format(*embedder.size), f"{embedder.dimension:,} numbers an image"]
    # A file of other code may say nothing, or something else.
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        epoch, learned = embedder.metadata["metrics"].get("epoch"), embedder.metadata["triplets"]
        backbone = embedder.metadata["settings"]["network"]["backbone"]
        # Mining makes its triplets in the batches; the file then tells only of images.
        what = f"{learned['count']:,} triplets" if "count" in learned else f"{learned['images']:,} images"
        learned_so = f"epoch {epoch} over {what}" if epoch else "not trained"
        if "head" in embedder.metadata:  # nothing was learned by steps, or it did not pay
            learned_so = f"a linear layer from {what}" if embedder.metadata["head"] else "not trained"
        facts = [str(backbone), *facts, learned_so]
    return facts


def _inline(picture: Image.Image) -> str:
    return f"data:image/webp;base64,{base64.b64encode(save(picture, 'webp')).decode()}"


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


def write_report(
    output: str | os.PathLike[str],
    model: Model | str | os.PathLike[str],
    questions: Questions,
    baselines: bool = False,
    quiet: bool = True,
    engine: str = "auto",
    precision: str = "float32",
) -> dict[str, Any]:
    """Write a folder with `index.html`, its pictures as PNG files and `metrics.json`, whole or not at all.

    Args:
        output: a folder that is not there yet, or is empty.
        model: its file, beside which the training log is looked for; or the model itself.
        questions: the training and the test images.
        baselines: measure these too.
        quiet: no progress.
        engine: what runs the model, as in `Model.load`; baselines run on Keras.
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
    findings = find(model, questions, baselines, quiet, engine=engine, precision=precision)
    numbers, drawn = findings.as_dict(), charts(findings)
    with folder_written_whole(output) as folder:
        for name, versions in drawn.items():
            (folder / f"{name}.png").write_bytes(save(versions[0], "png"))
        for number, query in enumerate(findings.queries, 1):
            (folder / f"query-{number}.png").write_bytes(save(strip(query), "png"))
        (folder / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        (folder / "index.html").write_text(page(findings, drawn), encoding="utf-8")
    return numbers


def report(
    model: Model | str | os.PathLike[str],
    train: Classes | str | os.PathLike[str],
    test: Classes | str | os.PathLike[str],
    output: str | os.PathLike[str] = "report",
    images_per_class: int | None = None,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Write the report on a model, as the command `report` does: a page that opens offline, and its numbers.

    Args:
        model: the model, or its file, beside which the training log is looked for.
        train: the training images: a folder with one sub-folder a class, or class name -> paths.
        test: the test images.
        output: a folder that is not there yet, or is empty.
        images_per_class: a random sample of so many of each set; None takes all.
        seed: of what is drawn.
        **options: of `write_report`: baselines, quiet, engine, precision.

    Returns:
        What `metrics.json` holds.

    Raises:
        MissingExtraError, DeepRankingError, OSError: as of `write_report`.
    """
    titles = {} if isinstance(train, Mapping) else class_titles(train)
    train, test = (sample_classes(_classes(images), images_per_class, seed) for images in (train, test))
    return write_report(output, model, Questions(train, test, seed, titles), **options)


def _classes(images: Classes | str | os.PathLike[str]) -> Classes:
    if isinstance(images, Mapping):
        return images
    found = find_classes(images)
    return {name: [str(Path(images) / path) for path in paths] for name, paths in found.items()}
