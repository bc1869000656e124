"""The report: whole, offline, and its numbers the same as measured otherwise."""

import io
import json
import math
import shutil
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import deep_ranking
from deep_ranking.cli import main
from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.evaluation.log import read_log
from deep_ranking.evaluation.metrics import Estimate, Measurement, measure_retrieval
from deep_ranking.images.find import find_classes
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.reporting import drawing, page, pictures, write_report
from deep_ranking.reporting.findings import Confusion, Findings, Questions, confusion_matrix
from deep_ranking.reporting.page import _facts
from deep_ranking.vectors import Embeddings

NASTY = '<img src="x">&$_{'
"""A class as a folder may be called: markup, and what Matplotlib takes for a formula."""


class Page(HTMLParser):
    """What a page fetches and shows."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [v for name, v in attributes if name in ("src", "srcset", "href", "data", "action")]

    def handle_data(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    pytest.importorskip("jinja2", reason="needs the extra 'report'")
    root = tmp_path_factory.mktemp("report")
    for part in ("train", "test"):
        shutil.copytree(trained.root / part, root / part)
        (root / part / "moon").rename(root / part / NASTY)
    (root / "classes.tsv").write_text("leaf\tLeaf of a tree, plant\nring\n")
    flags = ["--model", trained.model, "--train", root / "train", "--test", root / "test"]
    assert main(["report", *map(str, flags), "--output", str(root / "report"), "--quiet"]) == 0
    return root


@pytest.fixture(scope="module")
def numbers(made):
    return json.loads((made / "report/metrics.json").read_text())


def test_the_page_is_whole_and_fetches_nothing(made):
    text = (made / "report/index.html").read_text()
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("img") == len(page.sources) - page.tags.count("source")
    assert len(page.sources) > 5 * 21
    for source in set(page.sources):
        kind, _, data = source.partition(";base64,")
        assert kind == "data:image/webp"
        with Image.open(io.BytesIO(b64decode(data, validate=True))) as image:
            image.load()
    assert "prefers-color-scheme: dark" in text
    shown = "".join(page.texts)
    assert NASTY in shown
    assert "Leaf of a tree" in shown
    assert "No training log" not in shown


def test_the_folder_holds_the_pictures(made):
    names = {path.name for path in (made / "report").iterdir()}
    charts = {"loss", "ranking", "distances", "confusion", "map", *(f"query-{n}" for n in range(1, 6))}
    assert names == {"index.html", "metrics.json", *(f"{chart}.png" for chart in charts)}
    for name in names:
        if name.endswith(".png"):
            with Image.open(made / "report" / name) as image:
                assert min(image.size) > 200
                assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn


def test_its_numbers_are_those_of_plain_code(made, trained, numbers):
    embedder = Model.load(trained.model, "auto")
    vectors, labels, images = {}, {}, {}
    for part in ("train", "test"):
        classes = find_classes(made / part)
        images[part] = [str(made / part / image) for found in classes.values() for image in found]
        labels[part] = np.array([name for name, found in classes.items() for _ in found])
        vectors[part] = embedder.embed_all(images[part])
    results = numbers["results"]["model"]
    expected = measure_retrieval(
        vectors["test"], labels["test"], vectors["train"], labels["train"], at=(1, 10), voters=(1,)
    )
    assert results["retrieval"] == expected.as_dict()
    for part in ("train", "test"):
        assert results[part]["counts"]["triplets"] == 24 * 2 * 3
        assert 0 < results[part]["metrics"]["similarity_precision"]["value"] <= 1

    assert len({query["label"] for query in numbers["queries"]}) == 5
    for query in numbers["queries"]:
        row = images["test"].index(query["image"])
        assert labels["test"][row] == query["label"]
        away = np.linalg.norm(vectors["train"].astype(float) - vectors["test"][row], axis=1)
        order = np.argsort(away, kind="stable")
        for name, rows in (("nearest", order[:10]), ("farthest", order[::-1][:10])):
            found = query[name]
            assert [item["image"] for item in found] == [images["train"][i] for i in rows]
            assert [item["label"] for item in found] == labels["train"][rows].tolist()
            np.testing.assert_allclose([item["distance"] for item in found], away[rows], rtol=1e-6)

    mixed = {}
    for row, label in enumerate(labels["test"]):
        away = np.linalg.norm(vectors["train"].astype(float) - vectors["test"][row], axis=1)
        other = labels["train"][away.argmin()]
        if other != label:
            mixed[label, other] = mixed.get((label, other), 0) + 1 / 3
    found = {(c["label"], c["taken_for"]): c["share"] for c in numbers["confusions"]}
    assert found == pytest.approx(mixed)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_without_classes_in_common_the_test_images_are_their_own_gallery():
    train = {"a": ["a1", "a2"], "b": ["b1"]}
    test = {"c": ["c1", "c2"], "d": ["d1", "d2"]}
    embeddings = Embeddings(
        np.array(["a1", "a2", "b1", "c1", "c2", "d1", "d2"]),
        np.array([[0], [1], [2], [10], [11], [20], [22]], np.float32),
    )
    questions = Questions(train, test)
    assert questions.measure(embeddings)["retrieval"].counts == {"queries": 4, "lonely": 0, "gallery": 4}
    assert questions.confusions(embeddings) == []
    for query in questions.queries(embeddings):
        assert query.image not in [found.image for found in (*query.nearest, *query.farthest)]
        assert query.nearest[0].label == query.label
        assert query.farthest == query.nearest[::-1]
    positive, negative = questions.pair_distances(embeddings)
    assert set(positive) == {1, 2}
    assert negative.min() == 9


def test_test_classes_that_the_gallery_lacks_are_no_confusion():
    train = {"a": ["a1", "a2"], "b": ["b1"]}
    questions = Questions(train, {"a": ["t1", "t2"], "new": ["n1"]})
    embeddings = Embeddings(
        np.array(["a1", "a2", "b1", "t1", "t2", "n1"]), np.array([[0], [1], [2], [3], [0], [9]], np.float32)
    )
    assert questions.confusions(embeddings) == [Confusion("a", "b", 0.5)]
    assert [query.label for query in questions.queries(embeddings)] == ["a"]
    assert questions.measure(embeddings)["retrieval"].counts["lonely"] == 1


def test_the_matrix_holds_the_pairs_most_mixed_up():
    found = [Confusion("a", "b", 0.5), Confusion("c", "d", 0.4), Confusion("d", "c", 0.2)]
    found += [Confusion(f"x{i}", f"y{i}", 0.1) for i in range(9)]
    names, shares = confusion_matrix(found)
    assert names[:4] == ["c", "d", "a", "b"]
    assert len(names) == 8
    assert shares[0, 1] == 0.4
    assert shares[1, 0] == 0.2
    assert shares[2, 3] == 0.5
    assert np.isnan(np.diagonal(shares)).all()


@pytest.mark.parametrize("count", [2, 4, 5, 60])
@pytest.mark.parametrize("collapsed", [False, True])
def test_the_map_of_few_images_and_of_a_collapsed_network(made, count, collapsed):
    vectors = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    if collapsed:
        vectors[:] = vectors[0]
    image = str(next((made / "test").glob("*/*.png")))
    drawn = np.asarray(pictures.embedding_map(vectors, [image] * count))
    cells = drawn[32::64, 32::64, 3].astype(bool).sum()
    assert 1 <= cells <= count
    assert collapsed or count == 60 or cells == count  # far apart: each has a place


@pytest.mark.parametrize("ink", [drawing.LIGHT, drawing.DARK])
def test_charts_of_odd_data(ink):
    log = {"epoch": [0.0, 1.0], "val_loss": [math.nan, 0.5]}
    same = np.zeros(3)
    for draw in (
        drawing.curves(log, "loss", "val_loss", "loss"),
        drawing.histograms(same, same),
        drawing.confusion(["$a_b^", "日本 " * 9], np.array([[np.nan, 0.5], [0.0, np.nan]])),
    ):
        corner = drawing.drawn(draw, ink).getpixel((0, 0))
        assert "#{:02x}{:02x}{:02x}".format(*corner) == ink.paper


def test_a_log_is_read_or_refused(tmp_path):
    assert read_log(tmp_path / "model.h5") == {}
    (tmp_path / "model.csv").write_text("epoch,val_loss,loss\n0,0.5,\n1,0.25,0.75\n")
    log = read_log(tmp_path / "model.h5")
    assert log["val_loss"] == [0.5, 0.25]
    assert math.isnan(log["loss"][0])
    for text in (
        "",
        "epoch,loss\n",
        "loss\n1\n",
        "epoch,loss\n1,abc\n",
        "epoch,loss\n1,2,3\n",
        "epoch,loss\n1\n",
    ):
        (tmp_path / "model.csv").write_text(text)
        with pytest.raises(DeepRankingError, match=r"model\.csv: expected the log of a training"):
            read_log(tmp_path / "model.h5")


@pytest.mark.parametrize("better", [True, False])
@pytest.mark.parametrize("apart", [True, False])
def test_the_first_sentence_says_what_training_was_worth(better, apart):
    def measured(precision, nearest, counts=None):
        metrics = {"similarity_precision": precision, "knn_accuracy@1": nearest, "map@r": 0.25}
        return Measurement({name: Estimate(value, 0, 1) for name, value in metrics.items()}, counts or {})

    model = {"train": measured(0.95 if apart else 0.8, 0), "test": measured(0.75, 0)}
    results = {
        "model": model | {"retrieval": measured(0, 0.5, {"queries": 1500})},
        "start": {"retrieval": measured(0, 0.4 if better else 0.6)},
    }
    told = Findings("m.h5", None, {}, None, None, results, [], []).summary
    word, before = ("Better", "40.0%") if better else ("No better", "60.0%")
    assert told.startswith(
        f"{word} than what it started from: of 1,500 test images 50.0% find one of their class nearest, "
        f"where {before} did before (MAP@R 25.0%, before 25.0%)."
    )
    assert ("far apart (95.0% and 75.0% of triplets ranked right)" in told) == apart


def test_a_page_without_a_start_says_so_and_shows_no_figure_twice(made):
    shown = " ".join(Page((made / "report/index.html").read_text()).texts)
    assert "test images" in shown
    assert "there is no start to compare that with." in shown
    assert "1-nearest-neighbour accuracy" in shown
    assert "Recall@10" in shown
    for same in ("Recall@1 ", "Precision@1 ", "Recall@1\n", "Precision@1\n"):
        assert same not in shown


def test_baselines_json_and_a_sample(made, trained, capsys, tmp_path):
    """Without a log beside the model; a sample of two images a class."""
    shutil.copy(trained.model, tmp_path / "model.h5")
    flags = [
        "--model",
        tmp_path / "model.h5",
        "--train",
        made / "train",
        "--test",
        made / "test",
        "--baselines",
    ]
    flags += ["--output", tmp_path / "report", "--images_per_class", 2, "--json"]
    assert main(["report", *map(str, flags), "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "report/metrics.json").read_text())
    assert list(printed["results"])[:3] == ["model", "untrained", "single scale"]
    assert printed["results"]["untrained"]["retrieval"]["counts"]["gallery"] == 16
    shown = "".join(Page((tmp_path / "report/index.html").read_text()).texts)
    assert "single scale" in shown
    assert "No training log lies beside the model" in shown
    assert not (tmp_path / "report/loss.png").exists()


def test_what_is_wrong_is_said_and_nothing_is_left(made, trained, capsys, tmp_path):
    def fails(*flags):
        before = sorted(tmp_path.iterdir())
        given = ["--model", trained.model, "--train", made / "train", "--test", made / "test", *flags]
        assert main(["report", *map(str, given), "--quiet"]) == 1
        assert sorted(tmp_path.iterdir()) == before
        return capsys.readouterr().err

    report = tmp_path / "report"
    assert "gone: expected a folder of images" in fails("--test", tmp_path / "gone", "--output", report)
    assert "gone.h5" in fails("--model", tmp_path / "gone.h5", "--output", report)
    assert "expected an empty folder" in fails("--output", made / "report")
    assert "images_per_class: expected 1 or more" in fails("--output", report, "--images_per_class", 0)
    one = tmp_path / "one"
    shutil.copytree(made / "test/leaf", one / "leaf")
    assert "expected two classes or more" in fails("--output", report, "--test", one)


def test_test_images_that_are_trained_on_are_told_before_anything_is_embedded(made, tmp_path, caplog):
    test = find_classes(made / "test")
    test = {name: [str(made / "test" / path) for path in paths] for name, paths in test.items()}
    (tmp_path / "leaf").mkdir()
    shutil.copy(test["leaf"][0], tmp_path / "leaf/again.png")
    train = {**test, "leaf": [str(tmp_path / "leaf/again.png"), *test["leaf"][1:]]}
    Questions(train, test).check()
    count = sum(map(len, test.values()))
    assert f"{count} of {count} test images are trained on too (the same bytes)" in caplog.text
    alone = {name: paths[:1] for name, paths in test.items()}
    with pytest.raises(DeepRankingError, match="expected a class with two images or more"):
        Questions(alone, alone).check()


def test_the_engine_that_is_asked_for_embeds(made, trained, monkeypatch, capsys, tmp_path):
    asked, load = [], Model.load

    def record(path, engine="keras", precision="float32"):
        asked.append((engine, precision))
        return load(path)

    monkeypatch.setattr(Model, "load", record)
    flags = ["--model", trained.model, "--train", made / "train", "--test", made / "test"]
    flags += ["--output", tmp_path / "report", "--engine", "openvino", "--precision", "bfloat16"]
    assert main(["report", *map(str, flags), "--quiet"]) == 0
    assert asked == [("openvino", "bfloat16")]
    capsys.readouterr()


def test_every_table_of_the_page_is_made_by_one_macro(made):
    source = Path(page.__file__).with_name("page.html").read_text()
    assert source.count("<table>") == source.count("</table>") == 1
    tags = Page((made / "report/index.html").read_text()).tags
    assert tags.count("table") == tags.count("thead") == 3


def test_a_missing_extra_is_named(made, trained, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "jinja2" else name)
    with pytest.raises(MissingExtraError, match=r"deep-ranking\[report\]"):
        write_report(tmp_path / "report", trained.model, Questions({}, {}))


@pytest.mark.parametrize(
    ("learned", "epoch", "fact"),
    [
        ({"count": 1200, "images": 40}, 3, "epoch 3 over 1,200 triplets"),
        ({"images": 4000, "classes": 8}, 2, "epoch 2 over 4,000 images"),  # mined in batches
        ({"count": 1200, "images": 40}, 0, "not trained"),
    ],
)
def test_the_page_says_what_was_learned_from(learned, epoch, fact):
    metadata = {
        "settings": {"network": {"backbone": "simple"}},
        "metrics": {"epoch": epoch},
        "triplets": learned,
    }
    embedder = Model(build_network(NetworkSettings("simple", 32, 8)), metadata)
    findings = Findings("model.h5", embedder, {}, None, None, {}, [], [])
    assert _facts(findings) == ["simple", "32 x 32 pixels", "8 numbers an image", fact]


def test_in_python_it_takes_the_model_or_its_file(made, trained, numbers, tmp_path):
    """By the file it is the command's report; a model of no file has no log."""
    assert numbers["model"] == trained.model.name
    folders = made / "train", made / "test"
    by_file = deep_ranking.report(trained.model, *folders, tmp_path / "file")
    assert by_file == numbers
    by_model = deep_ranking.report(deep_ranking.load(trained.model), *folders, output=tmp_path / "model")
    assert (by_model["model"], by_model["log"]) == ("the model", {})
    assert by_model["results"] == numbers["results"]
    assert (tmp_path / "model/index.html").is_file()
