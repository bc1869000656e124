"""The page: a template filled in, every picture inside it, so that it opens anywhere."""

import base64
import contextlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from PIL import Image

from deep_ranking.evaluation.report.findings import Findings
from deep_ranking.evaluation.report.pictures import save, thumbnail
from deep_ranking.evaluation.text import readable

_HEADLINES = ("similarity_precision", "knn_accuracy@1", "recall@10", "precision@10")


def page(findings: Findings, charts: Mapping[str, tuple[Image.Image, ...]]) -> str:
    """Return the HTML.

    Args:
        findings: what it tells.
        charts: by name, for light pages and, if it differs, for dark ones.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["spoken"] = spoken
    template = environment.from_string(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    found = findings.results["model"]
    metrics = {**found["test"].metrics, **found["retrieval"].metrics}
    return template.render(
        findings=findings,
        facts=_facts(findings),
        leave_one_out=findings.questions.retrieval.gallery is findings.questions.test,
        headlines=[(name, metrics[name]) for name in _HEADLINES if name in metrics],
        charts={name: list(map(_inline, versions)) for name, versions in charts.items()},
        thumbnail=cache(lambda path: _inline(thumbnail(path))),
        title=findings.questions.title,
        readable=readable,
    )


def spoken(name: str) -> str:
    """Return a metric's name as it is said.

    Example:
        >>> spoken("knn_accuracy@30"), spoken("map@r"), spoken("recall@10")
        ('30-nearest-neighbour accuracy', 'MAP@R', 'Recall@10')
    """
    kind, _, number = name.partition("@")
    if kind == "knn_accuracy":
        return f"{number}-nearest-neighbour accuracy"
    if name in ("map@r", "r_precision"):
        return {"map@r": "MAP@R", "r_precision": "R-precision"}[name]
    return name.replace("_", " ").capitalize()


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
        facts = [str(backbone), *facts, f"epoch {epoch} over {what}" if epoch else "not trained"]
    return facts


def _inline(picture: Image.Image) -> str:
    return f"data:image/webp;base64,{base64.b64encode(save(picture, 'webp')).decode()}"
