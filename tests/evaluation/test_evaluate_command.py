"""`deep-ranking evaluate`: the model, vectors from elsewhere and baselines, by one code."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from deep_ranking.cli import main
from deep_ranking.embedding import Model
from deep_ranking.evaluation.metrics import measure_retrieval
from deep_ranking.images.find import find_classes
from deep_ranking.network.file import read_metadata
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings, read_embeddings, write_embeddings

RETRIEVAL = {
    *("precision@1", "precision@10", "recall@1", "recall@10", "r_precision", "map@r"),
    *("mean_reciprocal_rank", "knn_accuracy@1", "ndcg@1", "ndcg@10"),
}


def evaluate(capsys, *flags):
    status = main(["evaluate", *map(str, flags), "--quiet"])
    output = capsys.readouterr()
    assert status == 0, output.err
    return output.out


def evaluate_json(capsys, *flags):
    return json.loads(evaluate(capsys, *flags, "--json"))


def test_triplets_and_classes_of_one_folder(trained, capsys):
    """The model's file says how it ranked these triplets after its one epoch; another code measured that."""
    flags = (
        "--model",
        trained.model,
        "--dataset",
        trained.root / "test",
        "--triplets",
        trained.triplets("test"),
    )
    found = evaluate_json(capsys, *flags)["model"]
    assert set(found["metrics"]) == {"similarity_precision", "score_at_top_30", *RETRIEVAL}
    precision = read_metadata(trained.model)["metrics"]["val_similarity_precision"]
    estimate = found["metrics"]["similarity_precision"]
    assert estimate["value"] == precision
    assert estimate["low"] <= precision <= estimate["high"]
    count = len(Triplets.load(trained.triplets("test"), trained.root / "test"))
    assert found["counts"]["triplets"] == count
    assert found["counts"]["queries"] == found["counts"]["gallery"] == 24

    text = evaluate(capsys, *flags)
    assert f"{100 * precision:.1f}% (" in text
    assert f"{count} triplets, " in text


def test_a_gallery_and_queries(trained, capsys):
    folders = ("--gallery", trained.root / "train", "--queries", trained.root / "test")
    found = evaluate_json(capsys, "--model", trained.model, *folders, "--metrics", "recall@3", "map@r")
    embedder = Model.load(trained.model)
    parts = []
    for part in ("test", "train"):
        classes = find_classes(trained.root / part)
        images = [trained.root / part / image for images in classes.values() for image in images]
        parts += [embedder.embed_all(images), [name for name, images in classes.items() for _ in images]]
    expected = measure_retrieval(*parts, at=[3], voters=[1])
    wanted = {name: expected.metrics[name]._asdict() for name in ("recall@3", "map@r")}
    assert found == {"model": {"metrics": wanted, "counts": dict(expected.counts)}}


def test_vectors_from_elsewhere_are_measured_as_the_models_own(trained, capsys, tmp_path):
    npz = tmp_path / "vectors.npz"
    flags = ("--dataset", trained.root / "test", "--triplets", trained.triplets("test"))
    own = evaluate_json(capsys, "--model", trained.model, *flags, "--output_embeddings", npz)
    kept = read_embeddings(npz)
    shuffled = np.random.default_rng(0).permutation(len(kept.paths))
    write_embeddings(npz, Embeddings(kept.paths[shuffled], kept.vectors[shuffled]))
    both = evaluate_json(capsys, "--model", trained.model, "--embeddings", npz, *flags)
    assert both == {"embeddings": own["model"], "model": own["model"]}

    # Beside each other, gallery and queries are named from the folder that holds both.
    folders = ("--gallery", trained.root / "train", "--queries", trained.root / "test")
    between = evaluate_json(capsys, "--model", trained.model, *folders, "--output_embeddings", npz)
    assert {path.split("/")[0] for path in read_embeddings(npz).paths} == {"train", "test"}
    assert evaluate_json(capsys, "--embeddings", npz, *folders) == {"embeddings": between["model"]}
    # Their names alone, without the folders, tell of the same two parts and not of two classes.
    assert main(["evaluate", "--embeddings", str(npz), "--dataset", "gone"]) == 1
    assert "train/" in (error := capsys.readouterr().err)
    assert "add --splits_are_classes; or name two parts, by --gallery and --queries" in error


def test_given_vectors_need_no_images(trained, capsys, tmp_path, monkeypatch):
    """What was measured with the images there is measured alike where they are not."""
    dataset, npz = ("--dataset", trained.root / "test"), tmp_path / "vectors.npz"
    triplets = ("--triplets", trained.triplets("test"))
    folders = ("--gallery", trained.root / "train", "--queries", trained.root / "test")
    elsewhere = ("--gallery", "gone/train", "--queries", "gone/test")
    monkeypatch.chdir(tmp_path)
    for with_images, without in (
        (dataset + triplets, ("--dataset", "gone/test", *triplets)),
        (dataset, ("--dataset", "gone/test")),
        (folders, elsewhere),
    ):
        evaluate(capsys, "--model", trained.model, *with_images, "--output_embeddings", npz)
        there = evaluate_json(capsys, "--embeddings", npz, *with_images)
        assert evaluate_json(capsys, "--embeddings", npz, *without) == there
    assert main(["evaluate", "--embeddings", str(npz), "--gallery", "a", "--queries", "gone/test"]) == 1
    assert "expected such a folder, or vectors of images in it" in capsys.readouterr().err


def test_baselines_stand_beside_the_model(trained, capsys):
    pytest.importorskip("skimage", reason="the colour histogram needs the extra 'features'")
    flags = ("--dataset", trained.root / "test", "--triplets", trained.triplets("test"), "--baselines")
    found = evaluate_json(capsys, "--model", trained.model, *flags)
    assert list(found) == ["model", "untrained", "single scale", "colour histogram"]
    # What the model file says of the network before training, measured then.
    untrained = read_metadata(trained.model)["untrained"]["val_similarity_precision"]
    assert found["untrained"]["metrics"]["similarity_precision"]["value"] == untrained
    assert len({json.dumps(results) for results in found.values()}) == 4


@pytest.mark.filterwarnings("ignore::FutureWarning:keras", "ignore::DeprecationWarning")
def test_another_engine_gives_nearly_the_same_vectors(trained, capsys, tmp_path):
    if find_spec("openvino") is None:
        pytest.skip("needs the extra 'fast'")
    vectors = []
    for engine in ("keras", "openvino"):
        kept = tmp_path / f"{engine}.npz"
        flags = ("--dataset", trained.root / "test", "--engine", engine, "--output_embeddings", kept)
        evaluate(capsys, "--model", trained.model, *flags)
        vectors.append(read_embeddings(kept).vectors)
    assert not np.array_equal(*vectors), "both came from one engine"
    np.testing.assert_allclose(*vectors, atol=1e-3)


def test_triplets_without_folders_of_classes(trained, capsys, tmp_path):
    for name, image in zip("abc", sorted((trained.root / "test").glob("*/*.png")), strict=False):
        (tmp_path / f"{name}.png").write_bytes(image.read_bytes())
    (tmp_path / "triplets.txt").write_text("a.png,b.png,c.png\n./b.png,a.png,c.png\n")
    write_embeddings(
        tmp_path / "v.npz", Embeddings(np.array(["a.png", "b.png", "c.png"]), np.eye(3, dtype=np.float32))
    )
    flags = ("--dataset", tmp_path, "--triplets", tmp_path / "triplets.txt")
    found = evaluate_json(capsys, "--embeddings", tmp_path / "v.npz", *flags)["embeddings"]
    assert found["metrics"] == {"similarity_precision": {"value": 0.0, "low": 0.0, "high": 0.0}}
    assert found["counts"] == {"triplets": 2, "ties": 2}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset", "nowhere"], "nowhere: expected a folder of images, found nothing"),
        (["--dataset", "test", "--triplets", "no.txt"], "no.txt: expected a triplet file, found none"),
        (["--gallery", "test"], "expected --gallery and --queries together, found one"),
        (["--dataset", "test", "--metrics", "recal@1"], "recal@1: expected a metric of"),
        (["--dataset", "test", "--metrics", "similarity_precision"], "needs triplets"),
        (["--dataset", "test", "--model", "no.h5"], "no.h5"),
        (["--dataset", "test", "--embeddings", "other.npz"], "no embedding of"),
        (["--dataset", "test", "--embeddings", "other.npz", "--baselines"], "give --model too"),
        (["--dataset", "test", "--embeddings", "other.npz", "--engine", "openvino"], "give --model too"),
        (
            ["--dataset", "test", "--model", "model.h5", "--engine", "keras", "--precision", "bfloat16"],
            "openvino has bfloat16",
        ),
        (["--dataset", "test", "--embeddings", "test.txt"], "test.txt: expected an .npz file"),
        (["--dataset", "broken", "--model", "model.h5"], "c/2.png: cannot be read as an image"),
    ],
)
def test_what_is_wrong_is_said(trained, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(trained.root)
    write_embeddings("other.npz", Embeddings(np.array(["x.png"]), np.ones((1, 2), np.float32)))
    if "broken" in flags:
        source = next((trained.root / "test").glob("*/*.png"))
        (trained.root / "broken/c").mkdir(parents=True)
        (trained.root / "broken/c/1.png").write_bytes(source.read_bytes())
        whole = source.read_bytes()  # what is between its beginning and its end is seen by decoding alone
        (trained.root / "broken/c/2.png").write_bytes(whole[:41] + bytes(len(whole) - 53) + whole[-12:])
    assert main(["evaluate", *flags, "--quiet"]) == 1
    output = capsys.readouterr()
    assert message in output.err
    assert "Traceback" not in output.err
    assert output.out == ""
