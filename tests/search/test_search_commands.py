"""The commands index, search and duplicates, with an embedder that needs no network."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from samples import PixelEmbedder, write_image

from deep_ranking.cli import main
from deep_ranking.search import Index


@pytest.fixture
def images(tmp_path):
    for i in range(30):
        write_image(tmp_path / "images" / f"class {i % 2}" / f"{i}.png", str(i))
    (tmp_path / "images/class 0/copy.png").write_bytes((tmp_path / "images/class 0/4.png").read_bytes())
    (tmp_path / "images/class 0/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "images/class 0/empty.jpg").touch()
    (tmp_path / "images/notes.txt").write_text("no image, and no one says so")
    return tmp_path / "images"


@pytest.fixture
def folder(tmp_path, images, no_network, capsys):
    assert main(index_arguments(tmp_path, images)) == 0
    capsys.readouterr()
    return tmp_path / "index"


def index_arguments(tmp_path, images, *more):
    return [
        "index",
        "--model",
        "m.h5",
        "--images",
        str(images),
        "--index",
        str(tmp_path / "index"),
        "--quiet",
        "--labels",
        "folders",
        *more,
    ]


def run(capsys, *arguments):
    """Run a command that must succeed, and return what it printed."""
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def test_index_counts_what_it_did_and_lists_what_it_skipped(tmp_path, images, no_network, capsys, caplog):
    result = json.loads(run(capsys, *index_arguments(tmp_path, images, "--json")))
    skipped = result.pop("skipped")
    assert result.pop("left_out") == {
        "cut short or damaged": {"count": 1, "first": ["class 0/broken.png"]},
        "empty file": {"count": 1, "first": ["class 0/empty.jpg"]},
        "not an image": {"count": 1, "first": ["notes.txt"]},
    }
    assert result.pop("missing") == []
    assert result == {
        "index": str(tmp_path / "index"),
        "count": 31,
        "embedded": 30,
        "renamed": 0,
        "reused": 1,
        "removed": 0,
        "unchanged": 0,
    }
    assert sorted(skipped) == ["class 0/broken.png", "class 0/empty.jpg"]
    (images / "class 1/1.png").unlink()
    assert (
        main(["index", "--index", str(tmp_path / "index"), "--quiet"]) == 0
    )  # model and images are remembered
    printed = capsys.readouterr()
    assert printed.out == (
        "30 images in the index: 0 embedded, 0 renamed, 0 reused, 1 removed, 30 unchanged, 2 skipped\n"
    )
    assert "30 images; 3 left out" in caplog.text
    assert "1  cut short or damaged  class 0/broken.png" in caplog.text
    assert "skipped" not in printed.err  # it was told once


def test_search_prints_the_nearest(folder, images, capsys):
    lines = run(capsys, "search", "--index", folder, "--image", "class 0/4.png", "--top", 3).splitlines()
    assert lines[0] == "0.000000  class 0  class 0/4.png"
    assert lines[1] == "0.000000  class 0  class 0/copy.png"
    assert len(lines) == 3


def test_search_flags_reach_the_search(folder, images, tmp_path, capsys):
    def hits(*more):
        out = run(capsys, "search", "--index", folder, "--image", images / "class 0/4.png", "--json", *more)
        return json.loads(out)["hits"]

    everything = hits("--top", 0)
    assert len(everything) == 31
    distances = [hit["distance"] for hit in everything]
    assert distances == sorted(distances)
    assert hits("--top", 31, "--bottom")[0]["distance"] == distances[-1]
    assert [h["path"] for h in hits("--leave_self_out")] == [h["path"] for h in everything[2:12]]
    assert {h["label"] for h in hits("--label", "class 1")} == {"class 1"}
    assert {h["label"] for h in hits("--folder", "class 1/")} == {"class 1"}
    middle = (distances[9] + distances[10]) / 2
    assert hits("--top", 0, "--within", middle) == everything[:10]
    assert hits("--top", 0, "--beyond", middle) == everything[10:]
    write_image(tmp_path / "new.png", "new")
    new = run(capsys, "search", "--index", folder, "--image", tmp_path / "new.png", "--json")
    assert json.loads(new)["hits"][0]["distance"] > 0


def test_a_search_by_what_is_indexed_loads_no_network_and_no_scipy(folder, images):
    code = (
        "import sys; from deep_ranking.cli import main\n"
        f"assert main(['search', '--index', {str(folder)!r}, '--image', 'class 0/4.png']) == 0\n"
        "heavy = {'keras', 'tensorflow', 'scipy', 'sklearn', 'PIL', 'ray', 'psycopg', 'pgvector'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_local_run_needs_none_of_what_is_for_a_cluster(tmp_path, images, no_network, monkeypatch, capsys):
    for name in ("cluster", "ray_cluster", "ray_data", "shards", "sources", "update", "worker"):
        monkeypatch.setitem(sys.modules, f"deep_ranking.extras.ray.{name}", None)  # importing it would fail
    assert json.loads(run(capsys, *index_arguments(tmp_path, images, "--json")))["embedded"] == 30
    assert main(index_arguments(tmp_path, images, "--shards", "x")) == 1
    assert "--shards: no effect without --ray" in capsys.readouterr().err


def test_a_folder_of_images_stands_for_the_index_beside_it(tmp_path, images, no_network, capsys):
    beside = tmp_path / "images.index"
    run(
        capsys,
        "index",
        "--model",
        "m.h5",
        "--images",
        images,
        "--index",
        beside,
        "--quiet",
        "--labels",
        "folders",
    )
    found = run(capsys, "search", "--index", images, "--image", "class 0/4.png", "--top", 1)
    assert found == "0.000000  class 0  class 0/4.png\n"
    again = json.loads(run(capsys, "index", "--index", images, "--json", "--quiet"))
    assert (again["index"], again["unchanged"]) == (str(beside), 31)
    assert not (images / "store.sqlite").exists()
    assert "1 group of 2 images" in run(capsys, "duplicates", "--index", images, "--within", 0, "--quiet")
    assert main(["ratings", "summary", "--index", str(images)]) == 1
    assert f"{beside / 'ratings.sqlite'}: no ratings there" in capsys.readouterr().err


def test_a_file_name_that_is_not_utf8_is_printed_as_it_is(tmp_path, images, no_network, capfdbinary):
    name = b"caf\xe9.png"
    (images / "class 0/copy.png").rename(os.fsdecode(bytes(images) + b"/" + name))
    assert main(index_arguments(tmp_path, images)) == 0
    assert (
        main(["search", "--index", str(tmp_path / "index"), "--image", os.fsdecode(name), "--top", "1"]) == 0
    )
    assert capfdbinary.readouterr().out.endswith(b"0.000000  " + name + b"\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--index", "{tmp}", "--image", "a.jpg"], "found no store.sqlite in it"),
        (["learn", "{photos}"], "make one with: deep-ranking index {photos}\n"),  # beside it, not in it
        (["learn", "{tmp}/new"], "make one with: deep-ranking index FOLDER --index {tmp}/new\n"),
        (["search", "--index", "{index}", "--image", "a.jpg"], "a.jpg: expected an image file or a path in"),
        (
            ["search", "--index", "{index}", "--image", "class 0/4.png", "--top", "-1"],
            "expected 1 result or more",
        ),
        (["index", "--index", "{tmp}/new"], "expected a folder of images, which a new index"),
        (
            ["index", "--index", "{tmp}/new", "--model", "m", "--images", "{tmp}/none"],
            "expected a folder of images",
        ),
        (["duplicates", "--index", "{index}", "--within", "-1"], "within: expected a distance of 0"),
    ],
)
def test_mistakes_are_explained(folder, tmp_path, capsys, arguments, message):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.png").touch()
    places = {"tmp": tmp_path, "index": folder, "photos": tmp_path / "photos"}
    assert main([a.format(**places) for a in arguments]) == 1
    error = capsys.readouterr().err
    assert message.format(**places) in error
    assert error.count("\n") == 1


def test_another_model_than_the_indexs_is_refused_though_nothing_has_to_be_embedded(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.undo()  # of what stands for the network and its checks
    (tmp_path / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n model_config")
    query = ["search", str(folder), "class 0/4.png", "--model", str(tmp_path / "other.h5")]
    assert main(query) == 1
    assert "made with another model" in capsys.readouterr().err


def test_a_folder_of_nothing_but_broken_images_fails(tmp_path, no_network, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert main(index_arguments(tmp_path, tmp_path / "images")) == 1
    assert "expected images, found only 1 cut short or damaged (broken.png)" in capsys.readouterr().err


def test_a_folder_without_images_makes_no_index(tmp_path, no_network, capsys):
    (tmp_path / "images").mkdir()
    assert main(index_arguments(tmp_path, tmp_path / "images")) == 1
    assert "expected images, found none" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


def test_an_index_that_a_first_run_left_empty_says_so_and_is_still_of_its_model(
    tmp_path, images, no_network, monkeypatch, capsys
):
    with monkeypatch.context() as failing:
        failing.setattr(PixelEmbedder, "fingerprint", "another")
        failing.setattr(PixelEmbedder, "dimension", 5)  # its vectors have 12
        assert main(index_arguments(tmp_path, images)) == 1
    assert "expected the embedder to return vectors" in capsys.readouterr().err
    assert main(["search", "--index", str(tmp_path / "index"), "--image", "class 0/4.png"]) == 1
    assert "the index is empty; put images into it with" in capsys.readouterr().err
    assert main(index_arguments(tmp_path, images)) == 1
    assert "their distances cannot be compared: use that model, delete the" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "index")
    assert json.loads(run(capsys, *index_arguments(tmp_path, images, "--json")))["embedded"] == 30


@pytest.mark.parametrize("command", ["index", "search"])
def test_a_damaged_store_is_explained(tmp_path, images, no_network, capsys, command):
    (tmp_path / "index").mkdir()
    (tmp_path / "index/store.sqlite").write_text("hi\n")
    search = ["search", "--index", str(tmp_path / "index"), "--image", "a.png"]
    assert main(index_arguments(tmp_path, images) if command == "index" else search) == 1
    error = capsys.readouterr().err
    assert "damaged, or no SQLite file" in error
    assert error.count("\n") == 1


def test_of_two_first_runs_at_once_the_later_goes_on_in_the_index_of_the_earlier(
    tmp_path, images, no_network, monkeypatch, capsys
):
    def load(*_):  # while the network loads, the other run makes the index
        Index.create(tmp_path / "index", 12, "pixels").close()
        return PixelEmbedder()

    monkeypatch.setattr("deep_ranking.embedding.kept.open_encoder", load)
    assert json.loads(run(capsys, *index_arguments(tmp_path, images, "--json")))["count"] == 31


def test_duplicates_of_a_folder_that_is_not_there_now_say_that_no_picture_was_looked_at(
    folder, images, capsys, caplog
):
    run(capsys, "duplicates", folder)
    run(capsys, "duplicates", folder, "--within", "0.0001")  # which looks at those that are near alone
    assert not caplog.text
    images.rename(images.with_name("elsewhere"))
    assert "1 group of 2 images" in run(capsys, "duplicates", folder)
    assert "30 images: not there as indexed, or not to be read" in caplog.text


def test_duplicates_as_a_table_as_json_and_as_a_page(folder, tmp_path, images, capsys):
    for path in ("class 0/4.png", "class 0/copy.png"):
        os.utime(images / path, (0, 0))
    run(capsys, *index_arguments(tmp_path, images))
    size = (images / "class 0/4.png").stat().st_size
    table = (
        "group 1: 2 images, keep class 0/4.png (first by path)\n"
        "* 0.000000  copy  class 0/4.png  16 x 16  PNG  0 kB  1970-01-01\n"
        "  0.000000  copy  class 0/copy.png  same bytes  16 x 16  PNG  0 kB  1970-01-01\n"
    )
    assert run(capsys, "duplicates", "--index", folder, "--within", 0, "--quiet") == (
        f"{table}1 group of 2 images within 0 of the one to keep, 0.0 MB to win; nothing was deleted\n"
    )
    assert run(capsys, "duplicates", "--index", folder, "--quiet") == (
        f"{table}1 group of 2 images, 0.0 MB to win; nothing was deleted\n"
    )
    result = json.loads(run(capsys, "duplicates", "--index", folder, "--within", 0, "--json", "--quiet"))
    assert [image["path"] for image in result["groups"][0]] == ["class 0/4.png", "class 0/copy.png"]
    assert [image["copy"] for image in result["groups"][0]] == [True, True]
    assert [image["keep"] for image in result["groups"][0]] == [True, False]
    assert result["keep"] == [{"path": "class 0/4.png", "reason": "first by path", "bytes_won": size}]
    about = {"why": "same bytes", "width": 16, "height": 16, "bytes": size, "format": "PNG", "modified": 0.0}
    assert result["groups"][0][1].items() >= (about | {"link": False}).items()
    (images / "class 0/4.png").unlink()
    page = tmp_path / "page.html"
    run(capsys, "duplicates", "--index", folder, "--within", 0, "--html", page, "--quiet")
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 1
    assert "cannot be read" in text
    assert "http" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "index", "page.html"]


def test_measure_recommends_a_setting(folder, capsys):
    pytest.importorskip("faiss")
    result = json.loads(run(capsys, "index", "--index", folder, "--measure", "--json", "--quiet"))
    assert {m["approximate"] for m in result["measurements"]} == {None, "clustered", "hnsw"}
    assert result["recommended"] in result["measurements"]
    assert result["recommended"]["recall"] >= 0.95
    assert "recommended, the fastest with recall@10" in run(
        capsys, "index", "--index", folder, "--measure", "--quiet"
    )
