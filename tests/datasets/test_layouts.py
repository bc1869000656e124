"""Layouts that are published or exported as plain text, JSON and MATLAB files; tables; levels; divisions."""

import json

import numpy as np
import pytest
from PIL import Image
from test_data_formats import folder_of, png, prepared

from deep_ranking.cli import main
from deep_ranking.datasets.rows import FORMATS, Options, Row
from deep_ranking.datasets.write import Division, write_rows
from deep_ranking.errors import DeepRankingError


def read(name, source, **options):
    return list(FORMATS[name].read(source, Options(**options)))


def test_a_table_of_any_columns(tmp_path):
    folder_of(tmp_path / "photos", {"a/1.png": 1, "b/1.png": 2, "c, d.png": 3, "e.png": 4})
    (tmp_path / "t.tsv").write_text(
        "where\tkind\tpart\na/1.png\tcat\ttrain\nb/1.png\tcat\ttrain\nc, d.png\tRam C/V\tval\n"
        "e.png\t\ttrain\ngone.png\tcat\ttrain\n"
    )
    flags = ["--image", "where", "--label", "kind", "--split", "part", "--root", str(tmp_path / "photos")]
    images, told = prepared(tmp_path, "table", tmp_path / "t.tsv", *flags)
    assert images == [
        ("train", "cat", 1), ("train", "cat", 2), ("unlabelled", "train", 4), ("val", "Ram C%2FV", 3),
    ]  # fmt: skip
    assert told["left_out"] == {"its file is not there": {"count": 1, "first": ["t.tsv, line 6: gone.png"]}}
    titles = (tmp_path / "out of table/classes.tsv").read_text()
    assert titles == "Ram C%2FV\tRam C/V\ncat\tcat\n"
    with pytest.raises(DeepRankingError, match="expected a column of images, found where, kind, part"):
        read("table", tmp_path / "t.tsv")


def test_metadata_of_hugging_face_is_a_table_too(tmp_path):
    folder_of(tmp_path, {"1.png": 1, "2.png": 2})
    (tmp_path / "metadata.jsonl").write_text(
        '{"file_name": "1.png", "label": "x"}\n{"file_name": "2.png", "label": null}\n'
    )
    found = [(row.label, row.name) for row in read("table", tmp_path / "metadata.jsonl")]
    assert found == [("x", "1.png"), ("", "2.png")]


@pytest.fixture
def coco(tmp_path):
    """Ids with gaps, in the layout of the 2017 images; 500 has boxes of two classes and a crowd."""
    images = tmp_path / "train2017"
    images.mkdir()
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:20, 30:50] = (200, 0, 0)
    Image.fromarray(picture).save(images / "a.png")
    folder_of(images, {"b.png": 9})
    boxes = [
        {"id": 11, "image_id": 500, "category_id": 90, "bbox": [30, 10, 20, 10], "iscrowd": 0},
        {"id": 40, "image_id": 500, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 0},
        {"id": 41, "image_id": 500, "category_id": 3, "bbox": [0, 0, 60, 40], "iscrowd": 1},
        {"id": 42, "image_id": 500, "category_id": 3, "bbox": [70, 50, 5, 5], "iscrowd": 0},
        {"id": 77, "image_id": 7, "category_id": 90, "bbox": [0, 0, 8, 8], "iscrowd": 0},
    ]
    (tmp_path / "annotations").mkdir()
    source = tmp_path / "annotations/instances_train2017.json"
    sizes = {"a.png": (500, 60, 40), "b.png": (7, 8, 8), "gone.png": (9, 8, 8)}
    about = [{"id": i, "file_name": n, "width": w, "height": h} for n, (i, w, h) in sizes.items()]
    categories = [{"id": 90, "name": "red"}, {"id": 3, "name": "black"}]
    source.write_text(json.dumps({"images": about, "annotations": boxes, "categories": categories}))
    return source


def test_coco_as_whole_images_and_as_boxes(tmp_path, coco):
    whole = {row.name: (row.label, row.split, row.why) for row in read("coco", coco)}
    several = "several classes in one image; --boxes makes an image of each box"
    assert whole == {
        "a.png": ("", "train", several),
        "b.png": ("red", "train", ""),
        "gone.png": ("", "train", "its file is not there"),
    }
    boxes = read("coco", coco, boxes=True)
    assert [(row.name, row.label) for row in boxes if row.image] == [
        ("a_11.png", "red"), ("a_40.png", "black"), ("b_77.png", "red"),
    ]  # fmt: skip
    output = tmp_path / "out"
    summary, found = write_rows(boxes, output, "coco")
    with Image.open(output / "train/red/a_11.png") as cut:
        assert cut.size == (20, 10)
        assert np.unique(np.asarray(cut).reshape(-1, 3), axis=0).tolist() == [[200, 0, 0]]
    assert (summary["images"], summary["dropped"]) == (3, 3)
    assert sorted(found.by_reason()) == [
        "a crowd, not one thing", "empty box, or outside of its image", "its file is not there",
    ]  # fmt: skip


def test_fiftyone_by_stems_with_renamed_files_and_null(tmp_path):
    folder_of(tmp_path / "data", {"1.png": 1, "1-2.png": 2, "v1.5.png": 3, "left.png": 4})
    labels = {"1": 0, "1-2": 1, "v1.5": None, "gone": 0}
    (tmp_path / "labels.json").write_text(json.dumps({"classes": ["cat", "dog"], "labels": labels}))
    rows = {row.place: (row.label, row.why) for row in read("fiftyone", tmp_path)}
    assert rows == {
        "labels.json: 1": ("cat", ""),
        "labels.json: 1-2": ("dog", ""),
        "labels.json: v1.5": ("", ""),
        "labels.json: gone": ("cat", "its file is not there"),
        "data/left.png": ("", ""),
    }
    tree = folder_of(tmp_path / "tree", {"cat/1.png": 1, "_unlabeled/1.png": 2})
    assert [(row.label, row.name) for row in read("imagefolder", tree)] == [("", "1.png"), ("cat", "1.png")]


def test_stanford_online_products_by_product_and_not_by_folder(tmp_path):
    folder_of(tmp_path, {"bike_final/1_0.png": 1, "bike_final/2_0.png": 2, "sofa_final/3_0.png": 3})
    head = "image_id class_id super_class_id path\n"
    (tmp_path / "Ebay_train.txt").write_text(head + "1 1 1 bike_final/1_0.png\n2 2 1 bike_final/2_0.png\n")
    (tmp_path / "Ebay_test.txt").write_text(head + "3 3 2 sofa_final/3_0.png\n")
    images, _ = prepared(tmp_path, "sop", tmp_path)
    assert images == [("test", "3", 3), ("train", "1", 1), ("train", "2", 2)]


def test_cub(tmp_path):
    folder_of(tmp_path / "images", {"001.Albatross/a b.png": 1, "002.Auk/c.png": 2})
    for name, text in (
        ("images", "1 001.Albatross/a b.png\n2 002.Auk/c.png\n"),
        ("image_class_labels", "1 1\n2 2\n"),
        ("classes", "1 001.Albatross\n2 002.Auk\n"),
        ("train_test_split", "1 1\n2 0\n"),
    ):
        (tmp_path / f"{name}.txt").write_text(text)
    images, _ = prepared(tmp_path, "cub", tmp_path)
    assert images == [("test", "002.Auk", 2), ("train", "001.Albatross", 1)]
    (tmp_path / "image_class_labels.txt").write_text("1 1\n\n2 2\n1 2\n")
    with pytest.raises(
        DeepRankingError, match=r"labels.txt, line 4: expected 1 once, found it as '1' already"
    ):
        read("cub", tmp_path)


def test_in_shop_in_three_parts(tmp_path):
    names = ["img/WOMEN/Dresses/id_00000002/02_1_front.png", "img/MEN/Denim/id_00000003/01_1_back.png"]
    folder_of(tmp_path / "Img", {names[0]: 1, names[1]: 2, "img/c.png": 3})
    (tmp_path / "Eval").mkdir()
    (tmp_path / "Eval/list_eval_partition.txt").write_text(
        f"3\nimage_name item_id evaluation_status\n{names[0]}   id_00000002 train\n"
        f"{names[1]}       id_00000003 query\nimg/c.png     id_00000003     gallery\n"
    )
    images, _ = prepared(tmp_path, "in-shop", tmp_path)
    assert images == [("gallery", "id_00000003", 3), ("query", "id_00000003", 2), ("train", "id_00000002", 1)]


@pytest.mark.parametrize("new", [False, True])
def test_cars_whose_class_name_holds_a_slash(tmp_path, new):
    scipy_io = pytest.importorskip("scipy.io", reason="the format's own package")
    names = np.array(["AM General Hummer", "Ram C/V Cargo Van Minivan 2012"], object)
    folders = ("cars_train", "cars_test") if new else ("car_ims", "car_ims")
    folder_of(tmp_path, {f"{folders[0]}/1.png": 1, f"{folders[1]}/2.png": 2})
    if new:
        (tmp_path / "devkit").mkdir()
        scipy_io.savemat(tmp_path / "devkit/cars_meta.mat", {"class_names": names})
        train = np.array([(2, "1.png")], [("class", "O"), ("fname", "O")])
        scipy_io.savemat(tmp_path / "devkit/cars_train_annos.mat", {"annotations": train})
        test = np.array([("2.png",)], [("fname", "O")])
        scipy_io.savemat(tmp_path / "devkit/cars_test_annos.mat", {"annotations": test})
    else:
        kinds = [("relative_im_path", "O"), ("class", "O"), ("test", "O")]
        records = np.array([("car_ims/1.png", 2, 0), ("car_ims/2.png", 1, 1)], kinds)
        scipy_io.savemat(tmp_path / "cars_annos.mat", {"annotations": records, "class_names": names})
    images, _ = prepared(tmp_path, "cars", tmp_path)
    rest = ("unlabelled", "test", 2) if new else ("test", "AM General Hummer", 2)
    assert images == sorted([("train", "Ram C%2FV Cargo Van Minivan 2012", 1), rest])


@pytest.mark.parametrize(
    ("names", "asked", "levels", "label"),
    [
        (["train/cat/1.png", "val/cat/1.png"], "--levels split/class", "split/class", "cat"),
        (["train/1.png", "val/1.png"], "--levels class", "class", "train"),
        (["cat/1.png", "dog/pug/1.png"], r"--levels: '\*/class'", "*/class", "cat"),
        (["cat/1.png", "dog/pug/1.png"], "2 folders, as dog/pug/1.png", "class/*", "cat"),
        (["p1/front/1.png", "p2/front/1.png"], "--levels", "class/group", "p1"),
        (["cat/1.png", "2.png"], "0 folders, as 2.png", "class", "cat"),
    ],
)
def test_folders_that_leave_it_open_are_a_question_with_its_answer(tmp_path, names, asked, levels, label):
    source = folder_of(tmp_path / "data", {name: number for number, name in enumerate(names)})
    with pytest.raises(DeepRankingError, match=asked):
        read("imagefolder", source)
    rows = read("imagefolder", source, levels=levels)
    assert next(row.label for row in rows if not row.why) == label
    assert len(rows) == 2


@pytest.mark.parametrize(
    "names", [["test_tube/1.png", "train/1.png"], ["10/1.png", "2/1.png"], ["dev-board/1.png"]]
)
def test_classes_that_are_only_named_so(tmp_path, names):
    source = folder_of(tmp_path / "data", {name: number for number, name in enumerate(names)})
    assert {row.label for row in read("imagefolder", source)} == {name.split("/")[0] for name in names}


def rows_of(*about):
    return [
        Row(str(n), png(content), "same.png", label, group=group)
        for n, (content, label, group) in enumerate(about)
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("by", ["class", "group", "content"])
def test_what_belongs_together_stays_on_one_side(tmp_path, by, seed):
    random = np.random.default_rng(seed)
    about = []
    for place in range(120):
        content, group = int(random.integers(40)), place % 12
        content += 40 * group if by == "group" else 0  # else copies would join all groups
        about.append((content, f"c{random.integers(6)}", f"g{group}"))
    summary, _ = write_rows(rows_of(*about), tmp_path / "a", "x", Division(by, 0.25, seed))
    again, _ = write_rows(rows_of(*about), tmp_path / "b", "x", Division(by, 0.25, seed))
    files = [sorted(str(p.relative_to(tmp_path / x)) for p in (tmp_path / x).rglob("*.png")) for x in "ab"]
    assert files[0] == files[1]
    assert summary == again
    assert summary["train"] + summary["val"] == 120
    sides = {}
    for path in (tmp_path / "a").rglob("*.png"):
        split, label, _ = path.relative_to(tmp_path / "a").parts
        sides.setdefault(label if by == "class" else path.read_bytes(), set()).add(split)
    assert all(len(side) == 1 for side in sides.values())
    if by == "content":
        assert 0.1 < summary["val"] / 120 < 0.4
        assert summary["copies_in_several_parts"] == 0


def test_groups_stay_together_with_the_copies_of_their_images(tmp_path):
    about = [
        (1, "cat", "a"),
        (2, "cat", "a"),
        (2, "cat", "b"),
        (3, "cat", "b"),
        (4, "cat", "c"),
        (5, "cat", "d"),
    ]
    rows = rows_of(*about)
    for seed in range(6):
        write_rows(rows, tmp_path / str(seed), "x", Division("group", 0.3, seed))
        train = len(list((tmp_path / str(seed) / "train/cat").iterdir()))
        assert train in (5, 4, 2)  # 1, 2, 2 and 3 are one


def test_a_division_that_cannot_be_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(DeepRankingError, match="--split_by class: expected two or more to divide"):
        write_rows(rows_of((1, "cat", "")), tmp_path / "a", "x", Division("class"))
    with pytest.raises(DeepRankingError, match="expected images, found 1 rows without one: 1 not an image"):
        write_rows([Row("1", b"text")], tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "names",
    [["a.png", "A.png", "a.png"], [".hidden.png", "_hidden.png"], ["x" * 300 + ".png", "x" * 300 + ".png"],
     ["é.png", "e\u0301.png"], ["", ""], ["../../up.png", "a\0b\n.png"], ["Thumbs.db"]],
)  # fmt: skip
@pytest.mark.parametrize("label", ["cat", "..", ".", "a/b", "%2F", "lost+found", "y" * 400, "\n", "-1 "])
def test_odd_names_are_images_and_classes_of_their_own(tmp_path, names, label):
    rows = [Row(str(n), png(n), name, label) for n, name in enumerate(names)]
    rows.append(Row("other", png(99), "z.png", "a%2Fb"))
    summary, _ = write_rows(rows, tmp_path / "out", "x")
    from deep_ranking.images.find import find_classes

    found = find_classes(tmp_path / "out/train")
    assert sorted(map(len, found.values())) == sorted([len(names), 1])
    assert summary["classes"] == 2
    assert {path.parent.parent for path in (tmp_path / "out").rglob("*.png")} == {tmp_path / "out/train"}


def test_damaged_and_empty_sources_are_told_and_leave_nothing(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for name, known in FORMATS.items():
        for source in (tmp_path / "empty", tmp_path / "file"):
            (tmp_path / "file").write_bytes(b"PAR1 {[no such thing\n\x00\xff")
            assert main(["prepare", name, "--source", str(source), "--output", str(tmp_path / "out")]) == 1
            error = capsys.readouterr().err
            assert "error: " in error
            assert "Traceback" not in error, known
            assert not (tmp_path / "out").exists()
