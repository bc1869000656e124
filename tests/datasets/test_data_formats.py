"""Each format of data sets, written by its own package: every image comes back once, with its true label."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from deep_ranking.cli import main
from deep_ranking.datasets.rows import FORMATS, Options
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import look_into


def png(number: int) -> bytes:
    """An image that is told from all others by its one colour."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(file, "PNG")
    return file.getvalue()


def number_of(path: Path) -> int:
    with Image.open(path) as image:
        red, green, _ = image.convert("RGB").getpixel((0, 0))
    return red + 256 * green


def prepared(tmp_path, name, source, *flags):
    """Prepare a source; return split, class and number of each image that was written, and the summary."""
    output = tmp_path / f"out of {name}"
    with pytest.MonkeyPatch.context() as patch:
        told = io.StringIO()
        patch.setattr("sys.stdout", told)
        code = main(
            ["prepare", name, "--source", str(source), "--output", str(output), "--json", "--quiet", *flags]
        )
    assert code == 0
    found = look_into(output)
    assert found.left_out.keys() <= {"classes.tsv"}
    images = sorted((*path.split("/")[:-1], number_of(output / path)) for path in found.images)
    return images, json.loads(told.getvalue())


def folder_of(root: Path, names: dict[str, int]) -> Path:
    for name, number in names.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(number))
    return root


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def test_imagefolder_of_hugging_face_keeps_class_names_and_repeated_file_names(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the format's own package")
    names = {
        f"{c}/{i:04}.png": 10 * k + i for k, c in enumerate(("cat", "dog", "test_tube")) for i in range(3)
    }
    source = folder_of(tmp_path / "data", names)
    images, told = prepared(tmp_path, "imagefolder", source)
    assert images == sorted(("train", name.split("/")[0], number) for name, number in names.items())
    assert (told["classes"], told["images"], told["dropped"]) == (3, 9, 0)
    assert told["first"] == "3 classes, 9 images, first: cat / 0000.png"
    # As Hugging Face reads the same folder and writes it again: null bytes and absolute paths.
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog", "test_tube"])}
    )
    rows = [
        {
            "image": {"path": str(source / name), "bytes": None},
            "label": ["cat", "dog", "test_tube"].index(name.split("/")[0]),
        }
        for name in names
    ]
    whole = datasets.Dataset.from_list(rows, features=features)
    (tmp_path / "hub").mkdir()
    whole.to_parquet(tmp_path / "hub/train-00000-of-00001.parquet")
    again, told = prepared(tmp_path, "hf-parquet", tmp_path / "hub")
    assert again == images
    assert told["dropped"] == 0


def test_parquet_of_hugging_face_with_repeated_names_unlabelled_rows_and_several_splits(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the format's own package")
    names = ["cat", "dog"]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})

    def write(split, numbers):
        rows = [
            {"image": {"path": f"{n % 2:04}.png", "bytes": png(n)}, "label": None if n % 5 == 4 else n % 2}
            for n in numbers
        ]
        datasets.Dataset.from_list(rows, features=features).to_parquet(
            tmp_path / f"{split}-00000-of-00001.parquet"
        )

    for split, numbers in (("train", range(20)), ("test", range(20, 30))):
        write(split, numbers)
    (tmp_path / "data").mkdir()
    for path in list(tmp_path.glob("*.parquet")):
        path.rename(tmp_path / "data" / path.name)
    images, told = prepared(tmp_path, "hf-parquet", tmp_path / "data")
    expected = []
    for split, numbers in (("train", range(20)), ("test", range(20, 30))):
        expected += [("unlabelled", split, n) if n % 5 == 4 else (split, names[n % 2], n) for n in numbers]
    assert images == sorted(expected)
    assert (told["unlabelled"], told["classes"], told["train"], told["test"]) == (6, 2, 16, 8)


def test_a_row_of_minus_one_is_unlabelled_and_no_class(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra 'data'")
    parquet = pytest.importorskip("pyarrow.parquet")
    about = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}
    table = pyarrow.table({"image": [png(1), png(2), None, png(4)], "label": [-1, 1, 0, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    parquet.write_table(table, tmp_path / "x.parquet")
    images, told = prepared(tmp_path, "hf-parquet", tmp_path / "x.parquet")
    assert images == [("train", "a", 4), ("train", "b", 2), ("unlabelled", "train", 1)]
    assert told["left_out"] == {"row without an image": {"count": 1, "first": ["x.parquet/2"]}}


def test_webdataset_with_dots_mac_members_other_labels_and_the_unlabelled(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="the format's own package")
    source = tmp_path / "train-000.tar"
    with webdataset.TarWriter(str(source)) as writer:
        for number in range(6):
            sample = {"__key__": f"{number:03}", "png": png(number), "json": b"{}", "coarse.cls": b"9"}
            writer.write(sample | ({"cls": number % 2} if number < 5 else {}))
    with tarfile.open(source, "a") as archive:
        for name, number, label in (("v1.5_0", 10, b"red"), ("v1.5_1", 11, b"blue"), ("a/x.y", 12, b"-1")):
            add(archive, f"{name}.png", png(number))
            add(archive, f"._{name}.png".replace("._a/", "a/._"), b"\0\5\x16\7 of macOS")
            add(archive, f"{name}.cls", label)
        add(archive, "orphan.cls", b"cat")
    images, told = prepared(tmp_path, "webdataset", source)
    expected = [("train", str(n % 2), n) for n in range(5)] + [("unlabelled", "train", 5)]
    expected += [("train", "red", 10), ("train", "blue", 11), ("unlabelled", "train", 12)]
    assert images == sorted(expected)
    hidden = told["left_out"].pop("hidden")
    assert hidden["count"] == 3
    assert told["left_out"] == {
        "label or data without an image beside it": {"count": 1, "first": ["train-000.tar/orphan.cls"]}
    }
    coarse, _ = prepared(tmp_path / "c", "webdataset", source, "--label", "coarse.cls")
    assert [c for c in coarse if c[1] == "9"] == [("train", "9", n) for n in range(6)]


def test_members_repeated_in_a_tar_are_images_of_their_own(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for number, label in enumerate((b"cat", b"dog", b"cat")):
            add(archive, "0001.png", png(number))
            add(archive, "0001.cls", label)
    images, _ = prepared(tmp_path, "webdataset", tmp_path / "x.tar")
    assert images == [("train", "cat", 0), ("train", "cat", 2), ("train", "dog", 1)]


@pytest.mark.parametrize(
    ("base", "features", "names"),
    [
        (0, ("image", "label"), ("label.labels.txt", "cat\ndog\n")),
        (1, ("image/encoded", "image/class/label"), ("labels.txt", "cat\ndog\n")),
        (0, ("image/encoded", "image/class/label"), ("labels.txt", "0:cat\n1:dog\n")),
    ],
)
def test_records_of_tensorflow_whose_classes_count_from_0_or_1(tmp_path, base, features, names):
    tensorflow = pytest.importorskip("tensorflow", reason="the format's own package")
    train = tensorflow.train
    source = tmp_path / "pets-train.tfrecord-00000-of-00001"
    with tensorflow.io.TFRecordWriter(str(source)) as writer:
        for number in range(5):
            feature = {
                features[0]: train.Feature(bytes_list=train.BytesList(value=[png(number)])),
                features[1]: train.Feature(int64_list=train.Int64List(value=[number % 2 + base])),
                "score": train.Feature(float_list=train.FloatList(value=[0.5, 0.25])),
                "file_name": train.Feature(bytes_list=train.BytesList(value=[b"same.png"])),
            }
            example = train.Example(features=train.Features(feature=feature))
            writer.write(example.SerializeToString())
    (tmp_path / names[0]).write_text(names[1])
    images, _ = prepared(tmp_path, "tfrecord", source)
    assert images == sorted(("train", ["cat", "dog"][n % 2], n) for n in range(5))
    whole = source.read_bytes()
    source.write_bytes(whole[:-7])
    with pytest.raises(DeepRankingError, match="record 4: cut short"):
        list(FORMATS["tfrecord"].read(source, Options()))


@pytest.mark.parametrize("beside", ["a.tar.idx", ".cache/b.tar", ".cache/a.tar.lock"])
def test_what_lies_beside_the_files_of_a_data_set_is_none_of_them(tmp_path, beside):
    source = tmp_path / "data"
    (source / beside).parent.mkdir(parents=True, exist_ok=True)
    (source / beside).write_bytes(b"v1.2 1\n")
    with tarfile.open(source / "a.tar", "w") as archive:
        add(archive, "cat/1.png", png(1))
    assert prepared(tmp_path, "webdataset", source)[0] == [("train", "cat", 1)]


@pytest.mark.parametrize("name", ["a.tar.gz", "A.TAR"])
def test_a_tar_file_of_another_kind_is_called_what_it_is_not(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    code = main(["prepare", "webdataset", "--source", str(tmp_path), "--output", str(tmp_path / "out")])
    assert code == 1
    assert "expected tar files, .tar, not compressed, found none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_parts_in_a_tar_file_are_no_classes(tmp_path, capsys):
    source = tmp_path / "data"
    source.mkdir()
    with tarfile.open(source / "a.tar", "w") as archive:
        for number, part in enumerate(["train", "val"]):
            for kind in ("cat", "dog"):
                add(archive, f"{part}/{kind}/1.png", png(number))
    with pytest.raises(DeepRankingError, match="found train/ and val/, which hold the same folders"):
        look_into(source).classes()
    assert set(look_into(source).classes(splits_are_classes=True)) == {"train", "val"}
    assert main(["prepare", "webdataset", "--source", str(source), "--output", str(tmp_path / "out")]) == 1
    assert "--levels split/class, or class/*" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
