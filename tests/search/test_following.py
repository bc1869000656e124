"""An index follows folders: several of them, some not there now, others in their place; and their labels."""

import errno
import os
import shutil
import unicodedata

import numpy as np
import pytest
from samples import write_image

from deep_ranking.cli import main
from deep_ranking.errors import DeepRankingError
from deep_ranking.images import walk
from deep_ranking.images.content import why_not_opened
from deep_ranking.images.decode import read_image
from deep_ranking.search import Index, Options, update_index
from deep_ranking.search.labels import label_of, label_rule, read_labels
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings


def fill(folder, names, seed=""):
    for name in names:
        write_image(folder / name, f"{seed}{folder.name}{name}")
    return folder


def follow(folders, place, embedder, **how):
    """Bring an index up to date, and return its labels by path, what was done, and where the images are."""
    with Index.from_folder(folders, embedder, place, quiet=True, **how) as index:
        root = index.metadata["images"]
        for image, vector in zip(index.snapshot.images, index.snapshot.matrix, strict=True):
            if image.path not in index.report.missing:
                pixels = read_image(f"{root}/{image.path}", (2, 2)).ravel() / np.float32(255)
                assert np.array_equal(vector, pixels)
        return {image.path: image.label for image in index.snapshot.images}, index.report, root


@pytest.fixture
def cards(tmp_path):
    """Two memory cards of one camera: the names are alike, the images are not."""
    return [fill(tmp_path / f"card{n}" / "DCIM", [f"IMG_{i}.png" for i in range(4)], n) for n in (1, 2)]


def paths(folder, names=range(4)):
    return {f"{folder}/IMG_{i}.png" for i in names}


def test_a_second_card_is_added_and_not_taken_for_the_first(cards, tmp_path, embedder):
    place = tmp_path / "index"
    assert set(follow(cards[0], place, embedder)[0]) == {f"IMG_{i}.png" for i in range(4)}
    embedder.seen.clear()
    held, report, root = follow(cards[1], place, embedder)
    assert set(held) == paths("card1/DCIM") | paths("card2/DCIM")
    assert (report.embedded, report.unchanged, report.removed, len(embedder.seen)) == (4, 4, 0, 4)
    assert root == str(tmp_path)
    (cards[0] / "IMG_0.png").unlink()
    held, report, _ = follow(cards[0], place, embedder)  # both are followed on
    assert set(held) == paths("card1/DCIM", range(1, 4)) | paths("card2/DCIM")
    assert (report.unchanged, report.removed) == (7, 1)


def test_both_at_once_are_the_same_index_and_searched_by_the_folder(cards, tmp_path, embedder):
    one, other = tmp_path / "one", tmp_path / "other"
    follow(cards[0], one, embedder)
    assert follow(cards[1], one, embedder)[0] == follow(cards, other, embedder)[0]
    with Index.open(other, embedder) as index:
        hits = index.search(cards[1] / "IMG_2.png", None, folder="card2")
        assert {hit.path for hit in hits} == paths("card2/DCIM")
        assert (hits[0].path, hits[0].distance) == ("card2/DCIM/IMG_2.png", 0)


def test_a_folder_above_takes_the_place_of_those_below_it_and_nothing_is_embedded_again(
    cards, tmp_path, embedder
):
    place = tmp_path.with_name(f"{tmp_path.name}.index")
    follow(cards[0], place, embedder)
    follow(cards[1], place, embedder)
    embedder.seen.clear()
    held, _, root = follow(tmp_path, place, embedder)
    assert (set(held), root, embedder.seen) == (paths("card1/DCIM") | paths("card2/DCIM"), str(tmp_path), [])
    held, report, _ = follow(cards[0], place, embedder)  # it is in the folder that is followed
    assert (len(held), report.unchanged) == (8, 8)


def test_a_folder_that_moved_is_known_by_its_images(cards, tmp_path, embedder):
    place = tmp_path / "index"
    follow(cards[0], place, embedder)
    cards[0].parent.rename(tmp_path / "disk")
    embedder.seen.clear()
    held, report, root = follow(tmp_path / "disk/DCIM", place, embedder)
    assert (set(held), report.unchanged, embedder.seen) == ({f"IMG_{i}.png" for i in range(4)}, 4, [])
    assert root == str(tmp_path / "disk/DCIM")


def test_another_card_in_the_same_place_is_a_question(cards, tmp_path, embedder):
    place, mount = tmp_path / "index", tmp_path / "mount"
    shutil.copytree(cards[0], mount)
    follow(mount, place, embedder)
    shutil.rmtree(mount)
    fill(mount, ["IMG_2.png", "IMG_9.png"], "other")
    for _ in range(2):
        with pytest.raises(
            DeepRankingError, match=r"expected the 4 images .* found 2 others.*--forget_missing"
        ):
            follow(mount, place, embedder)
    with Index.open(place) as index:
        assert len(index) == 4
    assert set(follow(mount, place, embedder, forget_missing=True)[0]) == {"IMG_2.png", "IMG_9.png"}


def test_a_folder_that_is_copied_or_renamed_whole_is_no_other_one(cards, tmp_path, embedder):
    place, mount = tmp_path / "index", tmp_path / "mount"
    shutil.copytree(cards[0], mount)
    follow(mount, place, embedder)
    for i in range(4):
        (mount / f"IMG_{i}.png").rename(mount / f"holiday {i}.png")
    held, report, _ = follow(mount, place, embedder)
    assert (set(held), report.renamed) == ({f"holiday {i}.png" for i in range(4)}, 4)


def test_an_emptied_folder_keeps_its_images_until_told_otherwise(tmp_path, embedder):
    root, place = tmp_path / "photos", tmp_path / "index"
    fill(root, ["1.png", "here/2.png", "mounted/3.png", "mounted/deep/4.png", "away/5.png"])
    follow(root, place, embedder)
    shutil.rmtree(root / "mounted")
    (root / "mounted").mkdir()
    shutil.rmtree(root / "away")
    (root / "1.png").unlink()
    fill(root, ["6.png"])
    held, report, _ = follow(root, place, embedder)
    assert set(held) == {"6.png", "here/2.png", "mounted/3.png", "mounted/deep/4.png", "away/5.png"}
    assert report.missing == ["away/5.png", "mounted/3.png", "mounted/deep/4.png"]
    assert (report.removed, report.embedded) == (1, 1)
    fill(root, ["mounted/3.png"])  # the disk is back, without one of its images
    embedder.seen.clear()
    held, report, _ = follow(root, place, embedder)
    assert (embedder.seen, report.missing) == ([], ["away/5.png", "mounted/deep/4.png"])
    held, report, _ = follow(root, place, embedder, forget_missing=True)
    assert (set(held), report.removed) == ({"6.png", "here/2.png", "mounted/3.png"}, 2)


def test_a_renamed_folder_leaves_nothing_behind(tmp_path, embedder):
    root, place = tmp_path / "photos", tmp_path / "index"
    fill(root, ["1.png", "2022/2.png", "2022/3.png"])
    follow(root, place, embedder)
    (root / "2022").rename(root / "2022 holiday")
    held, report, _ = follow(root, place, embedder)
    assert set(held) == {"1.png", "2022 holiday/2.png", "2022 holiday/3.png"}
    assert (report.renamed, report.removed, report.missing) == (2, 0, [])


def test_of_several_folders_one_may_be_missing_or_empty(cards, tmp_path, embedder):
    place = tmp_path / "index"
    follow(cards, place, embedder)
    cards[0].rename(tmp_path / "ejected")
    with Index.from_folder(cards[1], embedder, place, quiet=True) as index:
        assert (len(index), len(index.report.missing)) == (8, 4)
    cards[0].mkdir()
    with Index.from_folder(cards[1], embedder, place, quiet=True) as index:
        assert (len(index), len(index.report.missing)) == (8, 4)
    with pytest.raises(DeepRankingError, match="nowhere: expected a folder of images, found nothing"):
        Index.from_folder([cards[1], tmp_path / "nowhere"], embedder, place)


def test_what_is_excluded_from_now_on_goes_and_is_remembered(tmp_path, embedder):
    root, place = tmp_path / "photos", tmp_path / "index"
    fill(root, ["1.png", "raw/2.png"])
    follow(root, place, embedder)
    held, report, _ = follow(root, place, embedder, exclude=["raw"])
    assert (list(held), report.missing) == (["1.png"], [])
    assert list(follow(root, place, embedder)[0]) == ["1.png"]
    assert len(follow(root, place, embedder, exclude=[])[0]) == 2


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_an_image_that_cannot_be_opened_now_stays(tmp_path, embedder, monkeypatch, error):
    root, place = tmp_path / "photos", tmp_path / "index"
    fill(root, ["1.png", "2.png", "a/3.png"])
    follow(root, place, embedder)

    def why(path, real=walk.why_no_image):
        refused = OSError(error, os.strerror(error), path)
        return why_not_opened(refused) if path.endswith("2.png") else real(path)

    monkeypatch.setattr(walk, "why_no_image", why)
    held, report, _ = follow(root, place, embedder)
    assert (list(held), report.missing, report.removed) == (["1.png", "2.png", "a/3.png"], ["2.png"], 0)
    assert sorted(follow(root, place, embedder, forget_missing=True)[0]) == ["1.png", "a/3.png"]


def test_labels_are_made_only_if_told_and_the_index_remembers_how(tmp_path, embedder):
    root, place = tmp_path / "photos", tmp_path / "index"
    fill(root, ["1.png", "2022/2.png", "2022/may/3.png"])
    assert set(follow(root, place, embedder)[0].values()) == {""}
    by_folder = {"1.png": "", "2022/2.png": "2022", "2022/may/3.png": "2022"}
    embedder.seen.clear()
    held, report, _ = follow(root, place, embedder, labels="folders")
    assert (held, report.unchanged, embedder.seen) == (by_folder, 3, [])
    fill(root, ["new/4.png"])
    assert follow(root, place, embedder)[0] == {**by_folder, "new/4.png": "new"}
    table = tmp_path / "labels.csv"
    table.write_text('path,label\n1.png,beach\n2022/2.png,"sea, far"\nnew/4.png,\n', encoding="utf-8")
    expected = {"1.png": "beach", "2022/2.png": "sea, far", "2022/may/3.png": "", "new/4.png": ""}
    assert follow(root, place, embedder, labels=table)[0] == expected
    table.write_text("1.png\tstreet\n", encoding="utf-8")
    assert follow(root, place, embedder)[0]["1.png"] == "street"
    table.unlink()
    with pytest.raises(DeepRankingError, match=r"labels: expected none, folders, or a table"):
        follow(root, place, embedder)
    table.write_text("elsewhere/1.png,cat\n")
    with pytest.raises(DeepRankingError, match=r"labels of the index's paths, as '.*', found none of them"):
        follow(root, place, embedder, labels=table)
    assert set(follow(root, place, embedder, labels="none")[0].values()) == {""}


def test_an_index_of_before_keeps_its_labels(tmp_path, embedder):
    root = fill(tmp_path / "photos", ["a/1.png", "b/2.png"])
    with Index.create(tmp_path / "index", 12, "pixels") as index:
        update_index(index, root, ["a/1.png", "b/2.png"], embedder, quiet=True)
    assert follow(root, tmp_path / "index", embedder)[0] == {"a/1.png": "a", "b/2.png": "b"}


def test_of_several_folders_the_labels_are_their_sub_folders_or_themselves(tmp_path, embedder):
    roots = [fill(tmp_path / "x/cats", ["1.png"]), fill(tmp_path / "y/more", ["dogs/2.png"])]
    held = follow(roots, tmp_path / "index", embedder, labels="folders")[0]
    assert held == {"x/cats/1.png": "cats", "y/more/dogs/2.png": "dogs"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png\n", "line 1: expected a path and its label, found 'a.png'"),
        ("a.png,x\na.png,y\n", "line 2: 'a.png' has the label 'x' already, found 'y'"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DeepRankingError, match=message):
        read_labels(tmp_path / "t.csv")


def test_a_table_takes_either_form_of_a_name(tmp_path):
    composed, decomposed = "Caf\u00e9.png", "Cafe\u0301.png"
    for stands, asked in ((composed, decomposed), (decomposed, composed)):
        (tmp_path / "t.tsv").write_text(f"path\tlabel\tnote\n./{stands}\tx\ty\n", encoding="utf-8")
        rule = label_rule(str(tmp_path / "t.tsv"))
        assert [rule(stands), rule(asked), rule("other.png")] == ["x", "x", ""]


def test_the_label_of_an_image_in_a_container():
    assert [label_of(p) for p in ("a/b/1.png", "a.tar/b/1.png", "x/a.parquet/1.png")] == ["a", "b", ""]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_typed_in_the_other_form_are_found(tmp_path, form):
    names = ["Caf\u00e9/Z\u00fcrich/a.png", "Caf\u00e9/b.png", "plain/c.png"]
    stored = [unicodedata.normalize(form, name) for name in names]
    with Index.create(tmp_path / "index", 3, "x") as index:
        index.add(stored, np.eye(3), [name.split("/")[0] for name in stored])
        for typed in ("NFC", "NFD"):
            label = unicodedata.normalize(typed, "Caf\u00e9")
            hits = index.search(np.eye(3)[0], None, Options(label=label))
            assert [hit.path for hit in hits] == stored[:2]
            hits = index.search(
                np.eye(3)[0], None, folder=unicodedata.normalize(typed, "Caf\u00e9/Z\u00fcrich/")
            )
            assert [hit.path for hit in hits] == stored[:1]
            assert index.search(unicodedata.normalize(typed, names[0]), 1)[0].path == stored[0]
        with pytest.raises(DeepRankingError, match="folder: expected one that has images"):
            index.search(np.eye(3)[0], None, folder="Caf\u00e8")


def test_labels_in_both_forms_are_found_as_one(tmp_path):
    forms = ["Caf\u00e9", "Cafe\u0301"]
    with Index.create(tmp_path / "index", 2, "x") as index:
        index.add([f"{form}/1.png" for form in forms], np.eye(2), forms)
        for typed in forms:
            assert len(index.search(np.eye(2)[0], None, label=typed)) == 2


def test_the_command_says_what_it_added_kept_and_left_out(tmp_path, cards, no_network, capsys, caplog):
    (cards[0] / "IMG_9.psd").write_bytes(b"8BPS" + bytes(40))
    (cards[0] / ".DS_Store").touch()
    index = ("index", "--index", str(tmp_path / "index"), "--model", "m.h5", "--quiet")
    assert main([*index, "--images", str(cards[0])]) == 0
    assert "4 images; 2 left out:" in caplog.text
    assert "1  Photoshop file, not read; export it as JPEG  IMG_9.psd" in caplog.text
    capsys.readouterr()
    assert main([*index, "--images", str(cards[1])]) == 0
    assert f"{cards[1]} is added" in capsys.readouterr().err
    cards[0].rename(tmp_path / "ejected")
    assert main(index) == 0
    told = capsys.readouterr()
    assert f"{cards[0]}: is not there, or empty; its images stay in the index" in told.err
    kept = "kept 4 images that cannot be opened now, or whose folders are not there, or empty"
    assert f"{kept}: card1/DCIM/IMG_0.png" in told.err
    assert told.out.startswith("8 images in the index: 0 embedded")
    assert main([*index, "--forget_missing"]) == 0
    assert capsys.readouterr().out.startswith("4 images in the index")
    assert main(index) == 0  # the card is forgotten too, and the paths of the other are what they were
    assert capsys.readouterr() == (
        "4 images in the index: 0 embedded, 0 renamed, 0 reused, 0 removed, 4 unchanged, 0 skipped\n",
        "",
    )
    with Index.open(tmp_path / "index") as opened:
        assert {image.path for image in opened.snapshot.images} == paths("card2/DCIM")


def test_a_folder_or_an_image_typed_in_the_other_form_is_taken_by_the_commands(tmp_path, no_network, capsys):
    photos = fill(tmp_path / "Cafe\u0301", ["Zu\u0308rich/1.png", "2.png", "3.png"])
    typed, place = str(tmp_path / "Caf\u00e9"), str(tmp_path / "index")
    assert main(["index", "--index", place, "--model", "m.h5", "--images", typed, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["search", "--index", place, "--image", f"{typed}/Z\u00fcrich/1.png", "--top", "1"]) == 0
    assert capsys.readouterr().out.endswith("Zu\u0308rich/1.png\n")
    (tmp_path / "t.txt").write_text("Z\u00fcrich/1.png,2.png,3.png\n", encoding="utf-8")
    assert Triplets.load(tmp_path / "t.txt", typed).images[0] == str(photos / "Zu\u0308rich/1.png")
    embeddings = Embeddings(np.array(["Zu\u0308rich/1.png", "2.png"]), np.eye(2, dtype=np.float32))
    assert embeddings.rows(["2.png", "Z\u00fcrich/1.png"]).tolist() == [1, 0]
    with pytest.raises(DeepRankingError, match=r"no embedding of 'Zurich/1\.png'"):
        embeddings.rows(["Zurich/1.png"])
