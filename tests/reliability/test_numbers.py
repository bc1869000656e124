"""No NaN and no infinity leaves a stage: identical images, black ones, one pixel, a class of two copies."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from deep_ranking.cli import main
from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import measure_retrieval, measure_triplets
from deep_ranking.extras.handmade import LabHistogram
from deep_ranking.images.decode import read_image
from deep_ranking.ranking.loss import TripletHingeLoss
from deep_ranking.search import Index
from deep_ranking.triplets import read_triplets

FLAT = {
    "zeros": np.zeros((9, 4), np.float32),
    "identical": np.tile(np.array([0.6, 0.8, 0, 0], np.float32), (9, 1)),
    "tiny": np.full((9, 4), 1e-38, np.float32),
    "large": np.tile(np.float32([1e18, -1e18, 0, 1]), (9, 1)),
}


def no_nan(value):
    """Refuse what JSON has no word for, at any depth."""
    json.dumps(value, allow_nan=False)


@pytest.mark.parametrize("kind", FLAT)
def test_metrics_of_vectors_that_are_all_alike(kind):
    vectors, labels, triplets = FLAT[kind], np.repeat(np.arange(3), 3), np.array([[0, 1, 2], [3, 4, 5]])
    no_nan(measure_triplets(vectors, triplets, top=2).as_dict())
    no_nan(measure_retrieval(vectors, labels, vectors, labels, np.arange(9), at=(1,), voters=(1,)).as_dict())


@pytest.mark.parametrize("kind", FLAT)
def test_search_among_vectors_that_are_all_alike(tmp_path, kind):
    with Index.create(tmp_path / "index", 4, "x") as index:
        index.add([f"{number}.png" for number in range(9)], FLAT[kind])
        for hits in (index.search("3.png", 4), index.search(np.ones(4, np.float32), None)):
            assert hits
            assert np.isfinite([hit.distance for hit in hits]).all()
        assert {hit.distance for hit in index.search("3.png", 4)} == {0.0}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_index_takes_what_is_no_number(tmp_path, value):
    with Index.create(tmp_path / "index", 2, "x") as index:
        with pytest.raises(DeepRankingError):
            index.add(["a.png"], [[0, value]])
        index.add(["a.png"], [[0, 1]])
        with pytest.raises(DeepRankingError):
            index.search(np.array([0, value]), 1)
        assert len(index) == 1


@pytest.mark.parametrize("kind", FLAT)
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_loss_and_gradient_of_embeddings_that_are_all_alike(kind, distance):
    import tensorflow as tf

    if kind == "large" and distance == "squared_euclidean":
        pytest.skip("squares of 1e18 leave float32, which a normalized embedding never comes near")
    embeddings = tf.Variable(FLAT[kind])
    with tf.GradientTape() as tape:
        loss = TripletHingeLoss(0.2, distance)(np.zeros(9, np.float32), embeddings)
    assert float(loss) == pytest.approx(0.2, rel=1e-3)
    assert np.isfinite(tape.gradient(loss, embeddings)).all()


def test_black_white_and_single_pixels_through_a_network(tmp_path):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
            keras.layers.UnitNormalization(),
        ]
    )
    for name, image in {
        "black.png": Image.new("RGB", (9, 9)),
        "white.png": Image.new("RGB", (9, 9), "white"),
        "one.png": Image.new("RGB", (1, 1), "red"),
        "thin.png": Image.new("L", (1, 3000), 7),
        "clear.png": Image.new("RGBA", (5, 5), (0, 0, 0, 0)),
    }.items():
        image.save(tmp_path / name)
    paths = sorted(tmp_path.glob("*.png"))
    vectors = Model(network).embed_all(paths * 2)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[:5], vectors[5:], atol=1e-6)
    for path in paths:
        vector = LabHistogram().compute(read_image(path))
        assert np.isfinite(vector).all()


def test_a_class_of_two_copies_of_one_image(tmp_path, capsys):
    for name, colour in {"a/1.png": "red", "a/2.png": "red", "b/1.png": "blue", "b/2.png": "blue"}.items():
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), colour).save(tmp_path / "images" / name)
    for method in ("uniform", "importance"):
        flags = ["--input_directory", tmp_path / "images", "--output_directory", tmp_path, "--method", method]
        assert main(["sample", *map(str, flags), "--quiet"]) == 0
        triplets = list(read_triplets(tmp_path / "triplets.txt"))
        assert triplets
        assert all(t.query != t.positive and t.query[0] == t.positive[0] != t.negative[0] for t in triplets)
