"""What a data set leaves open, says twice or says wrongly is refused or named, never a class in silence."""

import io
import json
import tarfile

import pytest
from test_data_formats import add, folder_of, number_of, png, prepared

from deep_ranking.datasets.folder import class_titles
from deep_ranking.datasets.rows import FORMATS, Options
from deep_ranking.datasets.write import write_rows
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import look_into


def read(name, source, **options):
    return list(FORMATS[name].read(source, Options(**options)))


def lines_of(path, *objects):
    path.write_text("".join(f"{text}\n" for text in objects))
    return path


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ('"cat"', "cat"),
        ("3", "3"),
        ("3.0", "3"),
        ("null", ""),
        ("NaN", ""),
        ("-1", ""),
        ('""', ""),
        ('"-1"', ""),
    ],
)
def test_json_lines_of_the_unlabelled(tmp_path, value, label):
    folder_of(tmp_path, {"1.png": 1, "2.png": 2})
    table = lines_of(
        tmp_path / "metadata.jsonl",
        '{"file_name": "1.png", "objects": {"bbox": [[1, 2]]}}',
        "",
        f'{{"file_name": "2.png", "label": {value}, "note": "a\u2028b"}}',
    )
    assert [(row.place, row.label) for row in read("table", table)] == [
        ("metadata.jsonl, line 1: 1.png", ""),
        ("metadata.jsonl, line 3: 2.png", label),
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "expected a column of images, found no heading"),
        ("file,label\n", "expected images, found no row"),
        (
            "file,label\na,cat\nb,dog\n",
            "2 rows without one: 2 its file is not there, the first a.csv, line 2: a",
        ),
    ],
)
def test_a_table_of_no_image_says_what_it_has(tmp_path, table, told):
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(DeepRankingError, match=told):
        write_rows(FORMATS["table"].read(tmp_path / "a.csv", Options()), tmp_path / "out", "a.csv")
    assert not (tmp_path / "out").exists()


def test_a_table_in_utf_16_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("file,label\n", encoding="utf-16")
    with pytest.raises(DeepRankingError, match="expected UTF-8 text, found UTF-16"):
        read("table", tmp_path / "a.csv")


@pytest.mark.parametrize("value", ['["cat"]', "{}", "true", '{"name": "cat"}'])
def test_json_lines_whose_label_is_none_are_refused_by_line(tmp_path, value):
    table = lines_of(
        tmp_path / "a.jsonl", '{"file_name": "1.png"}', f'{{"file_name": "2.png", "label": {value}}}'
    )
    with pytest.raises(
        DeepRankingError, match=r"a.jsonl, line 2: expected one label or name, a text or a num"
    ):
        read("table", table)


def test_what_stands_twice_is_refused_by_name(tmp_path):
    folder_of(tmp_path, {"1.png": 1})
    for name, text, told in (
        ("a.csv", "file,label,note,note,label\n1.png,cat,x,y,dog\n", "expected one column 'label', found 2"),
        ("a.tsv", "path\tpath\n1.png\t2.png\n", "expected one column 'path', found 2"),
        ("a.jsonl", '{"file": "1.png", "label": "a", "label": "b"}\n', "line 1: .*'label' stands twice"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DeepRankingError, match=told):
            read("table", tmp_path / name)
    (tmp_path / "b.csv").write_text("file;label;note;note\n1.png;cat, tame;x;y\n")
    assert [(row.label, row.why) for row in read("table", tmp_path / "b.csv")] == [("cat, tame", "")]
    (tmp_path / "data").mkdir()
    (tmp_path / "labels.json").write_text('{"labels": {"1": "cat", "1": "dog"}}')
    with pytest.raises(DeepRankingError, match="'1' stands twice"):
        read("fiftyone", tmp_path)


def test_parquet_columns_that_stand_twice_or_are_no_labels(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"image": [png(1)], "label": [[0, 1]], "kind": ["cat"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DeepRankingError, match="expected one text or number a row in 'label'"):
        read("hf-parquet", tmp_path / "a.parquet")
    assert [row.label for row in read("hf-parquet", tmp_path / "a.parquet", label="kind")] == ["cat"]
    assert look_into(tmp_path).labels == {"a.parquet/0": ""}  # an index needs no labels
    twice = pyarrow.table([[png(1)], ["cat"], ["dog"]], names=["image", "label", "label"])
    parquet.write_table(twice, tmp_path / "b.parquet")
    with pytest.raises(DeepRankingError, match="expected one column 'label', found 2"):
        read("hf-parquet", tmp_path / "b.parquet")


def test_coco_ids_that_are_given_twice_or_unknown(tmp_path):
    folder_of(tmp_path, {"a.png": 1, "b.png": 2})
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    box = {"bbox": [0, 0, 4, 4]}
    annotations = [
        {"id": 5, "image_id": 1, "category_id": 1, **box},
        {"id": 6, "image_id": 9, "category_id": 1, **box},
        {"id": 7, "image_id": 2, "category_id": 8, **box},
    ]
    source = tmp_path / "x.json"

    def write(**changed):
        about = {"images": images, "categories": categories, "annotations": annotations} | changed
        source.write_text(json.dumps(about))

    write()
    expected = [
        ("x.json: annotation 6 of image 9", "", "annotation of an image that is not listed"),
        ("x.json: a.png", "cat", ""),
        ("x.json: b.png", "", "annotation of a category that is not listed"),
    ]
    assert [(row.place, row.label, row.why) for row in read("coco", source)] == expected
    boxes = {row.place: (row.label, row.why) for row in read("coco", source, boxes=True)}
    assert boxes["x.json: a.png, box 5"] == ("cat", "")
    assert boxes["x.json: b.png, box 7"] == ("", "annotation of a category that is not listed")
    write(images=[*images, {"id": 2, "file_name": "c.png"}])
    with pytest.raises(DeepRankingError, match=r"one id for each, found 2 as 'b.png' and 'c.png'"):
        read("coco", source)
    write(categories=[*categories, {"id": 1, "name": "cow"}])
    with pytest.raises(DeepRankingError, match="one id for each, found 1 as 'cat' and 'cow'"):
        read("coco", source)
    write(categories=[*categories, categories[0]])
    assert [(row.place, row.label, row.why) for row in read("coco", source)] == expected


def records(path, *features):
    tensorflow = pytest.importorskip("tensorflow", reason="the format's own package")
    train = tensorflow.train
    kinds = {bytes: ("bytes_list", train.BytesList), int: ("int64_list", train.Int64List)}
    with tensorflow.io.TFRecordWriter(str(path)) as writer:
        for feature in features:
            made = {}
            for name, values in feature.items():
                kind, lists = kinds[type(values[0])] if values else kinds[int]
                made[name] = train.Feature(**{kind: lists(value=values)})
            writer.write(train.Example(features=train.Features(feature=made)).SerializeToString())
    return path


def test_records_of_several_labels_and_of_one_text_for_two_classes(tmp_path):
    source = records(
        tmp_path / "a.tfrecord",
        {"image": [png(1)], "label": [1]},
        {"image": [png(2)], "label": [1, 0]},
        {"image": [png(3), png(4)], "label": [0]},
        {"image": [png(5)], "label": []},
    )
    (tmp_path / "labels.txt").write_text("cat\ndog\n\n")
    found = [(row.label, row.why) for row in read("tfrecord", source)]
    assert found[0] == ("dog", "")
    assert [why for _, why in found[1:]] == [
        "several labels in one record",
        "several images in one record",
        "",
    ]
    assert found[3] == ("", "")
    for text, told in (
        ("cat\n\ndog\n", "found a blank line before the last"),
        ("\ncat\ndog\n", "found a blank line before the last"),
        ("crane\ncrane\n", "expected each class once, found 'crane' again"),
    ):
        (tmp_path / "labels.txt").write_text(text)
        with pytest.raises(DeepRankingError, match=told):
            read("tfrecord", source)
    (tmp_path / "labels.txt").write_text("0:cat\n\n1:dog\n")  # says the numbers itself
    assert read("tfrecord", source)[0].label == "dog"
    birds = [
        {"image/encoded": [png(n)], "image/class/label": [n], "image/class/text": [b"crane"]} for n in (7, 8)
    ]
    source = records(tmp_path / "b.tfrecord", *birds)
    with pytest.raises(
        DeepRankingError, match="'crane' is the text of the classes 7 and 8; --label image/cl"
    ):
        read("tfrecord", source)
    (tmp_path / "labels.txt").unlink()
    assert {row.label for row in read("tfrecord", source, label="image/class/label")} == {"7", "8"}


FIFTYONE = {  # as FiftyOne 1.22.1 exports the samples below
    "plain": {"1": "cat", "1-2": "dog", "v1.5": None, "noend": "cat", "1-3": "dog", "noend-2": None,
              "noend-3": "dog"},
    "confidence": {"1": {"label": "cat", "confidence": 0.5}, "1-2": {"label": "dog", "confidence": 0.5},
                   "v1.5": None, "noend": {"label": "cat", "confidence": 0.5},
                   "1-3": {"label": "dog", "confidence": 0.5}, "noend-2": None,
                   "noend-3": {"label": "dog", "confidence": 0.5}},
    "classes": {"1": 1, "1-2": 0, "v1.5": None, "noend": 1, "1-3": 0, "noend-2": None, "noend-3": 0},
    "several": {"1": ["cat"], "1-2": ["dog"], "v1.5": None, "noend": ["cat"], "1-3": ["dog"], "noend-2": None,
                "noend-3": ["dog"]},
}  # fmt: skip
SAMPLES = [("cat/1.png", "cat"), ("dog/1.png", "dog"), ("x/v1.5.png", None), ("cat/noend", "cat"),
           ("dog/1.jpg", "dog"), ("x/noend", None), ("x/noend.v2", "dog")]  # fmt: skip
NAMES = ["1.png", "1-2.png", "v1.5.png", "noend", "1-3.jpg", "noend-2", "noend-3.v2"]


@pytest.mark.parametrize("kind", FIFTYONE)
@pytest.mark.parametrize("by", ["written", "exported"])
def test_fiftyone_as_its_exporter_writes_it(tmp_path, kind, by):
    export = tmp_path / "export"
    folder_of(tmp_path / "photos", {name: number for number, (name, _) in enumerate(SAMPLES)})
    if by == "written":
        folder_of(export / "data", {name: number for number, name in enumerate(NAMES)})
        about = {"classes": ["dog", "cat"] if kind == "classes" else None, "labels": FIFTYONE[kind]}
        (export / "labels.json").write_text(json.dumps(about))
    else:
        fiftyone = pytest.importorskip("fiftyone", reason="the format's own package")
        from fiftyone.utils.data import FiftyOneImageClassificationDatasetExporter as Exporter

        more = {"confidence": {"include_confidence": True}, "classes": {"classes": ["dog", "cat"]}}
        with Exporter(export_dir=str(export), **more.get(kind, {})) as exporter:
            for name, label in SAMPLES:
                told = label and fiftyone.Classification(label=label, confidence=0.5)
                told = (
                    fiftyone.Classifications(classifications=[told]) if told and kind == "several" else told
                )
                exporter.export_sample(str(tmp_path / "photos" / name), told)
        assert json.loads((export / "labels.json").read_text())["labels"] == FIFTYONE[kind]
    found = [(row.label, row.why, number_of(row.image)) for row in read("fiftyone", export)]
    assert found == [(label or "", "", number) for number, (_, label) in enumerate(SAMPLES)]


def test_fiftyone_without_images_of_its_own_with_several_labels_and_bad_ones(tmp_path):
    folder_of(tmp_path / "photos", {"a.png": 1, "b.png": 2})
    labels = {str(tmp_path / "photos/a.png"): "cat", str(tmp_path / "photos/b.png"): ["cat", "dog"]}
    (tmp_path / "labels.json").write_text(json.dumps({"classes": None, "labels": labels}))
    rows = read("fiftyone", tmp_path)
    assert [(row.label, row.why) for row in rows] == [("cat", ""), ("", "several labels")]
    assert number_of(rows[0].image) == 1
    for value in (7, True, {"label": {}}):
        (tmp_path / "labels.json").write_text(json.dumps({"classes": ["cat"], "labels": {"/1": value}}))
        with pytest.raises(
            DeepRankingError, match=r"'/1': expected a class, or the number of one of 1, found"
        ):
            read("fiftyone", tmp_path)
    (tmp_path / "labels.json").rename(tmp_path / "samples.json")
    with pytest.raises(DeepRankingError, match=r"samples\.json, of a FiftyOneDataset; export it with"):
        read("fiftyone", tmp_path)


def test_titles_of_classes_are_whole_unless_they_are_synonyms_of_their_own(tmp_path):
    words = {
        "n01443537": "goldfish, Carassius auratus", "n02012849": "crane", "n03126707": "crane, hoist",
        "Ram C%2FV": "Ram C/V, 2012", "n1": "a, b",
    }  # fmt: skip
    lines_of(tmp_path / "classes.tsv", *(f"{name}\t{title}" for name, title in words.items()))
    assert class_titles(tmp_path) == words | {"n01443537": "goldfish"}


@pytest.mark.parametrize("name", ["b.tar.gz", "b.TGZ", "b.zip", "b.TAR", "b.tar.zst"])
def test_archives_that_are_not_read_are_named(tmp_path, name):
    source = tmp_path / "data"
    source.mkdir()
    (source / name).write_bytes(b"\x1f\x8b\x08")
    with tarfile.open(source / "a.tar", "w") as archive:
        add(archive, "cat/1.png", png(1))
    told = "tar file, not read: its name has to end in .tar"
    told = told if name == "b.TAR" else "compressed archive, not read; unpack it, or of a tar file its compr"
    found = look_into(source)
    assert found.unread[name].startswith(told)
    assert found.classes() == {"cat": ["a.tar/cat/1.png"]}
    images, summary = prepared(tmp_path, "webdataset", source)
    assert images == [("train", "cat", 1)]
    assert [(why.startswith(told), of["first"]) for why, of in summary["left_out"].items()] == [
        (True, [name])
    ]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["data/cat/1.png", "data/dog/2.png"], ["cat", "dog"]),
        (["./data/train/cat/1.png", "./data/train/dog/2.png"], ["cat", "dog"]),
        (["data/cat/1.png", "data/cat/2.png"], ["cat", "cat"]),
        (["cat/1.png", "cat/2.png"], ["cat", "cat"]),
        (["cat/1.png", "cat/young/2.png"], ["cat", "cat"]),
        (["cat/old/1.png", "dog/old/2.png"], ["cat", "dog"]),
        (["1.png", "data/cat/2.png"], ["", "data"]),
    ],
)
def test_the_folder_that_a_packed_folder_lies_in_is_no_class(tmp_path, names, labels):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "data/._x.png", b"mac")
        add(archive, "README", b"text")
        for number, name in enumerate(names):
            add(archive, name, png(number))
    assert list(look_into(tmp_path).labels.values()) == labels


def test_parts_in_a_packed_folder_are_a_question_too(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, name in enumerate(["data/train/cat/1.png", "data/val/cat/1.png"]):
            add(archive, name, png(number))
    with pytest.raises(DeepRankingError, match=r"found train/ and val/, which hold the same folders \(cat\)"):
        look_into(tmp_path).classes()


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Image,Label\n1.png,cat\n2.png,dog\n", ["cat", "dog"]),
        ("image, label\n1.png, cat\n\n2.png, dog\n", ["cat", "dog"]),
        (",image,label\n0,1.png,cat\n1,2.png,dog\n", ["cat", "dog"]),  # with the index of pandas
        (",,image\n0,0,1.png\n1,1,2.png\n", ["", ""]),
    ],
)
def test_headings_as_people_write_them(tmp_path, text, labels):
    folder_of(tmp_path, {"1.png": 1, "2.png": 2})
    (tmp_path / "a.csv").write_text(text)
    rows = read("table", tmp_path / "a.csv")
    assert [(row.label, row.split, row.group, row.why) for row in rows] == [
        (label, "", "", "") for label in labels
    ]


def test_a_quote_that_is_not_closed_swallows_no_lines(tmp_path):
    folder_of(tmp_path, {"1.png": 1, "2.png": 2})
    (tmp_path / "a.csv").write_text('image,label\n1.png,"cat\n2.png,dog\n')
    with pytest.raises(DeepRankingError, match=r"expected a table \(unexpected end of data\)"):
        read("table", tmp_path / "a.csv")


def test_one_image_in_two_classes_is_a_warning(tmp_path, caplog):
    folder_of(tmp_path, {"1.png": 1, "2.png": 2, "3.png": 3})
    (tmp_path / "a.csv").write_text("image,label\n1.png,cat\n1.png,dog\n2.png,cat\n3.png,\n")
    images, told = prepared(tmp_path, "table", tmp_path / "a.csv")
    assert [(label, number) for _, label, number in images if number == 1] == [("cat", 1), ("dog", 1)]
    assert told["copies_in_several_classes"] == 1
    assert "1 images lie in more than one class (the same bytes): which is true?" in caplog.text


def test_endings_of_a_tar_file_in_any_case_and_one_image_of_a_sample(tmp_path):
    source = tmp_path / "a.tar"
    with tarfile.open(source, "w") as archive:
        for name, content in (
            ("1.mask.png", png(9)), ("1.png", png(1)), ("1.cls", b"\xef\xbb\xbfcat\r\n"),
            ("2.PNG", png(2)), ("2.CLS", b"dog"), ("v1.5.png", png(3)), ("v1.5.cls", b"cow"),
        ):  # fmt: skip
            add(archive, name, content)

    def found(**how):
        rows = read("webdataset", source, **how)
        return [(number_of(io.BytesIO(row.image)), row.label) for row in rows if not row.why]

    assert found() == [(9, "cat"), (1, "cat"), (2, "dog"), (3, "cow")]
    assert found(image="png") == [(1, "cat"), (2, "dog"), (3, "cow")]
    assert found(image="mask.png") == [(9, "cat")]


@pytest.mark.parametrize(("base", "label"), [(0, 2), (0, -5), (1, 3)])
def test_numbers_that_no_class_has_are_refused(tmp_path, base, label):
    column = "image/class/label" if base else "label"
    source = records(tmp_path / "a.tfrecord", {"image": [png(1)], column: [label]})
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(
        DeepRankingError, match=f"record 0: expected a class from {base} to {1 + base}, found {label}"
    ):
        read("tfrecord", source)


def test_boxes_of_an_image_of_another_size_are_not_cut(tmp_path):
    folder_of(tmp_path, {"a.png": 1})
    about = {
        "images": [{"id": 1, "file_name": "a.png", "width": 16, "height": 16}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}],
    }
    (tmp_path / "a.json").write_text(json.dumps(about))
    (row,) = read("coco", tmp_path / "a.json", boxes=True)
    assert (row.image, row.why) == (
        None,
        "of another size than its annotations say, so that boxes do not fit",
    )
    assert [row.label for row in read("coco", tmp_path / "a.json")] == ["cat"]


def test_classes_that_differ_in_case_alone_have_folders_that_no_system_takes_for_one(tmp_path):
    folder_of(
        tmp_path, {f"{label}/1.png": n for n, label in enumerate(["cat", "Cat", "caf\u00e9", "cafe\u0301"])}
    )
    images, told = prepared(tmp_path, "imagefolder", tmp_path)
    assert told["classes"] == 4
    assert sorted(label for _, label, _ in images) == ["Cat", "cafe\u0301", "caf\u00e9~2", "cat~2"]
    titles = (tmp_path / "out of imagefolder/classes.tsv").read_text(encoding="utf-8")
    assert "cat~2\tcat\n" in titles
