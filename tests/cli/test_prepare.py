"""`deep-ranking prepare` as a person types it."""

import json

import pytest
from PIL import Image

from deep_ranking.cli import main
from deep_ranking.cli.image_folders import tell_left_out
from deep_ranking.datasets.demo import read_relevance
from deep_ranking.images.find import find_classes, look_into
from deep_ranking.triplets import read_triplets


def test_demo_fills_a_folder_that_ships_with_a_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/README.md").write_text("put images here")
    assert main(["prepare", "demo", "--images_per_class", "3", "--size", "32"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("dataset: 8 classes, 24 images\n")
    assert output.out.endswith("next: deep-ranking sample dataset\n")
    assert "drawing dataset" in output.err
    assert sum(map(len, find_classes(tmp_path / "dataset").values())) == 24
    assert main(["prepare", "demo", "--quiet"]) == 1
    assert "error: dataset: expected an empty folder" in capsys.readouterr().err


def test_demo_with_validation_and_triplets_of_known_relevance(tmp_path, capsys):
    flags = ["--images_per_class", "4", "--size", "32", "--quiet", "--json", "--seed", "3"]
    for flag, name in (
        ("--output", "train"),
        ("--triplets", "t.txt"),
        ("--validation_output", "val"),
        ("--validation_triplets", "v.txt"),
    ):
        flags += [flag, str(tmp_path / name)]
    assert main(["prepare", "demo", *flags]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    summary = json.loads(output.out)
    assert summary["images"] == summary["validation_images"] == 32
    for folder, file, count in (
        ("train", "t.txt", summary["triplets"]),
        ("val", "v.txt", summary["validation_triplets"]),
    ):
        triplets = list(read_triplets(tmp_path / file))
        assert len(triplets) == count > 0
        assert all((tmp_path / folder / name).is_file() for triplet in triplets for name in triplet)
    assert read_relevance(tmp_path / "train/relevance.csv") != read_relevance(tmp_path / "val/relevance.csv")


def test_demo_refuses_before_it_draws(tmp_path, capsys):
    (tmp_path / "val").mkdir()
    (tmp_path / "val/mine.txt").write_text("mine")
    flags = ["--output", str(tmp_path / "train"), "--validation_output", str(tmp_path / "val"), "--quiet"]
    assert main(["prepare", "demo", *flags]) == 1
    assert "found 'mine.txt'" in capsys.readouterr().err
    assert not (tmp_path / "train").exists()
    assert main(["prepare", "demo", "--output", str(tmp_path / "x"), "--validation_triplets", "v.txt"]) == 1
    assert "--validation_triplets needs --validation_output" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--images_per_class", "--size", "--seed"])
def test_demo_with_a_number_out_of_range(tmp_path, capsys, flag):
    assert main(["prepare", "demo", "--output", str(tmp_path / "x"), flag, "-1"]) == 1
    assert f"error: {flag[2:]}: expected" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_real_archives(shared, tmp_path, capsys):
    data, tiny, human = shared / "data", tmp_path / "tiny", tmp_path / "human"
    archive = str(data / "tiny-imagenet-200-subset.zip")
    assert (
        main(["prepare", "tiny-imagenet", "--archive", archive, "--output", str(tiny), "--classes", "2"]) == 0
    )
    output = capsys.readouterr()
    assert output.out.startswith(f"{tiny}: 2 classes, 400 train, 100 val\n")
    assert "unpacking Tiny ImageNet" in output.err
    archive = str(data / "human-triplets-development.zip")
    assert main(["prepare", "human-triplets", "--archive", archive, "--output", str(human), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["triplets"] == 2464


@pytest.mark.parametrize("data_set", ["tiny-imagenet", "human-triplets"])
def test_an_archive_that_is_none(tmp_path, capsys, data_set):
    (tmp_path / "a.zip").write_text("not one")
    flags = ["--archive", str(tmp_path / "a.zip"), "--output", str(tmp_path / "new")]
    assert main(["prepare", data_set, *flags]) == 1
    assert f"{tmp_path / 'a.zip'}: expected a whole ZIP archive" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("argv", [[], ["nothing"], ["tiny-imagenet"], ["demo", "--size", "x"]])
def test_usage_errors(argv, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["prepare", *argv])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("deep-ranking prepare")
    assert "error: " in error
    assert error.count("\n") == 1


def test_files_that_nobody_takes_for_images_are_no_warning(tmp_path, caplog, capsys):
    """As the demo's own table of what it drew; an image among them that is none is one."""
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for name in ("relevance.csv", "README"):
        (tmp_path / name).write_text("words")
    tell_left_out(look_into(str(tmp_path)))
    assert (
        capsys.readouterr().err == f"{tmp_path}: 1 images; beside them 2 other files: README, relevance.csv\n"
    )
    assert not caplog.messages
    (tmp_path / "b.jpg").write_text("words")
    tell_left_out(look_into(str(tmp_path)))
    assert "1 images; 3 left out" in caplog.text
