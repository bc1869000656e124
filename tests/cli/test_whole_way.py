"""The three commands under the blog's names, one after the other, as a user types them."""

import json

import pytest

TRAIN = ["--backbone", "simple", "--weights", "none", "--image_size", 32, "--embedding_size", 8]
TRAIN += ["--batch_size", 12, "--epochs", 1]


@pytest.mark.parametrize(
    "fresh",
    [pytest.param(False, id="warm"), pytest.param(True, id="fresh", marks=pytest.mark.long)],
)
def test_sample_train_compare(striped_classes, tmp_path, run, fresh):
    sampled = run(
        "triplet_sampler.py", "--input_directory", "dataset", "--output_directory", "out",
        "--num_pos_images", 2, "--num_neg_images", 2, "--validation_split", 0.34,
    )  # fmt: skip
    assert sampled.returncode == 0, sampled.stderr
    assert sampled.stdout.splitlines() == [
        "out/triplets.txt: 48 triplets over 12 images of 3 classes",
        "out/validation_triplets.txt: 12 triplets over 6 images of 3 classes",
    ]
    assert sampled.stderr.endswith(
        "next: deep-ranking train --dataset dataset --triplets out/triplets.txt "
        "--validation_triplets out/validation_triplets.txt\n"
    )
    first = (tmp_path / "out/triplets.txt").read_bytes()
    assert first.count(b"\n") == 48

    trained = run(
        "train.py", *TRAIN, "--triplets", "out/triplets.txt", "--validation_triplets",
        "out/validation_triplets.txt", "--json", "--quiet", fresh=fresh,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == ""
    result = json.loads(trained.stdout)
    assert result["model"] == "deepranking.h5"
    assert [logs["epoch"] for logs in result["history"]] == [0, 1]
    assert result["history"][1]["loss"] > 0  # the best may be the start, which has none

    images = [f"dataset/{name}" for name in ("down/0.png", "down/0.png", "across/1.png")]
    distances = []
    for other in images[1:]:
        flags = ["--model", "deepranking.h5", "--image1", images[0], "--image2", other]
        compared = run("similarity.py", *flags, "--quiet", fresh=fresh)
        assert compared.returncode == 0, compared.stderr
        assert compared.stderr == ""
        distances.append(float(compared.stdout.splitlines()[-1]))
    assert distances[0] == 0
    assert 0 < distances[1] <= 2


def test_the_sampler_writes_the_same_bytes_again(striped_classes, tmp_path, run):
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert run("triplet_sampler.py", "--output_directory", folder, "--seed", seed).returncode == 0
    a, b, c = ((tmp_path / folder / "triplets.txt").read_bytes() for folder in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        (
            ["triplet_sampler.py", "--input_directory", "none"],
            1,
            "none: expected a folder of images, found nothing",
        ),
        (["triplet_sampler.py", "--num_pos_images", "0"], 1, "num_pos_images: expected 1 or more, found 0"),
        (
            ["triplet_sampler.py", "--num_pos_images", "x"],
            2,
            "--num_pos_images: expected a whole number, found 'x'",
        ),
        (["triplet_sampler.py", "--validation_split", "2"], 1, "expected a share above 0 and below 1"),
        (["similarity.py", "--image1", "a.jpg", "--image2", "b.jpg"], 1, "a.jpg: no such image"),
        (["similarity.py"], 2, "--image1"),
        (["triplet_sampler.py", "--output_directory", "dataset/down/0.png"], 1, "cannot be written there"),
        (["triplet_sampler.py", "--seed", "-1"], 1, "seed: expected 0 or more, found -1"),
    ],
)
def test_bad_input_is_said_without_a_traceback(striped_classes, tmp_path, run, command, status, message):
    done = run(*command, fresh=True)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("triplets*"))


def test_a_class_with_one_image_is_reported(striped_classes, tmp_path, run):
    for image in sorted((striped_classes / "slant").iterdir())[1:]:
        image.unlink()
    (striped_classes / "slant/notes.jpg").write_text("no image")
    done = run("triplet_sampler.py")
    assert done.returncode == 0
    assert "1 classes have one image" in done.stderr
    assert "slant" in done.stderr
    assert "1 left out:\n  1  not an image  slant/notes.jpg" in done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "dataset/down/0.png/x.h5"], "dataset/down/0.png/x.h5: cannot be written there"),
        (["--checkpoint_steps", "0"], "checkpoint_steps: expected 1 or more, found 0"),
        (["--workers", "0"], "workers: expected 1 or more, found 0"),
        (["--tensorboard", "dataset/down/0.png"], "cannot be written there"),
        (["--embedding_size", "2000000000"], "out of memory; take smaller batches"),
    ],
)
def test_what_cannot_be_trained_is_said_before_it_begins(striped_classes, tmp_path, run, flags, message):
    assert run("triplet_sampler.py", "--num_pos_images", 1, "--num_neg_images", 1).returncode == 0
    done = run("train.py", *TRAIN, *flags)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "deepranking.h5").exists()


def test_validation_triplets_left_by_an_earlier_run_are_pointed_out(striped_classes, run):
    assert run("triplet_sampler.py", "--validation_split", 0.34).stderr.count("warning") == 0
    done = run("triplet_sampler.py")
    assert done.returncode == 0
    assert "validation_triplets.txt is of an earlier run" in done.stderr
