"""Images and classes are found by content, in an order of their own, and nothing vanishes unseen."""

import os
from pathlib import Path

import pytest
from PIL import Image

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import find_classes, find_images, look_into


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


def test_an_empty_path_is_not_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(DeepRankingError, match=r"^: expected a folder of images, found nothing"):
        find_images("")


def test_no_class(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "loose.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeepRankingError, match=r"one sub-folder a class.*deep-ranking prepare demo"):
        find_classes(tmp_path)


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path, "PNG")
    return path


def test_a_linked_folder_is_walked_once_and_named_where_it_is_not(tmp_path):
    root, away = tmp_path / "root", tmp_path / "away"
    for name in ("cats/1.png", "cats/deep/2.png"):
        image(root / name)
    image(away / "birds/3.png")
    image(away / "4.png")
    (away / "back").symlink_to(root)  # a loop over the link
    (away / "birds/up").symlink_to("..")
    for name, target in {
        "birds": away / "birds",  # the first link by name that leads there
        "cousins": away,
        "again": root / "cats",
        "cats/loop": root,
        "gone": away / "nothing",
    }.items():
        (root / name).symlink_to(target)
    found = look_into(root)
    assert found.images == ["birds/3.png", "cats/1.png", "cats/deep/2.png", "cousins/4.png"]
    second = "linked folder that is taken under its own name or another link"
    assert found.left_out == {
        "again/": second,
        "cats/loop/": second,
        "birds/up/": second,
        "cousins/back/": second,
        "cousins/birds/": second,
        "gone": "broken link",
    }
    assert find_images(root) == found.images


def test_classes_that_are_links(tmp_path):
    image(tmp_path / "disk/green/1.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/green").symlink_to("../disk/green")
    assert find_classes(tmp_path / "data") == {"green": ["green/1.png"]}


def test_what_is_excluded_is_excluded_by_name_path_or_pattern(tmp_path):
    for name in (
        "a/@eaDir/x.png/SYNO.png", "@eaDir/1.png", "$RECYCLE.BIN/1.png", "System Volume Information/1.png",
        ".thumbnails/1.png", "#recycle/1.png", "__MACOSX/1.png", "lost+found/1.png", "a/.hidden.png",
        "a/raw/1.png", "a/1_thumb.png", "2019/03/1.png", "2020/1.png", "a/kept.png", "rawhide/1.png",
        "a/Cafe\u0301.png",
    ):  # fmt: skip
        image(tmp_path / name)
    found = look_into(tmp_path, ["raw", "*_thumb.png", "2019/*", "a/Caf\u00e9*"])
    assert found.images == ["2020/1.png", "a/kept.png", "rawhide/1.png"]
    reasons = {path: why for path, why in found.left_out.items() if why.startswith("excluded by --exclude")}
    assert reasons == {
        "a/raw/": "excluded by --exclude raw",
        "a/1_thumb.png": "excluded by --exclude *_thumb.png",
        "2019/03/": "excluded by --exclude 2019/*",
        "a/Cafe\u0301.png": "excluded by --exclude a/Caf\u00e9*",
    }
    assert found.left_out["a/@eaDir/"] == "excluded by name: @eaDir"
    assert found.left_out[".thumbnails/"] == found.left_out["a/.hidden.png"] == "hidden"
    with pytest.raises(DeepRankingError, match="--exclude: expected a pattern of names, found ''"):
        look_into(tmp_path, [""])


def test_what_an_index_among_the_images_keeps_is_passed_over(tmp_path):
    for name in ("store.sqlite", "store.sqlite-wal", "ratings.sqlite", "cache/vectors-1.npy"):
        (tmp_path / "index" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "index" / name).touch()
    (tmp_path / "index" / "store.sqlite").write_bytes(b"SQLite format 3\0" + bytes(84))
    (tmp_path / "cache").mkdir()
    for name in ("1.png", "index/cache of cats.png", "index/store.sqlite 1.png", "cache/2.png"):
        image(tmp_path / name)
    (tmp_path / "store.sqlite").write_text("no index: the cache beside it is somebody's folder")
    found = look_into(tmp_path)
    assert found.images == ["1.png", "cache/2.png", "index/cache of cats.png", "index/store.sqlite 1.png"]
    others = found.left_out.pop("store.sqlite")
    assert set(found.left_out.values()) == {"excluded by content: of an index"} != {others}
    assert found.unread == {}


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "valid", "TEST")])
def test_folders_that_look_like_the_parts_of_a_data_set_are_a_question(tmp_path, names):
    for part in names:
        for name in ("red", "blue"):
            image(tmp_path / part / name / "1.png")
    with pytest.raises(DeepRankingError, match=r"hold the same folders \(blue, red\).*--splits_are_classes"):
        find_classes(tmp_path)
    assert set(find_classes(tmp_path, splits_are_classes=True)) == set(names)


@pytest.mark.parametrize(
    ("paths", "hold"),
    [
        (["train/a/1.png", "train/b/1.png", "val/b/1.png", "val/c/1.png"], r"hold the same folders \(b\)"),
        (
            ["train/a/1.png", "val/a/1.png", "test/1.png"],
            r"hold the same folders \(a\)",
        ),  # test without labels
        (
            ["train/a/1.png", "train/b/1.png", "val/c/1.png", "val/d/1.png"],
            r"hold folders .*\(a, b, c, \.\.\.\)",
        ),
    ],
)
def test_parts_need_not_hold_all_the_same_folders_to_be_a_question(tmp_path, paths, hold):
    for path in paths:
        image(tmp_path / path)
    with pytest.raises(DeepRankingError, match=hold + r".*give \S*train instead"):
        find_classes(tmp_path)
    assert set(find_classes(tmp_path, splits_are_classes=True)) == {path.split("/")[0] for path in paths}


@pytest.mark.parametrize(
    "paths",
    [
        ["train/1.png", "val/1.png"],  # pictures of trains and of valleys
        ["train/a/1.png", "val/b/1.png"],
        ["train/a/1.png"],
        ["train/a/1.png", "val/a/1.png", "cats/1.png"],
    ],
)
def test_folders_that_are_only_named_so_are_classes(tmp_path, paths):
    for path in paths:
        image(tmp_path / path)
    assert set(find_classes(tmp_path)) == {path.split("/")[0] for path in paths}


def test_of_classes_only_their_images_are_counted(folder):
    image(folder / "loose.png")
    found = look_into(folder)
    assert sorted(path for images in found.classes().values() for path in images) == found.images
    assert found.left_out["loose.png"] == "in no folder, so of no class"
    assert found.counts()["hidden"] == {"count": 2, "first": [".hidden/", "a/.no.png"]}


def test_who_has_no_classes_is_told_what_needs_none(tmp_path):
    image(tmp_path / "1.png")
    with pytest.raises(DeepRankingError, match=r"found 1 images in none.*deep-ranking index .*learn"):
        find_classes(tmp_path)


def test_a_folder_without_permission_is_told_and_keeps_no_one_from_the_others(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = look_into(folder)
    assert found.left_out["b/"] == "no permission to read"
    assert "a/deep/er/x.png" in found.images
    skipped = []
    assert find_images(folder, skipped.append) == found.images
    assert "b/" in skipped


def test_a_very_deep_folder(tmp_path, monkeypatch):
    image(tmp_path / "1.png")
    with monkeypatch.context() as here:
        here.chdir(tmp_path)
        for _ in range(1300):
            os.mkdir("d")  # noqa: PTH102
            os.chdir("d")
    try:
        assert find_images(tmp_path) == ["1.png"]
    finally:
        os.removedirs(str(tmp_path) + 1300 * "/d")  # pytest cannot


def test_a_folder_typed_in_the_other_form_of_unicode_is_found(tmp_path):
    image(tmp_path / "Cafe\u0301/Zu\u0308rich/1.png")
    found = look_into(tmp_path / "Caf\u00e9" / "Z\u00fcrich")
    assert (found.images, Path(found.folder).name) == (["1.png"], "Zu\u0308rich")
    with pytest.raises(DeepRankingError, match="found nothing"):
        look_into(tmp_path / "Caf\u00e8")
