"""Without --weights, training starts from ImageNet's where they can be had; they are fetched once."""

import json

import keras
import pytest

from deep_ranking.cli import main

FLAGS = "--backbone mobilenetv2 --image_size 32 --embedding_size 4 --epochs 0 --quiet --json"


@pytest.fixture
def train(striped_classes, tmp_path, monkeypatch, capsys):
    """Run `train` with what stands for the download; give its status, its output, what was built."""
    (tmp_path / "triplets.txt").write_text("down/0.png,down/1.png,slant/0.png\n")
    monkeypatch.delenv("DEEP_RANKING_WEIGHTS", raising=False)  # it would stand for the download
    monkeypatch.chdir(tmp_path)
    build = keras.applications.MobileNetV2

    def run(download, *flags):
        built = []

        def application(weights, **options):
            built.append(weights)
            if weights == "imagenet":
                download()
            return build(weights=None, **options)

        monkeypatch.setattr(keras.applications, "MobileNetV2", application)
        status = main(["train", *FLAGS.split(), *flags])
        return status, capsys.readouterr(), built

    return run


def offline():
    raise Exception("URL fetch failure")  # what Keras raises


def test_the_backbone_is_built_for_the_network_and_once_for_its_weights(train):
    status, output, built = train(lambda: None)
    assert (status, built) == (0, [None, "imagenet"])
    assert json.loads(output.out)["model"] == "deepranking.h5"


def test_without_a_download_it_starts_from_random_weights_and_says_so(train, tmp_path, caplog):
    status, _, built = train(offline)
    assert (status, built) == (0, [None, "imagenet", None])
    assert "starting from random weights, which learn far slower" in caplog.text
    assert "URL fetch failure" in caplog.text
    from deep_ranking.network.file import read_metadata

    assert read_metadata(tmp_path / "deepranking.h5")["settings"]["weights"] == "none"


def test_weights_that_were_asked_for_are_not_replaced(train, tmp_path):
    status, output, _ = train(offline, "--weights", "imagenet")
    assert status == 1
    assert "could not be downloaded" in output.err
    assert not (tmp_path / "deepranking.h5").exists()
