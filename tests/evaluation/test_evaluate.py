"""`evaluate` is the tasks and the evaluation in one call, and refuses in words what is neither."""

import numpy as np
import pytest
from PIL import Image

from deep_ranking.display.show import show
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation import evaluate
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.tasks import RetrievalTask, TripletTask
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings

CLASSES = {"cat": ["cat/1.png", "cat/2.png", "cat/3.png"], "dog": ["dog/1.png", "dog/2.png"]}
IMAGES = [image for images in CLASSES.values() for image in images]
VECTORS = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
EMBEDDINGS = Embeddings(np.array(IMAGES), VECTORS)
TRIPLETS = Triplets([IMAGES[0], IMAGES[1], IMAGES[3]], np.array([[0, 1, 2]], np.int32), "")
LABEL_OF_EACH = {image: label for label, images in CLASSES.items() for image in images}


class Model:
    """Gives each path the vector of its name."""

    def __init__(self, root=""):
        self.root, self.asked = root, []

    def encode(self, paths):
        self.asked += paths
        return [VECTORS[IMAGES.index(path.removeprefix(self.root))] for path in paths]


@pytest.mark.parametrize("given", [Model(), EMBEDDINGS], ids=["model", "vectors"])
@pytest.mark.parametrize("classes", [CLASSES, LABEL_OF_EACH], ids=["classes", "label of each"])
def test_retrieval_within_classes(given, classes):
    expected = Evaluation(retrieval=RetrievalTask(CLASSES, CLASSES)).measure(EMBEDDINGS)
    assert evaluate(given, classes) == expected
    few = evaluate(given, classes, metrics=["recall@2"])
    assert few.metrics == {
        "recall@2": Evaluation(retrieval=RetrievalTask(CLASSES, CLASSES), metrics=["recall@2"])
        .measure(EMBEDDINGS)
        .metrics["recall@2"]
    }


def test_embeddings_alone_are_taken_by_their_folders():
    assert evaluate(EMBEDDINGS) == evaluate(EMBEDDINGS, CLASSES)
    below = Embeddings(np.array([f"data/{image}" for image in IMAGES]), VECTORS)
    assert evaluate(below, "data") == evaluate(EMBEDDINGS)


def test_a_folder_and_a_model(tmp_path):
    for image in IMAGES:
        (tmp_path / image).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / image)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    model = Model(f"{tmp_path}/")
    assert evaluate(model, tmp_path) == evaluate(EMBEDDINGS)
    assert model.asked == [str(tmp_path / image) for image in IMAGES]


def test_the_parts_of_a_data_set_are_no_classes(tmp_path):
    for path in ("train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "test/3.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / path)
    model = Model(f"{tmp_path}/")
    with pytest.raises(DeepRankingError, match=r"hold the same folders \(cat\): parts of a data set"):
        evaluate(model, tmp_path)
    assert model.asked == []


def test_triplets_with_classes_and_without():
    expected = Evaluation(TripletTask.of_table(TRIPLETS, {})).measure(EMBEDDINGS)
    assert evaluate(Model(), triplets=TRIPLETS) == expected
    both = evaluate(EMBEDDINGS, CLASSES, triplets=TRIPLETS)
    assert {"similarity_precision", "score_at_top_30", "map@r"} <= set(both.metrics)


def test_queries_and_a_gallery():
    queries = {"cat": CLASSES["cat"][:1], "dog": CLASSES["dog"][:1]}
    expected = Evaluation(retrieval=RetrievalTask(queries, CLASSES)).measure(EMBEDDINGS)
    assert evaluate(EMBEDDINGS, queries=queries, gallery=LABEL_OF_EACH) == expected


def test_it_shows_itself_in_lines():
    found = evaluate(EMBEDDINGS, metrics=["recall@1", "map@r"])
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == ["recall@1", "map@r"]
    assert all("% (" in line for line in lines)
    html = found._repr_html_()
    assert html == show(found)._repr_html_()
    assert f"map@r: {lines[1].split(maxsplit=1)[1]}\n" in html
    assert "queries: 5\n" in html


class Short:
    def encode(self, paths):
        return VECTORS[:1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluate(VECTORS), "model_or_vectors: expected Embeddings, or a model .* found ndarray"),
        (lambda: evaluate("no.h5", CLASSES), "no.h5: expected a model file, found nothing"),
        (lambda: evaluate(Embeddings(["a"], VECTORS[:1]), CLASSES), "paths: expected an array.*found 'list'"),
        (lambda: evaluate(Model()), "nothing to measure by; give classes"),
        (lambda: evaluate(Model(), {}), "classes: expected a folder .* found an empty mapping"),
        (lambda: evaluate(Model(), 3), "classes: expected a folder .* found int"),
        (lambda: evaluate(Model(), {"cat": 3}), r"path -> label \(a text\), .* found 'cat': 3"),
        (lambda: evaluate(Model(), {"a": "cat", "b": None}), "classes: expected a folder .* found 'b': None"),
        (lambda: evaluate(Model(), "nowhere"), "nowhere: expected a folder of images, found nothing"),
        (lambda: evaluate(Model(), CLASSES, triplets="t.txt"), "triplets: expected Triplets.* found str"),
        (lambda: evaluate(Model(), queries=CLASSES), "expected queries and gallery together"),
        (lambda: evaluate(Model(), CLASSES, metrics="map@r"), "metrics: expected several names"),
        (lambda: evaluate(Model(), CLASSES, metrics=["map"]), "map: expected a metric of"),
        (lambda: evaluate(Short(), CLASSES), "encode: expected a vector for each of 5 images"),
        (lambda: evaluate(EMBEDDINGS, {"x": ["y", "z"]}), "no embedding of 'y'"),
    ],
)
def test_what_is_something_else_is_refused_in_words(call, message):
    with pytest.raises(DeepRankingError, match=message):
        call()
