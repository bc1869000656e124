"""Training: it learns, it is the same as the plain way, it resumes, it warns."""

import csv
import logging
import random
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from deep_ranking import TripletHingeLoss
from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.images.batches import TripletBatches
from deep_ranking.network.file import load_network, read_metadata
from deep_ranking.network.network import NetworkSettings
from deep_ranking.training.alarms import CollapseAlarm, PathAlarm, TellTime
from deep_ranking.training.callbacks import Validation
from deep_ranking.training.checkpoint import Checkpoint, Progress
from deep_ranking.training.model import build_training_model
from deep_ranking.training.run import train
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets import Triplet, write_triplets
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler
from deep_ranking.vectors import Embeddings

ROOT = Path(__file__).parents[2]

NETWORK = NetworkSettings("simple", image_size=32, embedding_size=8)
SETTINGS = TrainingSettings(
    NETWORK, weights="none", epochs=2, batch_size=12, learning_rate=0.01, augmentation="paper"
)


@pytest.fixture
def table(striped_classes):
    classes = {c: [f"{c}/{i}.png" for i in range(6)] for c in ("across", "down", "slant")}
    sampler = UniformSampler(classes, 2, 2, seed=1)
    path = striped_classes.parent / "triplets.txt"
    write_triplets(path, (Triplet(*(sampler.images[i] for i in row)) for b in sampler.blocks() for row in b))
    return Triplets.load(path, striped_classes)


def test_distinct_images_give_the_plain_loss_and_gradient(table):
    keras.utils.set_random_seed(1)
    network, model, _ = build_training_model(
        TrainingSettings(NETWORK, weights="none", augmentation="none", batch_size=24)
    )
    start = network.get_weights()
    plain_images, targets = TripletBatches(table, 24, (32, 32))[1]
    inputs, _ = TripletBatches(table, 24, (32, 32), distinct=True)[1]
    assert len(inputs[1]) < len(plain_images)
    results = []
    for learner, batch in ((network, plain_images), (model, inputs)):
        network.set_weights(start)
        learner.compile(keras.optimizers.SGD(1.0), loss=TripletHingeLoss())
        value = np.ravel(learner.train_on_batch(batch, targets))[0]  # the loss comes before any metrics
        # A step of 1 down the slope: what the weights lost is the gradient.
        results.append((value, [a - b for a, b in zip(start, network.get_weights(), strict=True)]))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    for plain, distinct in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(distinct, plain, rtol=1e-3, atol=1e-5)
        assert np.abs(plain).max() > 0


def test_it_learns_keeps_the_best_and_says_what_it_was(table, tmp_path):
    settings = TrainingSettings(**{**vars(SETTINGS), "epochs": 8})
    trained = train(table, tmp_path / "model.h5", settings, validation=table)
    precision = [logs["val_similarity_precision"] for logs in trained.history]
    assert precision[-1] > precision[0] + 0.1
    metadata = read_metadata(tmp_path / "model.h5")
    assert metadata["settings"]["network"]["backbone"] == "simple"
    assert metadata["triplets"]["sha256"] == table.fingerprint
    assert metadata["untrained"]["val_similarity_precision"] == precision[0]
    assert metadata["metrics"] == trained.best
    # The file holds the network whose precision it tells.
    saved = Validation(Model.load(tmp_path / "model.h5"), table, 1.0, "euclidean").measure()
    assert saved["val_similarity_precision"] == trained.best["val_similarity_precision"]
    with (tmp_path / "model.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(epoch) for epoch in range(9)]
    assert not (tmp_path / "model.checkpoint").exists()


def test_the_same_seed_gives_the_same_weights(table, tmp_path):
    weights = []
    for seed in (0, 0, 1):
        settings = TrainingSettings(**{**vars(SETTINGS), "epochs": 1, "seed": seed})
        weights.append(train(table, tmp_path / f"{len(weights)}.h5", settings).network.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


def test_training_leaves_the_users_random_numbers_and_settings(table, tmp_path):
    keras.utils.set_random_seed(7)
    keras.config.set_dtype_policy("mixed_float16")
    before = random.getstate(), np.random.get_state()[1].tolist()
    try:
        trained = train(table, tmp_path / "m.h5", SETTINGS)
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.dtype_policy.name for layer in trained.network.layers} == {"float32"}


def test_the_image_cache_changes_nothing(table, tmp_path):
    weights = []
    for flags in (
        {"image_cache_size": 0},
        {},
        {"image_cache": tmp_path / "c"},
        {"image_cache": tmp_path / "c"},
    ):
        network = train(table, tmp_path / "model.h5", SETTINGS, validation=table, **flags).network
        weights.append(network.get_weights())
    for others in weights[1:]:
        assert all(map(np.array_equal, weights[0], others))


def test_zero_epochs_save_the_network_as_it_starts(table, tmp_path):
    settings = TrainingSettings(**{**vars(SETTINGS), "epochs": 0})
    trained = train(table, tmp_path / "model.keras", settings, validation=table)
    network, metadata = load_network(tmp_path / "model.keras")
    assert all(map(np.array_equal, network.get_weights(), trained.network.get_weights()))
    assert set(metadata["metrics"]) == {"epoch", "val_similarity_precision", "val_loss"}


KILLED = """
import os, signal, sys
from deep_ranking.training import callbacks
def on_train_batch_end(self, batch, logs=None, after=callbacks.SaveBest.on_train_batch_end):
    after(self, batch, logs)
    if self.state.step == 10:
        os.kill(os.getpid(), signal.SIGKILL)
callbacks.SaveBest.on_train_batch_end = on_train_batch_end
from deep_ranking.cli import run_command
sys.exit(run_command("train", sys.argv[1:], "train.py"))
"""


def test_a_run_killed_in_mid_epoch_resumes_to_the_same_weights(table, striped_classes, tmp_path, run):
    # 18 steps an epoch; a checkpoint every 4 steps; killed at step 10, resumed from step 8.
    flags = "--backbone simple --weights none --image_size 32 --embedding_size 8 --epochs 2 --batch_size 12"
    flags = [*flags.split(), "--checkpoint_steps", "4", "--validation_triplets", "triplets.txt"]
    # In a fresh process, so that `hash` has another seed in it than in those that resume.
    whole = run("train.py", *flags, "--model", "whole.h5", fresh=True)
    assert whole.returncode == 0, whole.stderr
    killed = run("-c", KILLED, *flags, "--model", "killed.h5")
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed.h5").exists()
    assert (tmp_path / "killed.checkpoint").exists()

    other = run("train.py", *flags, "--model", "killed.h5", "--resume", "--gap", "0.5")
    assert other.returncode == 1
    assert "this checkpoint was written with other settings or triplets" in other.stderr

    resumed = run("train.py", *flags, "--model", "killed.h5", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    expected, found = (load_network(tmp_path / name)[0].get_weights() for name in ("whole.h5", "killed.h5"))
    assert all(map(np.array_equal, expected, found))
    # The figures too, of the epoch that was cut among them.
    assert (tmp_path / "killed.csv").read_text() == (tmp_path / "whole.csv").read_text()
    again = run("train.py", *flags, "--model", "killed.h5", "--resume")
    assert again.returncode == 1
    assert "killed.checkpoint: expected the checkpoint of an unfinished run, found none" in again.stderr


def test_an_image_that_was_replaced_before_a_run_goes_on_is_told(table, tmp_path, caplog):
    model, path = build_training_model(SETTINGS).model, tmp_path / "m.checkpoint"
    for images in (), table.images:  # of an earlier version, which kept nothing of them, and of this one
        Checkpoint(path, "run", images=images).save(model, Progress(3))
        if not images:
            with h5py.File(path, "r+") as file:
                del file["stamps"]
        assert Checkpoint(path, "run", images=table.images).restore(model).step == 3
    assert not caplog.text
    Path(table.images[4]).write_bytes(Path(table.images[5]).read_bytes())
    Path(table.images[7]).unlink()
    assert Checkpoint(path, "run", images=table.images).restore(model).step == 3
    [told] = caplog.messages
    assert told.startswith(f"of {len(table.images)} images 2 had another size or time of change before, as ")
    assert table.images[4] in told
    with pytest.raises(DeepRankingError, match="stamps of the shape"):
        Checkpoint(path, "run", images=table.images[1:]).restore(model)


def test_a_broken_image_ends_the_run_with_its_name(table, striped_classes, tmp_path):
    (striped_classes / "slant/2.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(DeepRankingError, match=r"slant/2\.png: cannot be read"):
        train(table, tmp_path / "model.h5", SETTINGS)
    assert not (tmp_path / "model.h5").exists()


@pytest.mark.parametrize("data", ["dataset", None, [("a.png", "b.png", "c.png")]])
def test_what_is_no_data_is_refused_in_words(data, tmp_path):
    for settings in (None, SETTINGS):
        with pytest.raises(
            DeepRankingError, match=r"data: expected triplets \(dr.Triplets.load, .sample\), or im"
        ):
            train(data, tmp_path / "model.h5", settings)


def test_a_backend_that_cannot_learn_is_refused_before_a_step(table, monkeypatch, tmp_path):
    monkeypatch.setattr("keras.backend.backend", lambda: "numpy")
    with pytest.raises(
        DeepRankingError, match=r"KERAS_BACKEND: expected one that can learn, .* found 'numpy'"
    ):
        train(table, tmp_path / "m.h5", SETTINGS)


def test_embeddings_that_are_no_numbers_end_the_run(table, tmp_path):
    settings = TrainingSettings(**{**vars(SETTINGS), "learning_rate": 1e30, "weight_decay": 1e10})
    with pytest.raises(DeepRankingError, match=r"the embeddings became NaN .* smaller --learning_rate"):
        train(table, tmp_path / "model.h5", settings)
    assert not (tmp_path / "model.h5").exists()


def test_weights_that_the_last_step_of_an_epoch_has_spoiled_are_not_saved(table, tmp_path):
    settings = TrainingSettings(
        **{**vars(SETTINGS), "learning_rate": 1e30, "batch_size": 3 * len(table.rows), "epochs": 1}
    )
    with pytest.raises(DeepRankingError, match="became NaN with the last step of the epoch; nothing of it"):
        train(table, tmp_path / "model.h5", settings)
    assert not (tmp_path / "model.h5").exists()


def test_the_collapse_alarm_speaks_once_and_only_then(caplog):
    healthy = {"loss": 0.7, "spread": 0.6, "positive_distance": 0.5, "negative_distance": 0.9}
    collapsed = {"loss": 1.0, "spread": 0.001, "positive_distance": 0.01, "negative_distance": 0.01}
    alarm = CollapseAlarm(gap=1.0, every=2)
    with caplog.at_level(logging.WARNING):
        for batch in range(6):
            alarm.on_train_batch_end(batch, healthy)
        assert not caplog.records
        for batch in range(6):
            alarm.on_train_batch_end(batch, collapsed)
    assert [record.getMessage()[:9] for record in caplog.records] == ["collapsed"]
    assert "--learning_rate" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.3, ""),
        (0.46, "about 1 hour: 8,993 steps of 0.5 seconds. --preset features takes about 1 minute for"),
        (2.0, "about 5 hours: 8,993 steps of 2.0 seconds. --preset features takes"),
    ],
)
def test_a_long_run_is_told_of_in_its_first_steps(caplog, seconds, told):
    now = iter([10.0, 10.0 + 5 * seconds])  # the steps that compile are not timed
    telling = TellTime(9000, clock=lambda: next(now))
    for batch in range(100):
        telling.on_train_batch_end(batch)
    assert told in caplog.text
    assert bool(caplog.records) == bool(told)


@pytest.mark.parametrize(("rate", "hours"), [(1.0, 7), (0.0, 3)])
def test_a_long_run_is_told_of_before_its_first_step(table, caplog, rate, hours):
    """A step of what learns takes three forward passes, of what is frozen one."""
    settings = replace(SETTINGS, backbone_rate=rate)
    model, now = build_training_model(settings).model, iter([5.0, 6.0, 7.0])
    telling = TellTime(9000, 20_000, lambda: next(now))
    inputs = TripletBatches(table, 12, (32, 32), distinct=True)[0][0]
    telling.before(model, inputs)
    if not rate:  # the linear layer and the two small nets are most of this network
        learning = sum(np.prod(v.shape) for v in model.trainable_variables)
        hours = round((1 + 2 * learning / model.count_params()) * 9000 / 3600)
    assert f"this run will take about {hours} hours: 9,000 steps of" in caplog.text
    assert "--preset features takes about 3 minutes for these 20,000 images" in caplog.text
    telling._tell(100.0, 9000)
    assert (
        sum(record.name.startswith("deep_ranking") for record in caplog.records) == 1
    )  # TensorFlow warns too
    TellTime(10, 20_000, lambda: next(now)).before(model, inputs)  # too short to be worth a trial
    assert next(now) == 7.0


@pytest.mark.parametrize(
    ("paths", "small"), [("paper", "max_4"), pytest.param("blog", "max_32", marks=pytest.mark.long)]
)
def test_the_alarm_sees_each_path_and_what_it_was(table, tmp_path, caplog, paths, small):
    class Breaking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            network = next(layer for layer in self.model.layers if layer.name == "deep_ranking")
            layer = network.get_layer(small.replace("max", "low_resolution"))
            kernel, bias = layer.get_weights()
            layer.set_weights([0 * kernel, 0 * bias + 1])  # one vector for all images

    network = NetworkSettings("simple", image_size=64, embedding_size=8, low_resolution=paths)
    settings = replace(SETTINGS, network=network, epochs=3, learning_rate=1e-4)
    train(table, tmp_path / "model.h5", settings)
    assert not caplog.records  # nor does it look where nothing has died
    trained = train(table, tmp_path / "model.h5", settings, callbacks=[Breaking()])
    (record,) = caplog.records  # once, though two epochs find it so
    assert (
        f"the small net of {small} has collapsed: all images look alike to it (spread 0.0" in record.message
    )
    assert "a smaller --learning_rate" in record.message
    caplog.clear()
    images = np.random.default_rng(0).uniform(0, 255, (5, 64, 64, 3))
    alarm = PathAlarm(trained.network, images)
    assert alarm.spreads() == {"convnet_unit": pytest.approx(alarm.began["convnet_unit"])} | alarm.began
    assert len(alarm.began) == 3
    assert 0.02 < alarm.began["convnet_unit"] < 1
    alarm.set_model(trained.network)
    alarm.on_epoch_end(0)
    assert "other --weights: it was so from the start" in caplog.text
    convnet = trained.network.get_layer("backbone").layers[-1]
    convnet.set_weights([0 * values + number for number, values in enumerate(convnet.get_weights())])
    alarm.on_epoch_end(1)
    assert "the ConvNet has collapsed" in caplog.text


def test_validation_agrees_with_a_plain_loop(table):
    vectors = np.random.default_rng(0).normal(size=(len(table.images), 5)).astype(np.float32)
    right = losses = 0
    for q, p, n in table.rows:
        near, far = (float(np.linalg.norm(vectors[q] - vectors[x])) for x in (p, n))
        right += near < far
        losses += max(0.0, 0.3 + near - far)
    found = Validation(None, table, 0.3, "euclidean").ranking(vectors)
    assert found["val_similarity_precision"] == right / len(table)
    assert found["val_loss"] == pytest.approx(losses / len(table), rel=1e-5)


def test_importing_trains_nothing():
    code = "import time, train, similarity, triplet_sampler; print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "dataset: expected a folder of images, found nothing"),
        (["--preset", "paper"], "triplets.txt: expected a triplet file, found none"),
        (["--triplets", "x.txt"], "x.txt: expected a triplet file"),
    ],
)
def test_missing_data_is_said_at_once(run, flags, message):
    begin = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = run("train.py", *flags, fresh=True)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - begin < 3  # seconds of a processor


def test_any_metric_of_the_validation_set_is_measured_each_epoch(table, striped_classes, tmp_path):
    names = ["recall@2", "score_at_top_3", "similarity_precision"]
    evaluation = Evaluation.of_table(table, striped_classes, names)
    trained = train(table, tmp_path / "model.h5", SETTINGS, table, evaluation=evaluation)
    for logs in trained.history:
        assert {f"val_{name}" for name in names} < set(logs)
    vectors = Model(trained.network).embed_all(table.images)
    measured = evaluation.measure(Embeddings(np.array(table.images), vectors))
    for name in names:
        assert trained.best[f"val_{name}"] == measured.metrics[name].value
    with (tmp_path / "model.csv").open() as file:
        assert [float(row["val_recall@2"]) for row in csv.DictReader(file)] == [
            logs["val_recall@2"] for logs in trained.history
        ]


def test_wrong_validation_metrics_are_said_before_keras(table, run):
    for flags, message in (
        (["--validation_metrics", "recall@1"], "--validation_metrics needs --validation_triplets"),
        (["--validation_images_per_class", "3"], "no effect without --validation_metrics"),
        (
            ["--validation_metrics", "recal@1", "--validation_triplets", "triplets.txt"],
            "recal@1: expected a metric of",
        ),
    ):
        done = run("train.py", *flags)
        assert done.returncode == 1
        assert message in done.stderr


def test_average_mirror_changes_what_is_saved_and_measured_not_what_is_learned(table, tmp_path):
    plain = train(table, tmp_path / "plain.h5", replace(SETTINGS, epochs=1), table)
    both = train(table, tmp_path / "both.h5", replace(SETTINGS, epochs=1, average_mirror=True), table)
    for a, b in zip(plain.network.get_weights(), both.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    saved = Model.load(tmp_path / "both.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (3, *saved.network.input_shape[1:]), np.uint8)
    np.testing.assert_allclose(saved.embed_pixels(pixels), saved.embed_pixels(pixels[:, :, ::-1]), atol=1e-6)
    history = plain.history[1], both.history[1]
    assert history[0]["loss"] == history[1]["loss"]
    assert history[0]["val_loss"] != history[1]["val_loss"]
