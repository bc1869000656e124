"""What a person types: the index of a folder, and all that may be searched by."""

import copy
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import PixelEmbedder, write_image

from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Hit, Index, Options

COUNT = 12


@pytest.fixture
def photos(tmp_path):
    for number in range(COUNT):
        write_image(tmp_path / "photos" / f"class {number % 2}" / f"{number}.png", str(number))
    (tmp_path / "photos/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "photos/no image.jpg").write_text("text")
    (tmp_path / "photos/notes.txt").write_text("text")
    return tmp_path / "photos"


@pytest.fixture
def index(photos, embedder):
    with Index.from_folder(photos, embedder, quiet=True, labels="folders") as index:
        yield index


def test_a_folder_gives_its_index_beside_it_and_is_followed(photos, embedder):
    with Index.from_folder(photos, PixelEmbedder, quiet=True) as index:
        assert Path(index.store.name) == photos.with_name("photos.index")
        assert (len(index), index.report.embedded) == (COUNT, COUNT)
        assert sorted(index.report.skipped) == ["broken.png", "no image.jpg"]
    (photos / "class 0/0.png").unlink()
    with Index.from_folder(photos, embedder, quiet=True) as index:
        assert (len(index), index.report.removed, len(embedder.seen)) == (
            COUNT - 1,
            1,
            0,
        )  # not even the broken one
    with Index.open(photos) as index:
        assert (len(index), index.report) == (COUNT - 1, None)
        assert index.search(photos / "class 1/1.png", 1)[0].path == "class 1/1.png"


def test_the_index_may_be_elsewhere(photos, embedder, new_place):
    place = new_place()
    for _ in range(2):
        with Index.from_folder(str(photos), lambda: embedder, place, quiet=True) as index:
            assert len(index) == COUNT
    assert not photos.with_name("photos.index").exists()


def test_what_cannot_be_indexed_is_refused_and_leaves_nothing(tmp_path, photos, embedder):
    (tmp_path / "empty").mkdir()
    nameless = PixelEmbedder()
    nameless.fingerprint = ""
    for folder, model, message in [
        (tmp_path / "missing", embedder, "missing: expected a folder of images, found nothing"),
        (tmp_path / "empty", embedder, "expected images, found none"),
        (photos, "model.h5", "expected a loaded model, or a function that loads one, found str"),
        (photos, lambda: None, "expected a loaded model, .* found NoneType"),
        (photos, nameless, "expected a model that has a fingerprint"),
    ]:
        with pytest.raises(DeepRankingError, match=message):
            Index.from_folder(folder, model, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "photos"]


def test_a_place_that_cannot_be_written_is_told_before_anything_is_embedded(tmp_path, photos, embedder):
    (tmp_path / "file").touch()
    embedder.seen.clear()
    with pytest.raises(DeepRankingError, match=r"cannot be written there .* for the index: --index DIR"):
        Index.from_folder(photos, embedder, tmp_path / "file/photos.index", quiet=True)
    with pytest.raises(
        DeepRankingError, match=r"file: expected a folder for the index, or none yet; found a"
    ):
        Index.from_folder(photos, embedder, tmp_path / "file", quiet=True)
    assert not embedder.seen


def test_an_index_of_another_model_is_not_touched(photos, index, embedder):
    other = PixelEmbedder()
    other.fingerprint = "other"
    with pytest.raises(DeepRankingError, match=r"made with the model pixels .* delete the index, or choose"):
        Index.from_folder(photos, other, quiet=True)
    assert len(index) == COUNT


def test_an_image_is_searched_by_in_each_form_that_it_has(photos, index):
    path = photos / "class 0/4.png"
    right = index.search(path, 5)
    assert (right[0].path, right[0].distance) == ("class 0/4.png", 0)
    vector = index.snapshot.matrix[index.snapshot.row("class 0/4.png")]
    with Image.open(path) as picture:
        for query in (
            str(path),
            "class 0/4.png",
            path.read_bytes(),
            bytearray(path.read_bytes()),
            memoryview(path.read_bytes()),
            io.BytesIO(path.read_bytes()),
            picture,
            picture.convert("RGBA"),
            vector,
            vector[None],  # as `encode` gives it
            vector.tolist(),
            tuple(vector.tolist()),
            [path],
            (path for _ in range(2)),
            [vector, path.read_bytes()],
        ):
            assert index.search(query, 5) == right
    assert index.search(path, 5).queries == (str(path),)
    assert index.search(vector, 5).queries == ()


def test_bytes_of_an_indexed_file_need_no_embedder_and_can_be_left_out(photos, index):
    index.embedder = lambda: pytest.fail("no embedder is needed")
    content = (photos / "class 0/4.png").read_bytes()
    hits = index.search(content, COUNT, leave_self_out=True)
    assert "class 0/4.png" not in {hit.path for hit in hits}
    assert len(hits) == COUNT - 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_a_picture_of_any_mode_is_searched_by(index, mode):
    with Image.new("RGB", (8, 8), "orange") as picture:
        assert len(index.search(picture.convert(mode), 3)) == 3


def test_a_picture_is_turned_as_its_camera_says(index):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20], pixels[:, :30] = (255, 0, 0), (0, 255, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, exif=exif)
    with Image.open(file) as picture:
        by_picture = index.search(picture, 1)[0].distance
    assert by_picture == pytest.approx(index.search(file.getvalue(), 1)[0].distance, abs=1e-3)
    assert by_picture != pytest.approx(index.search(Image.fromarray(pixels), 1)[0].distance, abs=1e-3)


def test_filters_go_by_name_or_as_options_but_not_both(index):
    query = index.snapshot.matrix[3]
    assert index.search(query, 9, label="class 1") == index.search(query, 9, Options(label="class 1"))
    assert {hit.label for hit in index.search(query, None, label=["class 1"], folder=Path("class 1"))} == {
        "class 1"
    }
    assert len(index.search_batch(index.snapshot.matrix, 2, within=0)[5]) == 1
    for given, message in [
        ({"options": Options(), "label": "class 1"}, "either Options or label, not both"),
        ({"lable": "class 1"}, "lable: expected one of approximate, .* within"),
        ({"options": {"label": "class 1"}}, "options: expected Options, found"),
        ({"k": "5"}, "expected 1 result or more to look for, found '5'"),
    ]:
        with pytest.raises(DeepRankingError, match=message):
            index.search(query, **given)


@pytest.mark.parametrize(
    "query", [5, None, 1.5, {}, object(), [None], ["class 0/4.png", 5], ["class 0/4.png", None]]
)
def test_a_query_of_another_kind_is_told(index, query):
    expected = "query: expected a path, a PIL image, an image's encoded bytes, a vector of 12 coordinates"
    expected += "|expected at least one query|expected vectors of 12 coordinates"
    with pytest.raises(DeepRankingError, match=expected):
        index.search(query)


@pytest.mark.parametrize(
    ("shape", "instead"), [((2, 12), "search_batch takes many"), ((8, 8, 3), r"PIL.Image.fromarray\(array\)")]
)
def test_arrays_that_are_no_vector_are_told_what_takes_them(index, shape, instead):
    with pytest.raises(DeepRankingError, match=f"expected a vector of one axis, found the shape .*{instead}"):
        index.search(np.zeros(shape))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy])
def test_an_open_index_is_not_taken_along(index, copied):
    with pytest.raises(
        DeepRankingError, match=r"photos\.index: an open index is of the process .*Index\.open"
    ):
        copied(index)
    assert len(index) == COUNT


def test_bytes_that_are_no_image_are_told(index):
    with pytest.raises(DeepRankingError, match="cannot be read as an image"):
        index.search(b"no image")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda index: index.remove("12"),
        lambda index: index.remove(b"12"),
        lambda index: index.remove([1, 2]),
        lambda index: index.remove(None),
        lambda index: index.add("12", np.zeros((2, 12))),
        lambda index: index.add(["a", "b"], np.zeros((2, 12)), labels="xy"),
        lambda index: index.add([Path("a")], np.zeros((1, 12))),
    ],
)
def test_a_text_is_no_list_of_texts(index, wrong):
    index.add(["1", "2"], np.ones((2, 12)))
    with pytest.raises(DeepRankingError, match=r"(paths|labels): expected a list of texts, found"):
        wrong(index)
    assert len(index) == COUNT + 2


@pytest.mark.parametrize("vectors", ["12", ["a"] * 12, [[1, 2], [3]], None, [None], {}, [["1"] * 12]])
def test_what_are_no_vectors_is_told(index, vectors):
    with pytest.raises(DeepRankingError, match="expected vectors of 12 coordinates"):
        index.search_batch(vectors)
    with pytest.raises(DeepRankingError, match="expected vectors of 12 coordinates"):
        index.add(["a"], vectors)


@pytest.mark.parametrize(
    "settings",
    [
        {"label": 5},
        {"label": ("a", 5)},
        {"label": b"a"},
        {"folder": 5},
        {"within": "near"},
        {"beyond": []},
        {"approximate": "hnsw", "probe": 1.5},
        {"approximate": True},
    ],
)
def test_options_of_another_kind_are_told(settings):
    with pytest.raises(DeepRankingError, match=f"{list(settings)[-1]}: expected"):
        Options(**settings)


def test_duplicates_are_groups(photos, embedder):
    (photos / "copy.png").write_bytes((photos / "class 0/4.png").read_bytes())
    with Index.from_folder(photos, embedder, quiet=True, labels="folders") as index:
        (group,) = index.duplicates(within=0, quiet=True)
    assert group.images == (Hit("class 0/4.png", 0.0, "class 0"), Hit("copy.png", 0.0, ""))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda place, index: Index.open(None), "index: expected a path or the URL of a store, found None"),
        (lambda place, index: Index.exists(3), "index: expected a path or the URL of a store, found 3"),
        (
            lambda place, index: Index.create(place, "3", "x"),
            "dimension: expected a whole number of 1 or more",
        ),
        (
            lambda place, index: Index.create(place, 3.5, "x"),
            "dimension: expected a whole number of 1 or more",
        ),
        (lambda place, index: Index.create(place, 3, None), "fingerprint: expected a text, found None"),
        (lambda place, index: Index.create(place, 3, "x", {"a": 3}), "metadata a: expected a text, found 3"),
        (lambda place, index: index.write(metadata={"a": None}), "metadata a: expected a text, found None"),
        (lambda place, index: Index.from_folder("", place=place), "folder: expected a folder of images"),
        (lambda place, index: Index.from_folder(None, place=place), "folder: expected a folder of images"),
        (
            lambda place, index: index.duplicates("near"),
            "within: expected a distance of 0 or more, found 'near'",
        ),
    ],
)
def test_wrong_types_are_refused_in_words(tmp_path, monkeypatch, wrong, words):
    monkeypatch.chdir(tmp_path)
    with Index.create(tmp_path / "index", 3, "x") as index:
        index.add(["1", "2"], np.eye(3)[:2])
        with pytest.raises(DeepRankingError, match=words):
            wrong(tmp_path / "other", index)
        assert len(index) == 2
    assert not Index.exists(tmp_path / "other")
