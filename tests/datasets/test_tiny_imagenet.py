"""Tiny ImageNet comes out one folder a class, train and val apart."""

import pytest

from deep_ranking.datasets import tiny_imagenet
from deep_ranking.datasets.archive import ArchiveError
from deep_ranking.datasets.tiny_imagenet import prepare_tiny_imagenet
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import find_classes

ROOT = "tiny-imagenet-200/"


def test_layout(pack, tiny_members, tmp_path):
    output = tmp_path / "tiny"
    counts = prepare_tiny_imagenet(output, pack(tiny_members), quiet=True)
    assert counts == {"classes": 3, "train": 6, "val": 4}
    assert find_classes(output / "train") == {
        wnid: [f"{wnid}/{wnid}_0.JPEG", f"{wnid}/{wnid}_1.JPEG"] for wnid in ("n01", "n02", "n03")
    }
    assert find_classes(output / "val") == {
        "n01": ["n01/val_0.JPEG", "n01/val_2.JPEG"],
        "n02": ["n02/val_1.JPEG"],
        "n03": ["n03/val_3.JPEG"],
    }
    assert (output / "classes.tsv").read_text() == "n02\tdog\nn01\tcat, house cat\nn03\tn03\n"
    assert sorted(path.name for path in output.iterdir()) == ["classes.tsv", "train", "val"]
    content = tiny_members[f"{ROOT}val/images/val_2.JPEG"]
    assert (output / "val/n01/val_2.JPEG").read_bytes() == content


def test_first_classes_in_the_archives_order(pack, tiny_members, tmp_path):
    counts = prepare_tiny_imagenet(tmp_path / "tiny", pack(tiny_members), classes=2, quiet=True)
    assert counts == {"classes": 2, "train": 4, "val": 3}
    assert set(find_classes(tmp_path / "tiny/train")) == {"n01", "n02"}
    assert (tmp_path / "tiny/classes.tsv").read_text() == "n02\tdog\nn01\tcat, house cat\n"


def test_an_archive_without_the_outer_folder(pack, tiny_members, tmp_path):
    members = {name.removeprefix(ROOT): content for name, content in tiny_members.items()}
    assert prepare_tiny_imagenet(tmp_path / "tiny", pack(members), quiet=True)["train"] == 6


@pytest.mark.parametrize("classes", [0, -1, 4])
def test_bad_number_of_classes(pack, tiny_members, tmp_path, classes):
    with pytest.raises(DeepRankingError, match=rf"classes: expected 1 to 3, .* found {classes}"):
        prepare_tiny_imagenet(tmp_path / "tiny", pack(tiny_members), classes=classes, quiet=True)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("val/val_annotations.txt", None, "found no val/val_annotations.txt"),
        ("val/val_annotations.txt", "val_0.JPEG\tn01\ngone.JPEG\tn02\n", "line 2: expected an image"),
        ("val/val_annotations.txt", "val_0.JPEG\n", "line 1: expected an image .*found 'val_0.JPEG'"),
        ("wnids.txt", None, r"expected a text file .*wnids\.txt"),
        ("words.txt", b"\xff\xfe", r"expected a text file .*words\.txt"),
        ("wnids.txt", "n01\nn99\n", "found none of n99"),
    ],
)
def test_other_layouts_leave_nothing(pack, tiny_members, tmp_path, name, content, problem):
    if content is None:
        del tiny_members[ROOT + name]
    else:
        tiny_members[ROOT + name] = content
    path = pack(tiny_members)
    with pytest.raises(ArchiveError, match=rf"archive\.zip.*{problem}"):
        prepare_tiny_imagenet(tmp_path / "tiny", path, quiet=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["archive.zip"]


def test_without_an_archive_it_is_downloaded_beside_the_output_and_kept(
    pack, tiny_members, tmp_path, monkeypatch
):
    asked = []

    def download(url, target, md5):
        asked.append((url, target, md5))
        return pack(tiny_members, target.name)

    monkeypatch.setattr(tiny_imagenet, "download", download)
    prepare_tiny_imagenet(tmp_path / "tiny", quiet=True)
    assert asked == [(tiny_imagenet.URL, tmp_path / "tiny-imagenet-200.zip", tiny_imagenet.MD5)]
    assert (tmp_path / "tiny-imagenet-200.zip").exists()


def test_a_folder_in_use_is_told_before_the_download(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "download", lambda *args: pytest.fail("downloaded for nothing"))
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DeepRankingError, match=r"expected an empty folder, found 'mine\.txt'"):
        prepare_tiny_imagenet(tmp_path)


def test_the_real_archive(shared, tmp_path):
    archive = shared / "data/tiny-imagenet-200-subset.zip"
    counts = prepare_tiny_imagenet(tmp_path / "tiny", archive, classes=5, quiet=True)
    assert counts == {"classes": 5, "train": 1000, "val": 250}
    classes = find_classes(tmp_path / "tiny/train")
    assert {len(images) for images in classes.values()} == {200}
    names = (tmp_path / "tiny/classes.tsv").read_text().splitlines()
    assert names[0] == "n02124075\tEgyptian cat"
    assert {line.split("\t")[0] for line in names} == set(classes) == set(find_classes(tmp_path / "tiny/val"))
