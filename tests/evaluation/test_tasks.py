"""Tasks say what is measured; the evaluation says which metrics."""

import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.metrics import measure_retrieval, measure_triplets
from deep_ranking.evaluation.tasks import (
    RetrievalTask,
    TripletTask,
    classes_by_folder,
    distinct_images,
    sample_classes,
)
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings

CLASSES = {f"class {c}": [f"class {c}/{i}.png" for i in range(c + 2)] for c in range(4)}
IMAGES = [image for images in CLASSES.values() for image in images]
LABELS = [image.split("/")[0] for image in IMAGES]


def embeddings_of(images, seed=0):
    """In another order than the tasks', and with an image that nobody asks for."""
    rng = np.random.default_rng(seed)
    names = rng.permutation([*images, "unasked.png"])
    return Embeddings(names, rng.normal(size=(len(names), 3)).astype(np.float32))


def same(found, expected):
    assert found.metrics == expected.metrics
    assert found.counts == expected.counts


def test_retrieval_of_a_folder_leaves_each_image_out_of_its_own_results():
    embeddings = embeddings_of(IMAGES)
    vectors = embeddings.vectors[embeddings.rows(IMAGES)]
    expected = measure_retrieval(
        vectors, LABELS, vectors, LABELS, np.arange(len(IMAGES)), at=(1, 10), voters=(1,)
    )
    same(Evaluation(retrieval=RetrievalTask(CLASSES, CLASSES)).measure(embeddings), expected)


def test_retrieval_between_two_folders_that_share_images():
    gallery = {name: images[1:] for name, images in CLASSES.items()}
    queries = {name: images[:2] for name, images in reversed(CLASSES.items())}
    task = RetrievalTask(queries, gallery)
    names = {
        part: [image for images in classes.values() for image in images]
        for part, classes in (("gallery", gallery), ("queries", queries))
    }
    assert sorted(task.images) == sorted(IMAGES)
    embeddings = embeddings_of(IMAGES)
    vectors = {part: embeddings.vectors[embeddings.rows(images)] for part, images in names.items()}
    own = [names["gallery"].index(image) if image in names["gallery"] else -1 for image in names["queries"]]
    expected = measure_retrieval(
        vectors["queries"],
        [image.split("/")[0] for image in names["queries"]],
        vectors["gallery"],
        [image.split("/")[0] for image in names["gallery"]],
        np.array(own),
        at=(3,),
        voters=(5,),
    )
    wanted = ["knn_accuracy@5", "precision@3", "map@r"]
    found = Evaluation(retrieval=task, metrics=wanted).measure(embeddings)
    assert found.metrics == {name: expected.metrics[name] for name in wanted}
    assert list(found.metrics) == wanted


def test_triplets_of_a_file_are_grouped_by_class():
    rows = np.array([[0, 1, 2], [2, 0, 1]], np.int32)
    table = Triplets(["class 1/0.png", "class 1/2.png", "class 2/3.png"], rows, "")
    task = TripletTask.of_table(table, CLASSES)
    embeddings = embeddings_of(IMAGES)
    vectors = embeddings.vectors[embeddings.rows(IMAGES)]
    named = np.array([[IMAGES.index(table.images[i]) for i in row] for row in rows])
    same(Evaluation(task).measure(embeddings), measure_triplets(vectors, named, LABELS))
    assert set(task.images) == set(IMAGES)
    two = Evaluation(task, metrics=["score_at_top_1", "score_at_top_2"]).measure(embeddings)
    for top in (1, 2):
        expected = measure_triplets(vectors, named, LABELS, top).metrics[f"score_at_top_{top}"]
        assert two.metrics[f"score_at_top_{top}"] == expected


def test_triplets_with_an_image_of_no_class_have_no_groups():
    table = Triplets(["class 1/0.png", "b.png", "class 2/3.png"], np.array([[0, 1, 2]], np.int32), "")
    task = TripletTask.of_table(table, CLASSES)
    assert task.groups is None
    found = Evaluation(task).measure(embeddings_of([*IMAGES, "b.png"]))
    assert set(found.metrics) == {"similarity_precision"}
    with pytest.raises(DeepRankingError, match="score_at_top_5 needs each image in the folder of its"):
        Evaluation(task, metrics=["score_at_top_5"])


def test_only_the_images_that_wanted_metrics_need():
    triplets = TripletTask(IMAGES[:3], np.array([[0, 1, 2]]))
    retrieval = RetrievalTask(CLASSES, CLASSES)
    assert Evaluation(triplets, retrieval, ["similarity_precision"]).images == IMAGES[:3]
    assert Evaluation(triplets, retrieval, ["map@r"]).images == IMAGES
    assert Evaluation(triplets, retrieval).images == IMAGES


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["recall"], "recall: expected a metric of similarity_precision, score_at_top_K"),
        (["recall@0"], "recall@0: expected a metric of"),
        (["recall@K"], "recall@K: expected a metric of"),
        (["map@r", "knn_accuracy@14"], "knn_accuracy@14: expected K up to 13"),
        (["similarity_precision"], "similarity_precision needs triplets"),
    ],
)
def test_metrics_that_cannot_be_had(names, message):
    with pytest.raises(DeepRankingError, match=message):
        Evaluation(retrieval=RetrievalTask(CLASSES, CLASSES), metrics=names)


def test_classes_are_needed_for_retrieval():
    with pytest.raises(DeepRankingError, match="map@r needs classes"):
        Evaluation(TripletTask(["a", "b"], np.array([[0, 1, 1]])), metrics=["map@r"])


def test_a_sample_is_fixed_by_its_seed():
    classes = {"a": [f"a/{i}" for i in range(100)], "b": ["b/0"]}
    one, again, other = (sample_classes(classes, 10, seed) for seed in (0, 0, 1))
    assert one == again != other
    assert one["b"] == ["b/0"]
    assert len(set(one["a"])) == 10
    assert set(one["a"]) <= set(classes["a"])
    assert sample_classes(classes, None) == classes
    with pytest.raises(DeepRankingError, match="images_per_class: expected 1 or more, found 0"):
        sample_classes(classes, 0)


def test_the_evaluation_of_a_validation_set_takes_its_folders_for_classes():
    images = [f"data/{image}" for image in IMAGES]
    table = Triplets(images, np.array([[0, 1, 2], [3, 4, 0]], np.int32), "")
    assert classes_by_folder(images, "data") == {n: [f"data/{i}" for i in x] for n, x in CLASSES.items()}
    wanted = ["map@r", "similarity_precision", "score_at_top_1"]
    whole = Evaluation.of_table(table, "data", wanted)
    embeddings = embeddings_of(images)
    assert list(whole.measure(embeddings).metrics) == wanted
    sample = Evaluation.of_table(table, "data", ["map@r"], images_per_class=2)
    assert len(sample.images) == 8
    assert sample.measure(embeddings).counts["queries"] == 8
    flat = Triplets(["data/a", "data/b"], np.array([[0, 1, 1]], np.int32), "")
    with pytest.raises(DeepRankingError, match="map@r needs classes"):
        Evaluation.of_table(flat, "data", ["map@r"])


def test_queries_that_are_gallery_images_under_another_name_do_not_find_themselves(tmp_path, caplog):
    """Links, hard links and copies; not what only has the same size, nor what the gallery has by its name."""
    for name in ("g/a/1", "g/a/2", "g/b/3", "q/a/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode().ljust(20))
    for name, target in {"q/a/link": "g/a/1", "q/a/linked again": "q/a/link"}.items():
        (tmp_path / name).symlink_to(tmp_path / target)
    (tmp_path / "q/b").mkdir()
    (tmp_path / "q/b/hard").hardlink_to(tmp_path / "g/b/3")
    (tmp_path / "q/a/copy").write_bytes((tmp_path / "g/a/2").read_bytes())
    (tmp_path / "q/a/gone").symlink_to(tmp_path / "nothing")
    gallery = {"a": ["g/a/1", "g/a/2"], "b": ["g/b/3"]}
    names = ["link", "linked again", "copy", "other", "gone"]
    queries = {"a": [f"q/a/{name}" for name in names] + ["g/a/2"], "b": ["q/b/hard"]}
    task = RetrievalTask.of_files(queries, gallery, str(tmp_path))
    assert task.same == {
        "q/a/link": "g/a/1",
        "q/a/linked again": "g/a/1",
        "q/a/copy": "g/a/2",
        "q/b/hard": "g/b/3",
    }
    assert task.leave_out.tolist() == [0, 0, 1, -1, -1, 1, 2]
    assert "4 of 7 queries are images of the gallery too" in caplog.text
    assert RetrievalTask.of_files(gallery, gallery, str(tmp_path)).same == {}


def test_vectors_of_images_that_are_nowhere_are_asked_by_their_names():
    task = RetrievalTask.of_files({"a": ["q/1"]}, {"a": ["g/1", "g/2"]}, "/nowhere")
    assert (task.same, task.leave_out.tolist()) == ({}, [-1])


def test_what_has_nothing_to_find_is_refused_before_anything_is_embedded(caplog):
    alone = {"cat": ["cat/1.png"], "dog": ["dog/1.png"]}
    for queries, gallery in ((alone, alone), ({"owl": ["owl/1.png", "owl/2.png"]}, CLASSES)):
        with pytest.raises(DeepRankingError, match="no query has another image of its class in the gallery"):
            Evaluation(retrieval=RetrievalTask(queries, gallery))
    Evaluation(retrieval=RetrievalTask(alone, CLASSES | {"cat": ["cat/2.png"]}))
    assert not caplog.messages
    one = {"cat": ["cat/1.png", "cat/2.png"]}
    Evaluation(retrieval=RetrievalTask(one, one))
    assert caplog.messages == [
        "all images of the gallery are of one class, 'cat', so whatever is found is right"
    ]


def test_copies_within_a_class_are_counted_and_images_of_two_classes_are_named(tmp_path, caplog):
    contents = {"a/1": "one", "a/2": "two", "a/3": "one", "b/1": "two", "b/2": "six", "b/3": "six"}
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    images = list(contents)
    kept = distinct_images(images, [name[0] for name in images], "so", str(tmp_path))
    assert [images[place] for place in kept] == ["a/1", "a/2", "b/1", "b/2"]
    assert caplog.messages == [
        "2 of 6 images are copies of others of their class (the same bytes); so",
        "1 images are in two classes, byte for byte, the first: b/1 is a/2; take one of each away",
    ]
