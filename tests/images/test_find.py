"""Images and classes are found by content, in an order of their own, and nothing vanishes unseen."""

import os
from pathlib import Path

import pytest
from PIL import Image

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import find_classes, find_images


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in (
        "b/2.png",
        "b/1.JPG",
        "a/deep/er/x.png",
        "a/写 真.png",
        "c,d/q'.png",
        ".hidden/no.png",
        "a/.no.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path, "PNG")
    (tmp_path / "b/notes.txt").write_text("text")
    (tmp_path / "b/fake.jpg").write_text("text")
    (tmp_path / "b/empty.png").write_bytes(b"")
    (tmp_path / "README.md").write_text("text")
    return tmp_path


def test_images_are_found_sorted_by_content(folder):
    skipped = []
    images = find_images(folder, skipped.append)
    assert images == ["a/deep/er/x.png", "a/写 真.png", "b/1.JPG", "b/2.png", "c,d/q'.png"]
    assert sorted(skipped) == ["README.md", "b/empty.png", "b/fake.jpg", "b/notes.txt"]


def test_classes_are_the_folders_directly_below(folder):
    assert find_classes(folder) == {
        "a": ["a/deep/er/x.png", "a/写 真.png"],
        "b": ["b/1.JPG", "b/2.png"],
        "c,d": ["c,d/q'.png"],
    }


def test_images_of_no_class_are_reported_and_a_readme_beside_the_classes_is_not(folder):
    Image.new("RGB", (2, 2)).save(folder / "loose.png")
    skipped = []
    assert set(find_classes(folder, skipped.append)) == {"a", "b", "c,d"}
    assert sorted(skipped) == ["b/empty.png", "b/fake.jpg", "b/notes.txt", "loose.png"]


def test_names_that_are_not_utf8(folder):
    name = os.fsdecode(b"\xff.png")
    Image.new("RGB", (2, 2)).save(folder / "b" / name)
    assert f"b/{name}" in find_images(folder)


def test_links(folder, tmp_path_factory):
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "b/link.png").symlink_to(folder / "b/2.png")
    (folder / "b/broken.png").symlink_to(folder / "gone.png")
    skipped = []
    images = find_images(folder, skipped.append)
    assert "b/link.png" in images
    assert not [image for image in images if image.startswith("loop")]
    assert "b/broken.png" in skipped


def test_a_folder_that_cannot_be_listed_is_an_error(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match="/b"):
        find_classes(folder)


@pytest.mark.parametrize(("name", "found"), [("gone", "nothing"), ("README.md", "a file")])
def test_not_a_folder(folder, name, found):
    with pytest.raises(DeepRankingError, match=f"{name}: expected a folder of images, found {found}"):
        find_images(folder / name)


def test_no_class(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "loose.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeepRankingError, match=r"one sub-folder a class.*deep-ranking prepare demo"):
        find_classes(tmp_path)
