"""The commands with a backbone of KerasHub: a preset in a folder, in; a model file, used as any other."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import presets
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("keras_hub") is not None, reason="the extra hub is installed")
def test_the_missing_extra_is_named_first(run):
    done = run("train", "--backbone", "hub:vit", "--dataset", "none", fresh=True)
    assert done.returncode == 1
    assert "pip install 'deep-ranking[hub]'" in done.stderr


@pytest.fixture
def vit(tmp_path):
    pytest.importorskip("keras_hub", reason="the extra hub is not installed")
    return presets.make("vit", tmp_path / "vit")


FLAGS = ("--backbone", "hub:vit", "--image_size", 32, "--quiet", "--json")


def answered(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_learn_index_compare_teach_export(vit, striped_classes, tmp_path, run):
    answered(run("train", *FLAGS, "--dataset", "dataset", "--model", "model.keras"))
    answered(run("index", "dataset", "--model", "model.keras", "--index", "photos.index", "--quiet"))
    found = answered(run("search", "--index", "photos.index", "dataset/down/0.png", "--json"))
    assert len(json.loads(found)) >= 1
    pair = ("--image1", "dataset/down/0.png", "--image2", "dataset/across/0.png")
    distance = answered(run("similarity", "--model", "model.keras", *pair, "--quiet")).splitlines()[-1]
    assert 0 < float(distance) <= 2
    images = [f"{name}/{number}.png" for name in ("down", "across", "slant") for number in range(6)]
    rng = np.random.default_rng(0)
    lines = [",".join(rng.choice(images, 3, replace=False)) for _ in range(40)]
    (tmp_path / "rated.txt").write_text("\n".join(lines) + "\n")
    answered(run("learn", "--index", "photos.index", "--triplets", "rated.txt", fresh=True))
    answered(run("export", "--model", "model.keras", "--format", "openvino", "--output", "model.xml"))
    assert (tmp_path / "model.xml").is_file()


@pytest.mark.long
def test_adapters_are_trained_and_the_file_is_whole(vit, striped_classes, tmp_path, run):
    flags = ("--lora", 2, "--mining", "semi-hard", "--epochs", 1, "--classes_per_batch", 2)
    flags += ("--images_per_class", 2, "--embedding_size", 8, "--low_resolution", "none")
    answered(run("train", *FLAGS, "--dataset", "dataset", "--model", "model.keras", *flags))
    network = keras.models.load_model(tmp_path / "model.keras")
    assert not [weight.path for weight in network.weights if "lora" in weight.path]
    for flags, message in (
        (
            ("--lora", 2, "--mining", "semi-hard", "--backbone_rate", 0),
            "lora: expected no train_from, and a backbone_rate above 0",
        ),
        (("--lora", 2, "--preset", "features"), "--lora: no effect with --preset features"),
    ):
        done = run("train", *FLAGS, "--dataset", "dataset", "--model", "other.keras", *flags)
        assert done.returncode == 1
        assert message in done.stderr


ON_JAX = """
import keras, numpy as np, deep_ranking
from deep_ranking.training.settings import NetworkSettings, TrainingSettings
network = NetworkSettings("hub:vit", 32, 8, low_resolution="none")
settings = TrainingSettings(network, lora=2, epochs=1, batch_size=6)
data = deep_ranking.Triplets.sample("dataset", positives=1, negatives=1, seed=0)
deep_ranking.train(data, "jax.keras", settings)
model = deep_ranking.load("jax.keras", engine="keras")
assert keras.backend.backend() == "jax"
np.save("jax.npy", model.embed_pixels(np.load("images.npy")))
"""


@pytest.mark.long
def test_on_jax_a_step_is_trained_and_the_file_is_any_backends(vit, striped_classes, tmp_path):
    pytest.importorskip("jax", reason="of an extra, or not installed")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    network = keras.models.load_model(tmp_path / "jax.keras")
    np.testing.assert_allclose(np.asarray(network(images)), np.load(tmp_path / "jax.npy"), atol=1e-5)
