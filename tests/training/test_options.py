"""Options of a run: number types, TensorBoard, presets."""

import keras
import numpy as np
import pytest

from deep_ranking.embedding import Embedder
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.network.settings import NetworkSettings
from deep_ranking.training.fit import train
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.sampler import UniformSampler
from deep_ranking.triplets.table import TripletTable

NETWORK = NetworkSettings("simple", image_size=32, embedding_size=8)
SETTINGS = {"network": NETWORK, "weights": "none", "epochs": 2, "batch_size": 24}


@pytest.fixture
def table(striped_classes):
    classes = {c: [f"{c}/{i}.png" for i in range(6)] for c in ("across", "down", "slant")}
    sampler = UniformSampler(classes, 2, 2)
    rows = np.concatenate(list(sampler.blocks())).astype(np.int32)
    return TripletTable([str(striped_classes / image) for image in sampler.images], rows, "0" * 64)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_network_trained_in_16_bits_gives_unit_vectors_in_32(table, tmp_path, precision):
    before = keras.config.dtype_policy().name
    trained = train(TrainingSettings(**SETTINGS, precision=precision), table, tmp_path / "model.h5")
    assert keras.config.dtype_policy().name == before
    assert trained.history[-1]["loss"] < trained.history[1]["loss"]
    vectors = Embedder.load(tmp_path / "model.h5").embed(table.images).vectors
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_tensorboard_logs_are_written(table, tmp_path):
    pytest.importorskip("tensorboard")
    train(TrainingSettings(**SETTINGS), table, tmp_path / "model.h5", tensorboard=tmp_path / "logs")
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


def test_tensorboard_missing_names_the_extra(table, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deep-ranking\[tensorboard\]'"):
        train(TrainingSettings(**SETTINGS), table, tmp_path / "model.h5", tensorboard=tmp_path / "logs")


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
    ],
)
def test_bad_settings_are_refused_by_name(name, value):
    with pytest.raises(DeepRankingError, match=f"{name}: expected .*, found {value!r}"):
        TrainingSettings(**{name: value})


def test_convnext_asks_for_its_file_format(table, tmp_path):
    settings = TrainingSettings(**{**SETTINGS, "network": NetworkSettings("convnext_tiny", 32, 8)})
    with pytest.raises(DeepRankingError, match=r"name it \*\.keras"):
        train(settings, table, tmp_path / "model.h5")
