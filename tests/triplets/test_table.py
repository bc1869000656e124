"""Triplet files in memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.file import TripletFileError
from deep_ranking.triplets.table import Triplets


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.jpg", "a/2, final.jpg", "b/x-y.z.JPG"):
        path = tmp_path / "dataset" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image")
    return tmp_path


def load(data, *lines):
    (data / "triplets.txt").write_text("".join(line + "\n" for line in lines))
    return Triplets.load("triplets.txt", "dataset")


def test_each_image_stands_once_and_rows_keep_the_order(data):
    table = load(data, 'a/1.jpg,"a/2, final.jpg",b/x-y.z.JPG', '"a/2, final.jpg",a/1.jpg,b/x-y.z.JPG')
    names = [os.path.relpath(path, "dataset") for path in table.images]
    assert names == ["a/1.jpg", "a/2, final.jpg", "b/x-y.z.JPG"]
    assert table.rows.tolist() == [[0, 1, 2], [1, 0, 2]]


def test_absolute_names_and_the_blogs_names_are_found(data):
    blog = load(data, 'dataset/a/1.jpg,dataset/b/x-y.z.JPG,"./dataset/a/2, final.jpg"')
    assert [(data / "dataset/a/1.jpg").samefile(p) for p in blog.images] == [True, False, False]
    names = ("a/1.jpg", "a/2, final.jpg", "b/x-y.z.JPG")
    absolute = load(data, ",".join(f'"{data / "dataset" / name}"' for name in names))
    assert len(absolute.images) == 3
    # ... also where the sampler ran beside the data and training runs elsewhere.
    os.chdir("/")
    table = Triplets.load(data / "triplets.txt", data / "dataset")
    assert len(table) == 1


@pytest.mark.parametrize(
    "line",
    [
        "a/1.jpg,a/1.jpg,b/x-y.z.JPG",
        'a/1.jpg,"a/2, final.jpg","./a/2, final.jpg"',
        'a/1.jpg,"a/2, final.jpg",a/1.jpg',
    ],
)
def test_a_triplet_of_one_image_twice_is_refused_with_its_line(data, line):
    with pytest.raises(
        TripletFileError, match=r"triplets\.txt, line 2: expected three images, found one of them twice"
    ):
        load(data, 'a/1.jpg,"a/2, final.jpg",b/x-y.z.JPG', line)


def test_a_missing_image_names_file_and_line(data):
    with pytest.raises(
        TripletFileError, match=r"triplets\.txt, line 2: no image 'a/9\.jpg'.*in the folder dataset"
    ):
        load(data, 'a/1.jpg,"a/2, final.jpg",b/x-y.z.JPG', "a/1.jpg,a/9.jpg,b/x-y.z.JPG")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("a/1.jpg ,a/2.jpg,b/x.jpg", "; did you mean 'a/1.jpg'?"),
        (" a/1.jpg,a/2.jpg,b/x.jpg", "; did you mean 'a/1.jpg'?"),
        ("a\\1.jpg,a/2.jpg,b/x.jpg", "; did you mean 'a/1.jpg'?"),
        ("a/1.JPG,a/2.jpg,b/x.jpg", "; did you mean 'a/1.jpg'?"),
        ("query,positive,negative", "; a heading? begin its line with #"),
        ("a,a/2.jpg,b/x.jpg", "; that is a folder"),
        ("a/9.jpg,a/2.jpg,b/x.jpg", "in the folder dataset"),
        ("a/1.jpg\ta/2.jpg\tb/x.jpg", "; it has tabs where commas and line ends are wanted"),
        ("a/1.jpg;a/2.jpg;b/x.jpg", "; it has semicolons where commas and line ends are wanted"),
        ("a,b", '; quote a name that holds a comma: "a,b.jpg"'),
    ],
)
def test_what_was_meant_is_asked(data, line, hint):
    with pytest.raises(TripletFileError) as told:
        load(data, line)
    assert str(told.value).endswith(hint)


def test_no_file_no_folder_no_triplet(data):
    with pytest.raises(
        DeepRankingError, match=r"none\.txt: expected a triplet file.*deep-ranking sample dataset"
    ):
        Triplets.load("none.txt", "dataset")
    with pytest.raises(DeepRankingError, match="expected triplets, found none"):
        load(data, "# nothing")
    with pytest.raises(DeepRankingError, match="prepare demo --output dataset"):
        Triplets.load("triplets.txt", "nowhere")


def test_the_fingerprint_tells_triplets_apart(data):
    one = load(data, 'a/1.jpg,"a/2, final.jpg",b/x-y.z.JPG').fingerprint
    same = load(data, "# a comment", "", 'a/1.jpg,"a/2, final.jpg",b/x-y.z.JPG').fingerprint
    other = load(data, 'a/1.jpg,b/x-y.z.JPG,"a/2, final.jpg"').fingerprint
    assert one == same != other


def test_sampled_is_what_the_command_writes_and_reads(striped_classes, run, tmp_path):
    done = run("sample", "--num_pos_images", "2", "--num_neg_images", "3", "--seed", "5", "--quiet")
    assert done.returncode == 0, done.stderr
    loaded = Triplets.load(tmp_path / "triplets.txt", striped_classes)
    sampled = Triplets.sample(striped_classes, positives=2, negatives=3, seed=5)
    assert sampled.images == loaded.images
    np.testing.assert_array_equal(sampled.rows, loaded.rows)
    assert sampled.rows.dtype == loaded.rows.dtype
    assert sampled.fingerprint == loaded.fingerprint
    sampled.save(tmp_path / "saved.txt", striped_classes)
    assert (tmp_path / "saved.txt").read_bytes() == (tmp_path / "triplets.txt").read_bytes()
    assert Triplets.sample(striped_classes, 2, 3, seed=6).fingerprint != sampled.fingerprint


def test_saved_names_images_elsewhere_by_their_whole_path(striped_classes, tmp_path):
    sampled = Triplets.sample(striped_classes, positives=1, negatives=1)
    sampled.save(tmp_path / "saved.txt.gz", striped_classes / "across")
    again = Triplets.load(tmp_path / "saved.txt.gz", striped_classes / "across")
    assert all(Path(image).samefile(other) for image, other in zip(again.images, sampled.images, strict=True))
    np.testing.assert_array_equal(again.rows, sampled.rows)
    with pytest.raises(DeepRankingError, match="expected a folder of images"):
        Triplets.sample(tmp_path / "gone")
