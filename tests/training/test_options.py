"""Options of a run: number types, TensorBoard, presets."""

import keras
import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.network.network import NetworkSettings
from deep_ranking.training import model
from deep_ranking.training.callbacks import Validation
from deep_ranking.training.run import train
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler

NETWORK = NetworkSettings("simple", image_size=32, embedding_size=8)
SETTINGS = {"network": NETWORK, "weights": "none", "epochs": 2, "batch_size": 24}


@pytest.fixture
def table(striped_classes):
    classes = {c: [f"{c}/{i}.png" for i in range(6)] for c in ("across", "down", "slant")}
    sampler = UniformSampler(classes, 2, 2)
    rows = np.concatenate(list(sampler.blocks())).astype(np.int32)
    return Triplets([str(striped_classes / image) for image in sampler.images], rows, "0" * 64)


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.long)])
def test_a_network_trained_in_16_bits_gives_unit_vectors_in_32(table, tmp_path, precision):
    before = keras.config.dtype_policy().name
    settings = TrainingSettings(**SETTINGS, precision=precision)
    trained = train(table, tmp_path / "model.h5", settings, table)
    assert keras.config.dtype_policy().name == before
    assert trained.history[-1]["loss"] < trained.history[1]["loss"]
    vectors = Model.load(tmp_path / "model.h5").embed(table.images).vectors
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    # It computes in float32 too, and what was measured is what was saved.
    network = Model.load(tmp_path / "model.h5").network
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    saved = Validation(Model(network), table, settings.gap, settings.distance).measure()
    assert saved["val_loss"] == pytest.approx(trained.best["val_loss"], rel=1e-4)


def test_the_number_type_suits_backbone_and_machine(monkeypatch):
    monkeypatch.setattr(model, "has_accelerator", lambda: False)
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    for has in (True, False):
        monkeypatch.setattr(model, "multiplies_bfloat16", lambda has=has: has)
        assert model.best_precision("vgg16") == ("bfloat16" if has else "float32")
        assert model.best_precision("mobilenetv2") == "float32"
    monkeypatch.setattr(model, "multiplies_bfloat16", lambda: True)
    assert not model.jit_pays()
    monkeypatch.setattr(model, "has_accelerator", lambda: True)
    assert model.best_precision("vgg16") == "float32"
    assert model.jit_pays()
    monkeypatch.setattr(model, "has_accelerator", lambda: False)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert model.best_precision("vgg16") == "float32"
    assert model.jit_pays()


def test_a_run_says_what_it_computes_with(table, striped_classes, run, tmp_path):
    names = [image.removeprefix(f"{striped_classes}/") for image in table.images]
    lines = [",".join(names[i] for i in row) for row in table.rows[:8]]
    (tmp_path / "triplets.txt").write_text("\n".join(lines))
    flags = "--backbone simple --weights none --image_size 32 --embedding_size 8 --epochs 0"
    auto = "with" if keras.backend.backend() == "jax" else "without"
    for more, told in (
        ([], f"float32, {auto} XLA"),
        (["--mixed_precision", "bfloat16", "--jit", "on"], "bfloat16, with XLA"),
    ):
        done = run("train.py", *flags.split(), *more)
        assert done.returncode == 0, done.stderr
        assert f"training on {keras.backend.backend()} in {told}\n" in done.stderr


def test_tensorboard_logs_are_written(table, tmp_path):
    pytest.importorskip("tensorboard")
    train(table, tmp_path / "model.h5", TrainingSettings(**SETTINGS), tensorboard=tmp_path / "logs")
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


def test_tensorboard_missing_names_the_extra(table, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deep-ranking\[tensorboard\]'"):
        train(table, tmp_path / "model.h5", TrainingSettings(**SETTINGS), tensorboard=tmp_path / "logs")


def test_the_blog_preset_is_the_blogs():
    settings = TrainingSettings.blog()
    assert (settings.gap, settings.distance, settings.learning_rate) == (1.0, "euclidean", 0.001)
    assert (settings.network.low_resolution, settings.network.dropout) == ("blog", 0.6)


def test_pretrained_weights_decide_rate_and_normalization():
    assert TrainingSettings(weights="none").backbone_share == 1
    assert TrainingSettings(weights="imagenet").backbone_share == 0.1
    assert TrainingSettings(weights="imagenet").freezes_normalization
    assert not TrainingSettings(weights="none").freezes_normalization
    assert TrainingSettings(weights="imagenet", backbone_rate=0.5).backbone_share == 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gap", 0),
        ("distance", "cosine"),
        ("batch_size", 10),
        ("epochs", -1),
        ("learning_rate", 0),
        ("momentum", 1),
        ("weight_decay", -1),
        ("augmentation", "all"),
        ("backbone_rate", 2),
        ("precision", "float64"),
        ("seed", -1),
        ("scale", 0),
        ("smoothing", 1),
        ("schedule", "linear"),
        ("warmup", 1.5),
        ("views", 0),
        ("discriminants", -1),
        ("engine", "onnx"),
    ],
)
def test_bad_settings_are_refused_by_name(name, value):
    with pytest.raises(DeepRankingError, match=f"{name}: expected .*, found {value!r}"):
        TrainingSettings(**{name: value})


def test_convnext_asks_for_its_file_format(table, tmp_path):
    settings = TrainingSettings(**{**SETTINGS, "network": NetworkSettings("convnext_tiny", 32, 8)})
    with pytest.raises(DeepRankingError, match=r"name it \*\.keras"):
        train(table, tmp_path / "model.h5", settings)
