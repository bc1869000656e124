"""What `train` learns from, by its flags."""

import argparse

import numpy as np
import pytest

from deep_ranking.cli import train, training_data
from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets import Triplet, write_triplets
from deep_ranking.triplets.table import LabelledImages


@pytest.fixture
def read(striped_classes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_triplets("triplets.txt", [Triplet("down/0.png", "down/1.png", "slant/0.png")])

    def read(*flags):
        parser = argparse.ArgumentParser()
        train.add_arguments(parser)
        return training_data.read(parser.parse_args(flags))

    return read


def test_the_classes_of_a_file_are_the_default_and_its_triplets_where_steps_are_asked_for(read):
    training, validation = read()
    assert [path[-10:] for path in training.images] == [
        "down/0.png",
        "down/1.png",
    ]  # of slant nothing is known
    assert validation is None
    assert training_data.summary(training) == "2 images of 1 classes"
    for flags in (["--preset", "paper"], ["--epochs", "3"], ["--weights", "none"], ["--backbone", "simple"]):
        training, _ = read(*flags)
        assert training.rows.tolist() == [[0, 1, 2]]
        assert training_data.summary(training) == "1 triplet of 3 images"


def test_without_a_file_here_or_of_another_folder_the_class_folders_are_learned_from(read, tmp_path, caplog):
    (tmp_path / "dataset").rename(tmp_path / "photos")
    assert training_data.summary(read("--dataset", "photos")[0]) == "18 images of 3 classes"
    (tmp_path / "photos").rename(tmp_path / "dataset")
    finer = [
        Triplet("down/0.png", "down/1.png", "slant/0.png"),
        Triplet("down/1.png", "down/2.png", "down/0.png"),
    ]
    write_triplets("triplets.txt", finer)
    assert training_data.summary(read()[0]) == "2 triplets of 4 images"
    assert (
        "triplets.txt: its triplets tell more than classes, so they are learned from by steps" in caplog.text
    )
    with pytest.raises(DeepRankingError, match="tell more than classes; learn from them by steps"):
        read("--preset", "features")
    (tmp_path / "triplets.txt").unlink()
    assert training_data.summary(read()[0]) == "18 images of 3 classes"


def test_steps_beside_the_features_are_refused(read):
    with pytest.raises(DeepRankingError, match="--mining, --epochs: no effect with --preset features"):
        read("--preset", "features", "--epochs", "2", "--mining", "hard")


def test_online_draws_by_the_flags_from_all_but_the_validation(read, tmp_path):
    training, validation = read("--sampling", "online", "--validation_triplets", "triplets.txt")
    assert len(validation) == 1
    assert len(training.images) == 15
    assert not set(training.images) & set(validation.images)
    assert training_data.summary(training) == "150 triplets drawn in each of 15 images"
    assert training.settings.out_of_class_ratio == 1

    names = [f"{name}/{i}.png" for name in ("across", "down", "slant") for i in range(6)]
    np.savez(tmp_path / "f.npz", paths=names, value=np.random.default_rng(0).normal(size=(18, 2)))
    flags = "--sampling online --triplets_per_epoch 70 --reservoir_capacity 4 --seed 2 --relevance features"
    training, _ = read(*flags.split(), "--features", "f.npz", "--out_of_class_ratio", "0.5")
    assert (len(training), training.capacity, training.seed) == (70, 4, 2)
    assert training.settings.out_of_class_ratio == 0.5


def test_mining_takes_the_class_folders(read):
    training, _ = read("--mining", "hard", "--classes_per_batch", "3")
    assert isinstance(training, LabelledImages)
    assert training_data.summary(training) == "18 images of 3 classes"


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ("--sampling online --mining hard", "--mining makes its own triplets"),
        ("--sampling online --triplets x.txt", "--triplets: no effect with --sampling online or --mining"),
        ("--mining all --triplets x.txt", "--triplets: no effect with --sampling online or --mining"),
        ("--mining all --batch_size 24", "--batch_size: no effect with --mining, whose batches"),
        ("--images_per_class 4", "--images_per_class: no effect without --mining"),
        (
            "--sampling online --classes_per_batch 4 --images_per_class 4",
            "--classes_per_batch, --images_per_class: no effect without --mining",
        ),
        (
            "--mining hard --scale 9 --smoothing 0.1",
            "--scale, --smoothing: no effect without --mining proxies",
        ),
        ("--validation_dataset val", "--validation_dataset: no effect without --validation_triplets"),
        ("--views 2", "--views: no effect without --train_from"),
        ("--mining all --engine openvino", "--engine: no effect without --train_from or --discriminants"),
        ("--discriminants 0.3", "--discriminants: no effect without --mining"),
        ("--triplets_per_epoch 9", "--triplets_per_epoch: no effect without --sampling online"),
        ("--mining all --out_of_class_ratio 1", "--out_of_class_ratio: no effect without --sampling online"),
        ("--sampling online --triplets_per_epoch 0", "count: expected 1 or more, found 0"),
        ("--sampling online --relevance pairs", "name it with --pairs"),
        ("--sampling online --dataset nowhere", "nowhere: expected a folder of images, found nothing"),
    ],
)
def test_flags_that_do_not_fit_are_refused(read, flags, problem):
    with pytest.raises(DeepRankingError, match=problem):
        read(*flags.split())


def test_validation_of_all_images_leaves_none(read):
    names = [f"{name}/{i}.png" for name in ("across", "down", "slant") for i in range(6)]
    write_triplets("all.txt", [Triplet(*names[i : i + 3]) for i in range(0, 18, 3)])
    with pytest.raises(DeepRankingError, match="none is left to learn from"):
        read("--mining", "all", "--validation_triplets", "all.txt")
