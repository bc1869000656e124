"""Training without a triplet file: drawn as it goes, or mined in batches."""

from dataclasses import replace

import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import find_classes
from deep_ranking.network.file import read_metadata
from deep_ranking.network.network import NetworkSettings
from deep_ranking.training import callbacks
from deep_ranking.training.callbacks import Validation
from deep_ranking.training.run import train
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.online import OnlineTriplets
from deep_ranking.triplets.relevance import FeatureRelevance, LabelRelevance
from deep_ranking.triplets.settings import ImportanceSettings
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler

SETTINGS = TrainingSettings(
    NetworkSettings("simple", image_size=32, embedding_size=8), weights="none", epochs=2, batch_size=12
)
FROZEN = replace(
    SETTINGS,
    network=replace(SETTINGS.network, low_resolution="none"),
    mining="proxies",
    classes_per_batch=2,
    images_per_class=2,
    schedule="cosine",
    warmup=0.2,
    train_from="convolution_2",
    views=3,
)
MINING = replace(SETTINGS, mining="semi-hard", classes_per_batch=2, images_per_class=2)


@pytest.fixture
def validation(striped_classes):
    sampler = UniformSampler(find_classes(striped_classes), 2, 2, seed=1)
    images = [str(striped_classes / name) for name in sampler.images]
    return Triplets(images, np.concatenate(list(sampler.blocks())), "0" * 64)


@pytest.fixture
def stopped_at(monkeypatch):
    """Make a run stop after a step, as by Ctrl-C; None lets it run."""
    after = callbacks.SaveBest.on_train_batch_end

    def at(step):
        def count(self, batch, logs=None):
            after(self, batch, logs)
            if self.state.step == step:
                raise KeyboardInterrupt

        monkeypatch.setattr(callbacks.SaveBest, "on_train_batch_end", count)

    return at


def by_noise(labelled):
    relevance = FeatureRelevance(labelled.labels, {"noise": np.random.default_rng(0).normal(size=(18, 2))})
    return OnlineTriplets(labelled, relevance, count=19, capacity=4)


@pytest.mark.parametrize(
    (
        "settings",
        "training",
        "stop",
    ),  # in the second epoch, a step after a checkpoint: 5 steps an epoch, and 3
    [
        (SETTINGS, by_noise, 9),
        pytest.param(MINING, lambda labelled: labelled, 5, marks=pytest.mark.long),
        (FROZEN, lambda labelled: labelled, 5),
    ],
)
def test_a_run_stopped_in_an_epoch_resumes_to_the_same_weights(
    labelled, tmp_path, stopped_at, settings, training, stop
):
    def run(name, **options):
        return train(training(labelled), tmp_path / name, settings, checkpoint_steps=2, **options)

    whole = run("whole.h5")
    stopped_at(stop)
    with pytest.raises(KeyboardInterrupt):
        run("stopped.h5")
    stopped_at(None)
    resumed = run("stopped.h5", resume=True)
    for expected, found in zip(whole.network.get_weights(), resumed.network.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(resumed.history) == settings.epochs + 1


def test_another_seed_or_other_settings_are_not_resumed(labelled, tmp_path, stopped_at):
    def online(**changes):
        settings = ImportanceSettings(out_of_class_ratio=1)
        options = {"count": 40, "settings": settings, **changes}
        return OnlineTriplets(labelled, LabelRelevance(labelled.labels), **options)

    stopped_at(3)
    with pytest.raises(KeyboardInterrupt):
        train(online(), tmp_path / "model.h5", SETTINGS, checkpoint_steps=2)
    for other in (online(seed=1), online(count=41), online(capacity=3)):
        with pytest.raises(DeepRankingError, match="other settings or triplets"):
            train(other, tmp_path / "model.h5", SETTINGS, resume=True)


def test_online_triplets_teach_and_are_told_of_in_the_model(labelled, validation, tmp_path):
    relevance = LabelRelevance(labelled.labels)
    triplets = OnlineTriplets(
        labelled, relevance, 120, capacity=5, settings=ImportanceSettings(out_of_class_ratio=1)
    )
    trained = train(triplets, tmp_path / "model.h5", replace(SETTINGS, epochs=3), validation)
    assert trained.best["val_similarity_precision"] > trained.history[0]["val_similarity_precision"] + 0.1
    told = read_metadata(tmp_path / "model.h5")["triplets"]
    assert (told["sampling"], told["capacity"], told["count"]) == ("online", 5, 120)
    assert told["sha256"] == triplets.fingerprint


@pytest.mark.parametrize(
    ("mining", "distance", "gap"),
    [
        pytest.param("all", "squared_euclidean", 0.2, marks=pytest.mark.long),
        ("semi-hard", "squared_euclidean", 0.2),
        # With the squared distance it collapses from random weights.
        pytest.param("hard", "euclidean", 1.0, marks=pytest.mark.long),
    ],
)
def test_mining_teaches(labelled, validation, tmp_path, mining, distance, gap):
    settings = replace(
        SETTINGS,
        network=replace(SETTINGS.network, dropout=0.0),
        mining=mining,
        distance=distance,
        gap=gap,
        classes_per_batch=3,
        images_per_class=6,
        augmentation="none",
        epochs=25,
    )
    trained = train(labelled, tmp_path / "model.h5", settings)
    assert trained.history[-1]["similarity_precision"] > trained.history[1]["similarity_precision"] + 0.2
    learned = Validation(Model(trained.network), validation, gap, distance).measure()
    assert learned["val_similarity_precision"] > 0.8
    told = read_metadata(tmp_path / "model.h5")
    assert told["settings"]["mining"] == mining
    assert (told["triplets"]["images"], told["triplets"]["classes"]) == (18, 3)


def test_mining_wants_classes_and_triplets_want_none(labelled, validation, tmp_path):
    with pytest.raises(DeepRankingError, match=r"expected images with classes .* found Triplets"):
        train(validation, tmp_path / "model.h5", MINING)
    with pytest.raises(DeepRankingError, match=r"expected triplets .* found LabelledImages"):
        train(labelled, tmp_path / "model.h5", SETTINGS)
    with pytest.raises(DeepRankingError, match=r"expected 4 classes \(classes_per_batch\)"):
        train(labelled, tmp_path / "model.h5", replace(MINING, classes_per_batch=4))
    for wrong in ({"mining": "soft"}, {"classes_per_batch": 1}, {"images_per_class": 1}):
        with pytest.raises(DeepRankingError, match=f"{next(iter(wrong))}: expected"):
            replace(SETTINGS, **wrong)
