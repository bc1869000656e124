"""Tar and Parquet files are indexed, learned from and shown in place: their images are paths like others."""

import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image as Picture
from samples import PixelEmbedder, write_image

from deep_ranking.cli import main
from deep_ranking.containers import contained, free_name, is_contained, listing, status
from deep_ranking.errors import DeepRankingError
from deep_ranking.files import file_hash, first_of_same_content
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import ImageError, read_image, read_size
from deep_ranking.images.find import find_classes, look_into
from deep_ranking.search import Index
from deep_ranking.triplets import read_triplets
from deep_ranking.triplets.table import Triplets

parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
pyarrow = pytest.importorskip("pyarrow")


def png(number):
    file = io.BytesIO()
    Picture.new("RGB", (9, 7), (number % 256, number // 256, 50)).save(file, "PNG")
    return file.getvalue()


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_table(path, numbers, labels, names=("cat", "dog"), **columns):
    """Write rows as Hugging Face does: structs of bytes and a base name that repeats, numbered classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(names)}}
    images = [{"bytes": png(n), "path": "0001.png"} for n in numbers]
    table = pyarrow.table({"image": images, "label": labels, **columns})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": about}})})
    parquet.write_table(table, path, row_group_size=7)


@pytest.fixture
def data(tmp_path):
    """A folder of a tar file, a Parquet file and a plain image."""
    folder = tmp_path / "data"
    members = [
        ("cat/1.png", png(1)),
        ("cat/1.png", png(2)),
        ("._cat.png", b"mac"),
        (".hid/4.png", png(4)),
        ("x/v1.5_0.png", png(3)),
    ]
    write_tar(folder / "a.tar", [*members, ("x/v1.5_0.cls", b"dog"), ("notes.txt", b"text")])
    write_table(folder / "sub/b.parquet", range(10, 30), [n % 2 if n % 5 else -1 for n in range(20)])
    write_image(folder / "z.png", "z")
    return folder


def index_of(data, tmp_path, **how):
    embedder = PixelEmbedder()
    with Index.from_folder(data, embedder, tmp_path / "index", quiet=True, **how) as index:
        labels = {image.path: image.label for image in index.snapshot.images}
        for image, vector in zip(index.snapshot.images, index.snapshot.matrix, strict=True):
            pixels = read_image(f"{data}/{image.path}", (2, 2)).ravel() / np.float32(255)
            assert np.array_equal(vector, pixels)
        return labels, index.report, len(embedder.seen)


def test_an_index_holds_each_image_of_a_container_with_its_own_label(data, tmp_path):
    labels, report, embedded = index_of(data, tmp_path, labels="folders")
    table = {f"sub/b.parquet/{n}": ["cat", "dog"][n % 2] if n % 5 else "" for n in range(20)}
    tar = {"a.tar/cat/1.png": "cat", "a.tar/cat/1~2.png": "cat", "a.tar/x/v1.5_0.png": "dog"}
    assert labels == {**tar, **table, "z.png": ""}
    assert (report.embedded, embedded) == (24, 24)
    assert report.left_out["label or data without an image beside it"]["first"] == ["a.tar/notes.txt"]
    _, report, embedded = index_of(data, tmp_path)
    assert (report.unchanged, embedded) == (24, 0)
    write_table(data / "sub/b.parquet", range(12, 32), [0] * 20)  # two are gone, two are new, all are moved
    labels, report, embedded = index_of(data, tmp_path)
    assert set(labels.values()) == {"cat", "dog", ""}
    assert (len(labels), embedded) == (24, 2)
    (data / "sub/b.parquet").write_bytes(b"PAR1 cut")
    labels, report, _ = index_of(data, tmp_path, forget_missing=True)
    assert len(labels) == 4
    assert "damaged, or no Parquet file" in report.skipped["sub/b.parquet"]


def test_what_opens_an_image_opens_one_in_a_container(data, tmp_path):
    for path, number in (("a.tar/cat/1~2.png", 2), ("a.tar/x/v1.5_0.png", 3), ("sub/b.parquet/17", 27)):
        place = data / path
        assert contained(place) == png(number)
        assert is_contained(place)
        assert file_hash(place) == hashlib.sha256(png(number)).digest()
        assert np.array_equal(read_image(place), read_image(png(number)))
        assert np.array_equal(ImageCache((4, 4)).read(place), read_image(png(number), (4, 4)))
        assert read_size(str(place)) == (9, 7)
        assert status(place).st_mtime_ns in {f.stat().st_mtime_ns for f in data.rglob("*.[tp]a*")}
    copy = tmp_path / "copy.png"
    copy.write_bytes(png(27))
    assert first_of_same_content([data / "sub/b.parquet/17", data / "a.tar/cat/1.png", copy]) == [0, 1, 0]
    for path in ("a.tar/none.png", "a.tar/../z.png", "sub/b.parquet/20", "z.png/x"):
        assert not is_contained(data / path)
        with pytest.raises(ImageError):
            read_image(data / path)
    assert contained(str(data / "z.png")) == str(data / "z.png")


def test_rows_of_a_table_are_read_by_place_in_any_order(tmp_path):
    write_table(tmp_path / "a.parquet", range(300), [0] * 300)
    order = np.random.default_rng(0).permutation(300).tolist()
    for row in [*range(300), *order, 5, 4, 3, 299, 0]:
        assert contained(tmp_path / f"a.parquet/{row}") == png(row)


def test_classes_of_containers_are_their_labels_and_parts_are_a_question(data, tmp_path, capsys, caplog):
    classes = find_classes(data)
    assert {name: len(images) for name, images in classes.items()} == {"cat": 2 + 8, "dog": 1 + 8}
    found = look_into(data)
    found.classes()
    assert found.left_out["sub/b.parquet/0"] == "unlabelled, so of no class"
    assert main(["sample", str(data), "--output_directory", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert "in tar and Parquet files 2 classes, 23 images, first: cat / 1.png" in told
    assert "4  unlabelled, so of no class" in caplog.text
    names = {name for triplet in read_triplets(tmp_path / "triplets.txt") for name in triplet}
    assert "a.tar/cat/1~2.png" in names
    assert all(is_contained(data / name) for name in names)
    assert len(Triplets.load(tmp_path / "triplets.txt", data).images) == len(names)
    for split in ("train", "test"):
        write_table(tmp_path / f"parts/{split}-00000-of-00001.parquet", range(4), [0, 1, 0, 1])
    told = "found tar or Parquet files of test and train; leave some out, as --exclude 'test-00000"
    with pytest.raises(DeepRankingError, match=told):
        find_classes(tmp_path / "parts")
    assert len(find_classes(tmp_path / "parts", exclude=["test-*"])) == 2


def test_a_folder_of_containers_alone_says_what_is_in_them(tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/a.tar").write_bytes(b"no tar file" * 100)
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "bare/b.parquet")
    write_tar(tmp_path / "bare/c.tar", [("notes.txt", b"text")])
    assert main(["index", str(tmp_path / "bare"), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "cut short, or no tar file (it does not end with zeros) (a.tar)" in error
    assert "expected a column named bytes or image, found text (b.parquet)" in error
    assert "tar file without images (c.tar)" in error
    assert main(["index", str(tmp_path / "bare/c.tar"), "--quiet"]) == 1
    assert "found a file; give the folder that holds it" in capsys.readouterr().err


def test_an_image_in_a_container_is_served_while_it_is_what_was_indexed(data, tmp_path):
    pytest.importorskip("fastapi", reason="needs the extra 'web'")
    from deep_ranking.web.problems import Problem
    from deep_ranking.web.thumbnails import read_indexed

    with Index.from_folder(data, PixelEmbedder(), tmp_path / "index", quiet=True) as index:
        images = {image.path: image for image in index.snapshot.images}
    assert read_indexed(str(data), images["sub/b.parquet/3"]) == png(13)
    outside = images["sub/b.parquet/3"]._replace(path="../data/sub/b.parquet/3")
    with pytest.raises(Problem):
        read_indexed(str(data / "sub"), outside)
    write_table(data / "sub/b.parquet", range(50, 60), [0] * 10)
    with pytest.raises(Problem):
        read_indexed(str(data), images["sub/b.parquet/3"])


def test_a_name_given_twice_is_refused_and_nothing_is_written(tmp_path):
    with Index.create(tmp_path / "index", 2, "x") as index:
        with pytest.raises(DeepRankingError, match=r"paths: expected each once, found 'a.jpg' again"):
            index.add(["b.jpg", "a.jpg", "a.jpg"], np.eye(3)[:, :2])
        assert len(index) == 0


def test_a_million_of_one_name_take_no_longer_each():
    taken = {}
    names = [free_name("a/image.jpg", taken) for _ in range(50_000)]
    assert len(set(names)) == 50_000
    assert (names[0], names[-1]) == ("a/image.jpg", "a/image~50000.jpg")


def test_a_label_far_behind_its_image_is_told(tmp_path):
    names = [f"v1.5_{number}" for number in range(70)]
    labels = [(f"{name}.cls", b"cat") for name in names]
    write_tar(tmp_path / "a.tar", [*((f"{name}.png", png(0)) for name in names), *labels])
    held, left_out = listing(tmp_path / "a.tar")
    unlabelled = {f"{name.removesuffix('.png')}.cls" for name, member in held.items() if not member.label}
    assert set(left_out) == unlabelled != set()


def test_names_that_lead_out_of_a_tar_stay_in_it(tmp_path):
    names = ["../up.png", "/root.png", "a//b.png", "./c.png", "a\nb.png", "\udcff.png"]
    write_tar(tmp_path / "a.tar", [(name, png(number)) for number, name in enumerate(names)])
    held = listing(tmp_path / "a.tar").members
    assert list(held) == ["up.png", "root.png", "a/b.png", "c.png", "a\nb.png", "\udcff.png"]
    assert [contained(tmp_path / "a.tar" / name) for name in held] == [png(n) for n in range(6)]


@pytest.mark.long
def test_ten_thousand_images_give_the_same_index_in_a_folder_a_table_and_tar_files(tmp_path):
    count, found = 10_000, {}
    pictures = [png(number) for number in range(count)]
    for number, content in enumerate(pictures):
        place = tmp_path / f"folder/{'cat' if number % 2 == 0 else 'dog'}/{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    write_table(tmp_path / "table/a.parquet", range(count), [number % 2 for number in range(count)])
    for shard in range(4):
        members = []
        for number in range(shard, count, 4):
            members += [
                (f"{number:05}.png", pictures[number]),
                (f"{number:05}.cls", b"cat" if number % 2 == 0 else b"dog"),
            ]
        write_tar(tmp_path / f"tar/{shard}.tar", members)
    for kind in ("folder", "table", "tar"):
        place = tmp_path / f"{kind}.index"
        with Index.from_folder(
            tmp_path / kind, PixelEmbedder(), place, quiet=True, labels="folders"
        ) as index:
            rows = zip(index.snapshot.images, index.snapshot.matrix, strict=True)
            found[kind] = sorted((image.hash, image.label, row.tobytes()) for image, row in rows)
    assert len(found["folder"]) == count
    assert found["folder"] == found["table"] == found["tar"]


def test_copies_in_a_tar_file_are_compared_by_their_pixels_and_win_nothing(tmp_path, caplog):
    rng = np.random.default_rng(0)
    pictures = [
        Picture.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((180, 160)) for _ in range(3)
    ]
    kinds = {}
    for number, picture in enumerate(pictures):
        for kind in ("PNG", "BMP"):
            file = io.BytesIO()
            picture.save(file, kind)
            kinds[number, kind] = file.getvalue()
    folder = tmp_path / "photos"
    write_tar(
        folder / "a.tar", [("0.png", kinds[0, "PNG"]), ("0.bmp", kinds[0, "BMP"]), ("1.png", kinds[1, "PNG"])]
    )
    for name, content in (("1.bmp", kinds[1, "BMP"]), ("1.png", kinds[1, "PNG"]), ("2.png", kinds[2, "PNG"])):
        (folder / name).write_bytes(content)
    with Index.from_folder(folder, PixelEmbedder(), tmp_path / "index", quiet=True) as index:
        groups = index.duplicates(quiet=True)
    assert not [message for message in caplog.messages if "gone" in message]
    found = {frozenset(image.path for image in group.images): group for group in groups}
    inside, mixed = frozenset({"a.tar/0.png", "a.tar/0.bmp"}), frozenset({"a.tar/1.png", "1.png", "1.bmp"})
    assert set(found) == {inside, mixed}
    assert (found[inside].won, found[inside].keep) == (0, "a.tar/0.bmp")
    assert {about.bytes for about in found[inside].about} == {len(kinds[0, kind]) for kind in ("PNG", "BMP")}
    assert found[mixed].won == sum(
        len(kinds[1, k]) for k, n in (("PNG", "1.png"), ("BMP", "1.bmp")) if n != found[mixed].keep
    )
