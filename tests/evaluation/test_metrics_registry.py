"""A metric from outside the package is measured, printed, asked for and documented like the others."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_ranking.cli import main
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.metrics import (
    Metric,
    measure_retrieval,
    measure_triplets,
    register_metric,
    registered,
)
from deep_ranking.evaluation.metrics.registry import _METRICS, readable, spoken
from deep_ranking.evaluation.tasks import RetrievalTask
from deep_ranking.vectors import Embeddings, write_embeddings

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"

VECTORS = np.array([[0.0], [0.1], [5.0], [5.1], [0.2]])
LABELS = np.array(list("aabba"))


@pytest.fixture
def own():
    """Metrics of a user's: of retrieval, with a number; of triplets, a sum."""
    metrics = (
        Metric("wrong@K", lambda found, k: ~found.hits[:, k - 1], "1 where the K-th is of another class"),
        Metric("margin", lambda ranked: 2.0 * ranked.right, "2 where right", needs="triplets", total=True),
        Metric("first_rank", lambda found: 1 + found.hits.argmax(axis=1), "a rank", beyond=lambda rank: rank),
    )
    for metric in metrics:
        register_metric(metric)
    yield
    for metric in metrics:
        del _METRICS[metric.name]


def test_what_is_measured_holds_it_beside_the_others(own):
    found = measure_retrieval(VECTORS, LABELS, VECTORS, LABELS, np.arange(5), at=(1, 2), voters=(1,))
    assert found.metrics["wrong@1"].value == pytest.approx(1 - found.metrics["precision@1"].value)
    assert found.metrics["wrong@2"].value == pytest.approx(2 / 5)  # of both b, the next but one is an a
    triplets = measure_triplets(VECTORS, np.array([[0, 1, 2], [0, 2, 1], [2, 3, 0]]))
    assert triplets.metrics["margin"].value == 4
    assert readable("margin", triplets.metrics["margin"]).startswith("4 (")
    assert spoken("wrong@2") == "Wrong@2"


def test_a_rank_beyond_the_ranking_is_given_to_it(own):
    vectors = np.arange(12.0)[:, None]
    labels = ["a", *map(str, range(10)), "a"]
    found = measure_retrieval(vectors[:1], ["a"], vectors, labels, np.array([0]), at=[1], voters=[1])
    assert found.metrics["first_rank"].value == 11


def test_the_command_prints_it_and_is_asked_for_it(own, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [f"{label}/{number}.png" for number, label in enumerate(LABELS)]
    for image in images:
        (tmp_path / "data" / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1, 1)).save(tmp_path / "data" / image)
    write_embeddings("v.npz", Embeddings(np.array(images), VECTORS.astype(np.float32)))
    flags = ["evaluate", "--dataset", "data", "--embeddings", "v.npz", "--json", "--quiet"]
    assert main(flags) == 0
    everything = json.loads(capsys.readouterr().out)["embeddings"]["metrics"]
    assert {"wrong@1", "recall@1"} <= set(everything)
    assert main([*flags, "--metrics", "wrong@3", "map@r"]) == 0
    asked = json.loads(capsys.readouterr().out)["embeddings"]["metrics"]
    assert list(asked) == ["wrong@3", "map@r"]
    assert asked["map@r"] == everything["map@r"]
    assert main([*flags, "--metrics", "none@1"]) == 1
    assert all(metric.name in capsys.readouterr().err for metric in registered()[-1:])


def test_a_name_that_is_taken_or_none_is_refused(own):
    with pytest.raises(DeepRankingError, match="recall@K: there is such a metric"):
        register_metric(Metric("recall@K", lambda found, k: found.hits[:, 0], "another"))
    for name in ("recall 5", "recall@5", "", "K"):
        with pytest.raises(DeepRankingError, match="name: expected letters"):
            Metric(name, lambda found: found, "")
    with pytest.raises(DeepRankingError, match="needs: expected one of"):
        Metric("x", lambda found: found, "", needs="pixels")
    with pytest.raises(DeepRankingError, match="score: expected a function"):
        Metric("x", 3, "")
    task = RetrievalTask({"a": ["1", "2"]}, {"a": ["1", "2"]})
    with pytest.raises(DeepRankingError, match=r"expected a metric of .*wrong@K"):
        Evaluation(retrieval=task, metrics=["right@1"])


def test_the_document_has_each_with_its_definition():
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name.replace("@k", "@K"): definition for name, definition in rows}
    assert documented == {metric.name: metric.definition for metric in registered()}
