"""One suite over every store: what is written is what is found, whoever writes."""

import itertools
import json
import os
import threading
import time

import numpy as np
import pytest
from samples import vectors_like_embeddings, write_image

from deep_ranking.cli import main
from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Index, Options, find_duplicates, update_index
from deep_ranking.search.image import Image
from deep_ranking.search.measure import measure, recommend
from deep_ranking.search.store import IndexExistsError

pytestmark = pytest.mark.usefixtures("store")

VECTORS = vectors_like_embeddings(40, 5)
PATHS = [f"{number:02}.jpg" for number in range(len(VECTORS))]


@pytest.fixture
def place(new_place):
    return new_place()


@pytest.fixture
def index(place):
    with Index.create(place, 5, "test", {"note": "kept"}) as index:
        index.add(PATHS, VECTORS)
        yield index


def nearest(index, vector, **options):
    return index.search(vector, 1, Options(**options))[0].path


def test_put_replaced_relabelled_and_removed(index):
    assert len(index) == 40
    assert nearest(index, VECTORS[7]) == "07.jpg"
    index.add(["07.jpg"], VECTORS[:1], ["new"])  # a new content, under an old path
    assert len(index) == 40
    assert [hit.path for hit in index.search(VECTORS[0], 2)] == ["00.jpg", "07.jpg"]
    assert nearest(index, VECTORS[0], label="new") == "07.jpg"
    index.add(["07.jpg"], VECTORS[:1], ["newer"])  # the same content, under another label
    assert index.search(VECTORS[0], 2, Options(label="newer"))[0].distance == 0
    with pytest.raises(DeepRankingError, match="found 'new'"):
        index.search(VECTORS[0], 2, Options(label="new"))
    assert index.remove(["07.jpg", "08.jpg", "08.jpg", "never.jpg"]) == 2
    assert len(index) == 38
    assert not {"07.jpg", "08.jpg"} & {hit.path for hit in index.search(VECTORS[7], None)}
    assert {image.path for image in index.snapshot.images} == set(PATHS) - {"07.jpg", "08.jpg"}


def test_copies_share_a_vector_and_are_left_out_together(index):
    content = b"\x01" * 32
    images = [Image(path, content, 1, 2) for path in ("copy a", "copy b")]
    index.write(images, {content: VECTORS[3]})
    assert [hit.path for hit in index.search("copy b", 3)] == ["03.jpg", "copy a", "copy b"]
    left = index.search("copy b", 3, Options(leave_self_out=True))
    assert not {"copy a", "copy b"} & {hit.path for hit in left}
    (group,) = find_duplicates(index.snapshot, 0, quiet=True)
    assert (len(group.images), group.copies) == (3, {"copy a", "copy b"})
    index.remove(["copy a"])
    assert index.store.known([content, b"\x02" * 32]) == {content}
    index.remove(["copy b"])
    assert index.store.known([content]) == set()


def test_any_file_name_comes_back_as_it_went_in_and_in_order(index):
    names = [
        b"caf\xe9.png",
        "é\n'\"%s,\\.jpg".encode(),
        b"\xff",
        b"a/b c",
        b"a",
        b"A",
        b"zz/\xf0\x9f\x90\x88",
    ]
    paths = [name.decode("utf-8", "surrogateescape") for name in names]
    index.remove(PATHS)
    index.add(paths, VECTORS[: len(paths)], paths)
    assert [image.path.encode("utf-8", "surrogateescape") for image in index.snapshot.images] == sorted(names)
    for path, vector in zip(paths, VECTORS, strict=False):
        assert nearest(index, vector, label=path) == path
        assert np.array_equal(index.snapshot.matrix[index.snapshot.row(path)], vector)
        assert index.search(path, 1)[0].distance == 0
    assert index.snapshot.row("nowhere") is None


def test_what_does_not_fit_is_refused_and_changes_nothing(index, place):
    version = index.store.version()
    with pytest.raises(DeepRankingError, match="expected vectors of 5 coordinates, found the shape"):
        index.add(["a", "b"], np.ones((2, 4)))
    with pytest.raises(DeepRankingError, match=r"made with the model test .* found the model other"):
        index.check_model("other", 5)
    with pytest.raises(IndexExistsError, match="there is an index already"):
        Index.create(place, 3, "other")
    index.remove(["never.jpg"])
    assert Index.exists(place)
    assert index.store.version() == version
    assert len(index) == 40


def test_where_there_is_no_index_it_says_how_to_make_one(place):
    assert not Index.exists(place)
    with pytest.raises(DeepRankingError, match=r"expected an index, found no.* make one with: deep-ranking"):
        Index.open(place)


def test_another_that_has_it_open_sees_what_was_written(index, place):
    with Index.open(place) as other:
        assert dict(other.metadata)["note"] == "kept"
        assert len(other) == 40
        index.remove(["03.jpg"])
        index.write(metadata={"images": "caf\udce9"})  # a folder whose name is no UTF-8
        other.refresh()
        assert len(other) == 39
        assert nearest(other, VECTORS[3]) != "03.jpg"
        assert nearest(other, VECTORS[3]) == nearest(index, VECTORS[3])
        other.add(["03.jpg"], VECTORS[3:4])
    with Index.open(place) as later:
        assert later.metadata["images"] == "caf\udce9"
    index.refresh()
    assert nearest(index, VECTORS[3]) == "03.jpg"


def test_an_index_is_of_one_model_also_when_it_is_empty(index, embedder):
    index.remove(PATHS)
    for ask in (lambda: index.check_model("pixels", 12), lambda: update_index(index, ".", ["a"], embedder)):
        with pytest.raises(DeepRankingError, match=r"made with the model test .*use that model, delete the"):
            ask()


def test_each_index_has_an_identity_of_its_own(index, new_place):
    with Index.create(new_place(), 5, "test") as other:
        assert len(other.metadata["identity"]) == 8
        assert other.metadata["identity"] != index.metadata["identity"]


@pytest.mark.parametrize("clock", ["stands", "runs backwards", "jumps"])
def test_neither_identity_nor_version_rests_on_the_clock(new_place, embedder, tmp_path, monkeypatch, clock):
    """As where a machine starts in 1970, or is moved; files have such times too, and each change a size."""
    times = {"stands": lambda n: 1e9, "runs backwards": lambda n: 1e9 - n, "jumps": lambda n: 1e9 * (n % 2)}
    count = itertools.count()
    tell = lambda: times[clock](next(count))  # noqa: E731
    monkeypatch.setattr(time, "time", tell)
    monkeypatch.setattr(time, "time_ns", lambda: int(tell() * 1e9))
    root, seen = tmp_path / "images", []

    def write(number, text):
        write_image(root / f"{number}.png", text)
        with (root / f"{number}.png").open("ab") as file:
            file.write(text.encode())
        os.utime(root / f"{number}.png", (tell(),) * 2)

    with Index.create(new_place(), 12, "pixels") as index, Index.create(new_place(), 12, "pixels") as other:
        assert index.metadata["identity"] != other.metadata["identity"]
        identity = index.metadata["identity"]
        for turn in range(3):
            for number in range(turn, turn + 3):  # one more each time; of each, another content
                write(number, f"{turn} {number}" + 50 * turn * "x")
            paths = sorted(path.name for path in root.iterdir())
            report = update_index(index, root, paths, embedder, quiet=True)
            assert report.embedded >= 3
            seen.append(index.store.version())
            index.refresh()
            for path in paths:
                hit = index.search(root / path, 1)[0]
                assert (hit.path, hit.distance) == (path, 0)
            index.remove(["0.png"])
            seen.append(index.store.version())
        assert len(set(seen)) == len(seen) == 6
        assert index.metadata["identity"] == identity


def test_it_follows_a_folder(place, embedder, tmp_path):
    root = tmp_path / "images"
    for number in range(12):
        write_image(root / f"class {number % 2}" / f"{number}.png", str(number))

    def follow():
        paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
        return update_index(index, root, paths, embedder, chunk=5, quiet=True), paths

    with Index.create(place, 12, "pixels") as index:
        assert follow()[0].embedded == 12
        embedder.seen.clear()
        (root / "class 0/0.png").rename(root / "class 1/renamed.png")
        (root / "class 0/2.png").unlink()
        (root / "class 0/copy.png").write_bytes((root / "class 0/4.png").read_bytes())
        write_image(root / "class 0/8.png", "changed")
        report, paths = follow()
        assert (report.embedded, report.renamed, report.reused, report.removed) == (1, 1, 1, 1)
        assert (report.unchanged, len(embedder.seen)) == (9, 1)
        assert [image.path for image in index.snapshot.images] == paths
        hits = index.search(root / "class 0/4.png", 2)
        assert [(hit.path, hit.distance) for hit in hits] == [("class 0/4.png", 0), ("class 0/copy.png", 0)]


def test_a_setting_is_recommended(index):
    pytest.importorskip("faiss")
    measured = list(measure(index.snapshot))
    assert {m.approximate for m in measured} == {None, *index.snapshot.kinds}
    assert recommend(measured).recall >= 0.95
    assert all(0 < m.recall <= 1 and m.milliseconds > 0 for m in measured)


def test_one_searches_while_another_writes(index, place, store):
    """Each image's first coordinate says which writing it is of; a search finds each path once, whole."""
    rounds = 400 if store == "memory" else 12  # long enough for a search in between

    def write():
        with Index.open(place) as writer:
            for number in range(1, rounds + 1):
                moved = VECTORS + np.float32(number)
                writer.add(PATHS, moved, [str(number)] * len(PATHS))
                writer.add([f"new {number}"], moved[:1])

    index.add(PATHS, VECTORS, ["0"] * len(PATHS))
    thread = threading.Thread(target=write)
    thread.start()
    searches = 0
    while thread.is_alive() or not searches:
        index.refresh()
        hits = index.search(VECTORS[0], None)
        assert len({hit.path for hit in hits}) == len(hits)
        for hit in hits:
            if hit.path in PATHS:
                vector = VECTORS[PATHS.index(hit.path)] + np.float32(hit.label)
                assert hit.distance == pytest.approx(np.linalg.norm(vector - VECTORS[0]), rel=1e-5, abs=1e-6)
        searches += 1
    thread.join()
    index.refresh()
    assert len(index.search(VECTORS[0], None)) == len(index) == len(PATHS) + rounds
    assert searches > 1


def test_the_commands_take_it_as_index_or_as_store(place, no_network, tmp_path, capsys):
    for number in range(6):
        write_image(tmp_path / "images/class" / f"{number}.png", str(number % 5))

    def run(*arguments):
        assert main([*map(str, arguments), "--quiet"]) == 0
        return capsys.readouterr().out

    images = ("--model", "m.h5", "--images", tmp_path / "images", "--labels", "folders")
    assert json.loads(run("index", "--store", place, *images, "--json"))["embedded"] == 5
    assert json.loads(run("index", "--index", place, "--json"))["unchanged"] == 6
    assert (
        run("search", "--store", place, "--image", "class/3.png", "--top", 1)
        == "0.000000  class  class/3.png\n"
    )
    assert "1 group of 2 images" in run("duplicates", "--index", place, "--within", 0)
