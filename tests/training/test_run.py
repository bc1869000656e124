"""What a run gives back and whom it lets in: the best network as saved, callbacks, any distance."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import find_classes
from deep_ranking.network.file import load_network
from deep_ranking.network.network import build_network
from deep_ranking.network.settings import NetworkSettings
from deep_ranking.ranking.distances import DISTANCES, register_distance
from deep_ranking.training import run
from deep_ranking.training.callbacks import Validation
from deep_ranking.training.run import train
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.training.verdict import compare as compare_networks
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler

NETWORK = NetworkSettings("simple", image_size=32, embedding_size=8, low_resolution="none")
SETTINGS = TrainingSettings(NETWORK, weights="none", epochs=3, batch_size=24)


@pytest.fixture
def table(striped_classes):
    sampler = UniformSampler(find_classes(striped_classes), 2, 1, seed=1)
    images = [str(striped_classes / name) for name in sampler.images]
    return Triplets(images, np.concatenate(list(sampler.blocks())).astype(np.int32), "0" * 64)


class Noting(keras.callbacks.Callback):
    """Notes the logs of each epoch and the weights after it; ends the run when told so."""

    def __init__(self, until=None):
        super().__init__()
        self.until, self.logs, self.weights = until, [], []

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(dict(logs))
        self.weights.append([array.copy() for array in self.model.get_layer("deep_ranking").get_weights()])
        self.model.stop_training = epoch + 1 == self.until


@pytest.mark.parametrize("average_mirror", [False, pytest.param(True, marks=pytest.mark.long)])
def test_the_network_that_comes_back_is_the_best_as_saved(table, tmp_path, monkeypatch, average_mirror):
    precisions = iter([0.1, 0.5, 0.9, 0.3])
    monkeypatch.setattr(
        Validation, "measure", lambda self: {"val_similarity_precision": next(precisions), "val_loss": 1.0}
    )
    noting = Noting()
    settings = replace(SETTINGS, average_mirror=average_mirror)
    trained = train(table, tmp_path / "model.h5", settings, table, [noting])
    assert trained.best["epoch"] == 2
    found, saved = trained.network.get_weights(), load_network(tmp_path / "model.h5")[0].get_weights()
    for expected, later, own, file in zip(noting.weights[1], noting.weights[2], found, saved, strict=True):
        np.testing.assert_array_equal(own, file)
        np.testing.assert_array_equal(own, expected)
        assert not np.array_equal(own, later)


def test_callbacks_see_the_validation_and_may_end_the_run(table, tmp_path):
    noting = Noting(until=2)
    trained = train(table, tmp_path / "model.h5", SETTINGS, table, [noting])
    assert [logs["epoch"] for logs in trained.history] == [0, 1, 2]
    told = [logs["val_similarity_precision"] for logs in trained.history[1:]]
    assert [logs["val_similarity_precision"] for logs in noting.logs] == told
    assert sorted(path.suffix for path in tmp_path.glob("model*")) == [".csv", ".h5"]


def test_a_distance_from_outside_is_learned_with_and_measured_with(table, tmp_path):
    register_distance(
        "taxi", lambda a, b: ops.sum(ops.abs(a - b), axis=-1), lambda a, b: np.abs(a - b).sum(axis=-1)
    )
    try:
        settings = replace(SETTINGS, distance="taxi", gap=0.5, augmentation="none", epochs=1)
        trained = train(table, tmp_path / "model.h5", settings, table)
    finally:
        del DISTANCES["taxi"]
    vectors = Model(trained.network).embed_all(table.images).astype(np.float64)
    query, positive, negative = (vectors[column] for column in table.rows.T)
    near, far = abs(query - positive).sum(axis=1), abs(query - negative).sum(axis=1)
    assert trained.best["val_loss"] == pytest.approx(np.maximum(0, 0.5 + near - far).mean(), rel=1e-5)
    assert trained.best["val_similarity_precision"] == (near < far).mean()


def test_an_unknown_distance_is_refused_by_the_validation(table):
    with pytest.raises(DeepRankingError, match=r"distance: expected one of .*, found 'cosine'"):
        Validation(None, table, 0.3, "cosine")


def test_options_that_cannot_be_are_refused_by_name(table, tmp_path):
    for name in ("workers", "checkpoint_steps"):
        with pytest.raises(DeepRankingError, match=f"{name}: expected 1 or more, found 0"):
            train(table, tmp_path / "model.h5", SETTINGS, **{name: 0})


def measuring(monkeypatch, precisions):
    """Let the validation tell these figures, one after the other."""
    told = iter(precisions)
    monkeypatch.setattr(
        Validation, "measure", lambda self: {"val_similarity_precision": next(told), "val_loss": 1.0}
    )


def test_a_network_that_only_got_worse_stays_as_it_was(table, tmp_path, monkeypatch):
    path = tmp_path / "model.h5"
    train(table, path, replace(SETTINGS, epochs=0))
    before = path.read_bytes()
    measuring(monkeypatch, [0.9, 0.5, 0.9, 0.3])
    trained = train(table, path, replace(SETTINGS, weights=str(path)), table)
    assert path.read_bytes() == before  # fine-tuned in place
    assert trained.best["epoch"] == 0
    assert not trained.verdict.better
    assert "so that is what model.h5 holds" in trained.verdict.sentence("model.h5")
    measuring(monkeypatch, [0.9, 0.5, 0.9, 0.3])
    trained = train(table, tmp_path / "other.h5", replace(SETTINGS, weights=str(path)), table)
    for network in (trained.network, load_network(tmp_path / "other.h5")[0]):
        assert all(map(np.array_equal, network.get_weights(), load_network(path)[0].get_weights()))


@pytest.mark.parametrize("worse", [True, False])
def test_the_start_is_written_where_it_was_better(table, tmp_path, monkeypatch, worse):
    file = str(tmp_path / "b.weights.h5")
    build_network(NETWORK).get_layer("backbone").save_weights(file)
    measuring(monkeypatch, [0.1, 0.5])
    compared = run.compare

    def compare(*given):
        return replace(compared(*given), better=not worse)

    monkeypatch.setattr(run, "compare", compare)
    trained = train(table, tmp_path / "model.h5", replace(SETTINGS, weights=file, epochs=1), table)
    assert set(trained.verdict.start) == {"similarity_precision", "knn_accuracy@1", "recall@10", "map@r"}
    saved = load_network(tmp_path / "model.h5")[0]
    assert saved.output_shape == ((None, 256) if worse else (None, 8))
    assert all(map(np.array_equal, saved.get_weights(), trained.network.get_weights()))


def test_a_verdict_measures_both_on_the_validation(table, tmp_path):
    start, model = build_network(replace(NETWORK, embedding_size=0)), build_network(NETWORK)
    found = compare_networks(start, model, table)
    classes = [path.rsplit("/", 2)[1] for path in table.images]
    for network, told in ((start, found.start), (model, found.model)):
        vectors = Model(network).embed_all(table.images)
        near, far = (
            np.linalg.norm(vectors[table.rows[:, 0]] - vectors[table.rows[:, i]], axis=1) for i in (1, 2)
        )
        assert told["similarity_precision"].value == pytest.approx((near < far).mean())
        apart = np.linalg.norm(vectors[:, None] - vectors, axis=2) + 9 * np.eye(len(vectors))
        nearest = apart.argmin(axis=1)
        right = np.mean([classes[i] == classes[j] for i, j in enumerate(nearest)])
        assert told["knn_accuracy@1"].value == pytest.approx(right)
    sums = [sum(value.value for value in told.values()) for told in (found.start, found.model)]
    assert found.better == (sums[1] > sums[0])


def test_without_classes_it_is_looked_for_each_positive(table):
    """Triplets that name no classes: the nearer images are not to fall in a search either."""
    rows = table.rows.copy()
    rows[0] = rows[0, [0, 2, 1]]  # so the folders are no classes
    told = compare_networks(
        start := build_network(replace(NETWORK, embedding_size=0)),
        build_network(NETWORK),
        replace(table, rows=rows),
    )
    assert set(told.start) == set(told.model) == {"similarity_precision", "mean_reciprocal_rank"}
    vectors = Model(start).embed_all(table.images)
    apart = np.linalg.norm(vectors[:, None] - vectors, axis=2) + 9 * np.eye(len(vectors))
    ranks = [1 / (1 + np.sum(apart[q] < apart[q, p] * (1 - 5e-5))) for q, p, _ in rows]
    assert told.start["mean_reciprocal_rank"].value == pytest.approx(np.mean(ranks))


def test_patience_ends_the_run(table, tmp_path, monkeypatch):
    measuring(monkeypatch, [0.1, 0.5, 0.4, 0.5, 0.9])
    settings = replace(SETTINGS, epochs=9)
    trained = train(table, tmp_path / "model.h5", settings, table, patience=2)
    assert [logs["epoch"] for logs in trained.history] == [0, 1, 2, 3]
    assert trained.best["epoch"] == 1
    with pytest.raises(DeepRankingError, match="patience: expected validation triplets"):
        train(table, tmp_path / "model.h5", settings, patience=2)


class Stopping(keras.callbacks.Callback):
    """Interrupts the run after an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_a_run_resumes_with_another_rate_and_not_with_fewer_epochs(table, tmp_path):
    path, checkpoint = tmp_path / "model.h5", tmp_path / "model.checkpoint"
    settings = replace(SETTINGS, momentum=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(table, path, settings, callbacks=[Stopping()])
    kept = checkpoint.read_bytes()
    with pytest.raises(DeepRankingError, match=r"epochs: the run has done 2\.0, found 1; give more"):
        train(table, path, replace(settings, epochs=1), resume=True)
    assert checkpoint.read_bytes() == kept
    before = load_network(path)[0].get_weights()
    train(table, path, replace(settings, learning_rate=1e-12), resume=True)
    for a, b in zip(before, load_network(path)[0].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)  # it went on at a rate of next to nothing
    assert not checkpoint.exists()
