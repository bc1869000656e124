"""Learning on kept features: what is written, and what is told of it."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from stripes import draw_stripes

import deep_ranking as dr
from deep_ranking.embedding.baselines import systems
from deep_ranking.errors import DeepRankingError
from deep_ranking.network.file import read_metadata
from deep_ranking.training import kept
from deep_ranking.training.head import choose_head

NETWORK = dr.NetworkSettings(
    "simple", image_size=32, embedding_size=0, low_resolution="none", fully_connected=False
)


@pytest.fixture
def settings(tmp_path):
    """Of a backbone whose weights are in a file, as published ones would be."""
    dr.build_network(NETWORK).get_layer("backbone").save_weights(tmp_path / "b.weights.h5")
    weights = str(tmp_path / "b.weights.h5")
    return replace(dr.TrainingSettings.features(), network=NETWORK, weights=weights, engine="keras")


def features(settings, images):
    network = dr.build_network(NETWORK)
    dr.load_weights(network, NETWORK, settings.weights)
    return dr.Model(network).embed_all(images)


@pytest.mark.parametrize(("name", "size"), [("model.h5", 0), ("model.keras", 3)])
def test_the_saved_network_is_the_head_on_the_features(labelled, settings, tmp_path, monkeypatch, name, size):
    monkeypatch.setattr("deep_ranking.training.head._CERTAIN", 0)  # of 18 images little is certain
    settings = replace(settings, network=replace(NETWORK, embedding_size=size))
    trained = dr.train(labelled, tmp_path / name, settings)
    plain = features(settings, labelled.images)
    chosen = choose_head(plain, labelled.labels)
    expected = (chosen.head.reduced(plain, size) if size else chosen.head)(plain)
    saved = dr.load(tmp_path / name, engine="keras").encode(labelled.images)
    np.testing.assert_allclose(saved, expected, atol=2e-5)
    np.testing.assert_allclose(dr.Model(trained.network).encode(labelled.images), saved, atol=1e-6)
    assert trained.verdict == chosen.verdict
    about = read_metadata(tmp_path / name)
    assert about["settings"]["network"]["embedding_size"] == saved.shape[1] == (size or 256)
    assert about["head"]["gain"] == chosen.gain
    with (tmp_path / "model.csv").open() as file:
        start, model = csv.DictReader(file)
    assert float(start["val_map@r"]) == chosen.verdict.start["map@r"].value
    assert float(model["val_map@r"]) == chosen.verdict.model["map@r"].value


def test_where_nothing_is_better_the_start_is_written(labelled, settings, tmp_path, monkeypatch):
    def none(*given):
        chosen = choose_head(*given)
        return chosen._replace(head=None, verdict=replace(chosen.verdict, better=False))

    monkeypatch.setattr(kept, "choose_head", none)
    trained = dr.train(labelled, tmp_path / "model.h5", settings)
    saved = dr.load(tmp_path / "model.h5", engine="keras")
    np.testing.assert_allclose(saved.encode(labelled.images), features(settings, labelled.images), atol=1e-6)
    assert "so that is what model.h5 holds" in trained.verdict.sentence("model.h5")
    assert "start" not in dict(systems(saved, baselines=True))  # it would be the model itself


def test_the_start_stands_beside_the_model(labelled, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("deep_ranking.training.head._CERTAIN", 0)  # of 18 images little is certain
    dr.train(labelled, tmp_path / "model.h5", settings)
    found = dict(systems(dr.load(tmp_path / "model.h5", engine="keras"), baselines=True))
    assert list(found) == ["model", "start", "colour histogram"]
    expected = features(settings, labelled.images)
    np.testing.assert_allclose(found["start"].encode(labelled.images), expected, atol=1e-6)


def test_broken_images_are_all_named_and_may_be_left_out(
    labelled, settings, striped_classes, tmp_path, caplog
):
    for name in ("slant/2.png", "down/0.png"):
        (striped_classes / name).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for steps in (
        settings,
        replace(settings, on_features=False, mining="all", epochs=1, classes_per_batch=3),
    ):
        with pytest.raises(DeepRankingError, match=r"2 of 18 .*down/0\.png.*slant/2\.png.*leave_out_broken"):
            dr.train(labelled, tmp_path / "model.h5", steps)
        assert not (tmp_path / "model.h5").exists()
        trained = dr.train(labelled, tmp_path / "model.h5", steps, leave_out_broken=True)
        assert "left out: 2 of 18 images cannot be read" in caplog.text
        (tmp_path / "model.h5").unlink()
    assert trained.history


def test_a_user_is_told_in_one_sentence(settings, tmp_path, run):
    draw_stripes(tmp_path / "dataset", 40)
    flags = (
        "--preset features --backbone simple --image_size 32 --engine keras --quiet --weights b.weights.h5"
    )
    done = run("train", *flags.split())
    assert done.returncode == 0, done.stderr
    first, sentence, _, head, *_ = done.stdout.splitlines()
    assert first == "deepranking.h5: a linear layer learned from 120 images of 3 classes"
    assert sentence.startswith("Better than the pretrained features on 120 images held out in turn: ")
    assert head.split() == ["model", "start"]
    told = json.loads(run("train", *flags.split(), "--json").stdout)
    assert told["verdict"]["better"]
    assert (
        run(
            "similarity", *["dataset/down/0.png", "dataset/down/1.png"], "--model", "deepranking.h5"
        ).returncode
        == 0
    )


def test_copies_are_learned_from_once_so_that_none_is_held_out_from_itself(
    labelled, settings, tmp_path, caplog
):
    """Else each would be found in what was learned from, and a head that learned it by heart be the best."""
    again = []
    for number, image in enumerate(labelled.images):
        again.append(str(tmp_path / f"copy {number}.png"))
        shutil.copy(image, again[-1])
    both = replace(
        labelled, images=labelled.images + again, labels=np.concatenate([labelled.labels, labelled.labels])
    )
    once = dr.train(labelled, tmp_path / "once.h5", settings)
    assert dr.train(both, tmp_path / "twice.h5", settings).verdict == once.verdict
    count = len(labelled.images)
    told = f"{count} of {2 * count} images are copies of others of their class (the same bytes)"
    assert f"{told}; each is learned from once" in caplog.text


def test_data_without_a_pair_is_refused_before_anything_is_loaded(labelled, settings, tmp_path):
    one = replace(labelled, images=labelled.images[:2], labels=np.array([0, 1]))
    settings = replace(settings, weights=str(tmp_path / "no such file.h5"))
    with pytest.raises(DeepRankingError, match="expected a class with two images or more"):
        dr.train(one, tmp_path / "model.h5", settings)
