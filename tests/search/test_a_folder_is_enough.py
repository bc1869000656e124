"""A folder is enough: commands without flags, and what they say to type next."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from samples import PixelEmbedder, write_image

from deep_ranking.cli import main, shared, similarity
from deep_ranking.description import description
from deep_ranking.search import Index
from deep_ranking.search.measure import PairDistances


@pytest.fixture
def typed(tmp_path, no_network, monkeypatch, capsys):
    """Give a function that runs a command beside a flat folder of 20 images, and gives what it printed."""
    for i in range(20):
        write_image(tmp_path / "photos" / f"{i:02}.png", str(i))
    write_image(tmp_path / "photos/copy.png", "4")
    write_image(tmp_path / "new.png", "new")
    monkeypatch.chdir(tmp_path)
    loaded = []

    class Described(PixelEmbedder):
        """A description, as far as the commands ask for one."""

        def metadata(self):
            return {"description": "pixels"}

        def embed_image(self, path):
            return self.embed([path])[0][0]

    def make(*given, **how):
        loaded.append(given)
        return Described()

    monkeypatch.setattr(description.Description, "fit", make)
    monkeypatch.setattr(description, "embedder_of", make)

    def run(line, status=0):
        assert main(line.split()) == status, capsys.readouterr().err
        return capsys.readouterr()

    run.loaded = loaded
    return run


def test_one_command_from_a_flat_folder_to_the_nearest_images(typed):
    printed = typed("search photos new.png --top 3")
    lines = printed.out.splitlines()
    assert len(lines) == 3
    assert len(typed.loaded) == 1  # for the images and for the query
    assert "photos: no index yet; making photos.index\n" in printed.err
    assert "21 images in the index: 20 embedded, 0 renamed, 1 reused" in printed.err
    assert printed.err.endswith(
        "next: deep-ranking search photos new.png --open\n"
        "      deep-ranking duplicates photos\n"
        "      deep-ranking serve photos\n"
    )
    distances = [float(line.split()[0]) for line in lines]
    assert distances == sorted(distances)
    again = typed("search photos new.png --top 3")
    assert again.out == printed.out
    assert "making" not in again.err


@pytest.mark.parametrize(
    "line",
    [
        "search photos new.png --top 3 --json",
        "search --top 3 photos --json new.png",
        "search photos --image new.png --top 3 --json",
        "search photos.index new.png --top 3 --json",
        "search --index photos.index new.png --top 3 --json",
        "search --index photos --image new.png --top 3 --json",
        "search --store photos/ --top 3 new.png --json",
    ],
)
def test_places_and_flags_mean_the_same_in_any_order(typed, line):
    typed("index photos --quiet")
    wanted = Index.open("photos.index", PixelEmbedder()).search("new.png", k=3)
    printed = typed(line)
    found = json.loads(printed.out)
    assert [hit["path"] for hit in found["hits"]] == [hit.path for hit in wanted]
    assert found["query"] == ["new.png"]
    assert printed.err == ""


def test_an_index_says_where_it_is_and_what_comes_next_and_is_brought_up_to_date_by_either_name(typed):
    printed = typed("index photos")
    assert printed.out == (
        "21 images in the index: 20 embedded, 0 renamed, 1 reused, 0 removed, 0 unchanged, 0 skipped\n"
    )
    assert printed.err.endswith(
        "the index is photos.index\n"
        "next: deep-ranking search photos IMAGE --open\n"
        "      deep-ranking duplicates photos\n"
        "      deep-ranking serve photos\n"
    )
    write_image(Path("photos/more.png"), "more")
    for line in ("index photos", "index photos.index", "index --index photos.index", "index --images photos"):
        assert "22 images in the index: " in typed(line).out
    assert "22 embedded" not in typed("index photos").out
    elsewhere = typed("index photos --index other")
    assert "next: deep-ranking search other IMAGE --open\n" in elsewhere.err
    assert json.loads(typed("index other --images photos --json").out)["unchanged"] == 22


def test_duplicates_makes_the_index_that_it_needs_and_says_nothing_more_if_quiet(typed):
    printed = typed("duplicates photos --within 0 --quiet")
    assert "1 group of 2 images within 0 of the one to keep" in printed.out
    assert printed.err.count("\n") == 1  # how many there are in the index
    assert typed("duplicates photos --within 0").err.endswith(
        "next: deep-ranking duplicates photos --open\n      deep-ranking serve photos\n"
    )


def test_serve_embeds_uploads_by_what_made_the_index(typed, monkeypatch):
    pytest.importorskip("fastapi")
    from deep_ranking.web import app

    served = []
    monkeypatch.setattr(app, "serve", lambda app, host, port, started: (served.append(app), started("there")))
    for line, loaded in (("serve photos", 1), ("serve photos", 2), ("serve --index photos.index", 3)):
        printed = typed(line)
        embedder = served[-1].state.site.embedder  # the first made the index; else it is loaded behind
        assert isinstance(embedder if loaded == 1 else embedder.loaded(), PixelEmbedder)
        assert len(typed.loaded) == loaded
        served[-1].state.site.close()
    assert printed.out == (
        "serving photos.index at there (Ctrl-C ends it)\n"
        "next: deep-ranking ratings export --index photos.index  (what is rated there)\n"
    )


def test_similarity_says_what_the_distance_means_among_the_images_of_its_folder(typed):
    typed("index photos --quiet")
    with Index.open("photos", PixelEmbedder()) as index:
        pairs = PairDistances(index.snapshot.matrix)
        one, other = index.vectors(["photos/00.png", "new.png"])
    distance = float(np.linalg.norm(one - other))
    share = np.mean([apart > distance for apart in pairs.distances])
    assert 0 < share < 1
    for line in ("similarity photos/00.png new.png", "similarity new.png photos/00.png --index photos"):
        printed = typed(line)
        assert printed.out == f"{distance:.6f}\n"
        assert f"closer than {share:.1%} of the pairs of images in " in printed.err
    told = json.loads(typed("similarity --image1 photos/00.png --image2 new.png --json").out)
    assert told["closer_than"] == pytest.approx(share)
    assert told["distance"] == pytest.approx(distance)
    loaded = len(typed.loaded)
    assert typed("similarity photos/00.png photos/01.png").out  # both are in the index
    assert len(typed.loaded) == loaded


def test_of_many_images_pairs_are_a_sample():
    rows = np.random.default_rng(3).standard_normal((300, 4)).astype(np.float32)
    everything, some = PairDistances(rows), PairDistances(rows, most=2_000)
    assert len(some.distances) == 2_000 < len(everything.distances) == 300 * 299 // 2
    for distance in (0.5, 1, 2, 3):
        assert some.closer_than(distance) == pytest.approx(everything.closer_than(distance), abs=0.04)


def test_hits_and_groups_are_shown_as_pictures_in_the_browser(typed, monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    typed("search photos new.png --top 3 --open")
    typed("duplicates photos --within 0 --open --quiet")
    hits, groups = (Path(address.removeprefix("file://")).read_text() for address in opened)
    assert hits.count("data:image/jpeg;base64,") == 4  # and the query
    assert groups.count("data:image/jpeg;base64,") == 2
    assert "http" not in hits
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert "to be opened in a browser: file://" in typed("search photos new.png --open").err
    assert "as pictures: hits.html" in typed("search photos new.png --html hits.html").err
    assert Path("hits.html").read_text().count("data:image/jpeg;base64,") == 11


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("search", 2, "expected a place: search photos, or --index photos.index; found none"),
        ("search photos", 2, "expected an image to look for: search PLACE IMAGE, found none"),
        ("search photos none.png", 1, "none.png: no such image"),
        ("duplicates", 2, "expected a place"),
        ("duplicates photos --index photos.index", 2, "expected one place, found two"),
        ("serve", 2, "expected a place"),
        ("index", 2, "expected a folder of images: index photos; found none"),
        ("index new.png", 1, "new.png: expected a folder of images, found a file"),
        ("ratings summary", 2, "expected one place"),
        ("similarity new.png", 2, "expected two images"),
        ("similarity new.png new.png new.png", 2, "expected two images"),
        ("sample photos --input_directory photos", 2, "expected one folder, found two"),
        ("search postgres://localhost:1/x new.png", 1, "postgres"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_made(typed, line, status, message):
    error = typed(line, status).err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("photos.index").exists()


def test_a_word_that_is_a_folder_leads_to_its_index(typed, capsys):
    with pytest.raises(SystemExit):
        main(["photos"])
    assert "'photos': no such command; for that folder: deep-ranking index photos" in capsys.readouterr().err


def test_a_model_that_was_moved_or_changed_is_told_with_what_to_do(tmp_path, monkeypatch, capsys):
    write_image(tmp_path / "new.png", "new")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n model_config")
    Index.create("photos.index", 12, "f" * 64, {"model": str(tmp_path / "m.h5")}).add(["a"], [np.ones(12)])

    def error(line):
        assert main(line.split()) == 1
        return capsys.readouterr().err

    changed = "photos.index: made with another model (ffffffffffff) than "
    for line in ("search photos.index new.png", "similarity new.png new.png --index photos.index"):
        assert changed in error(line)
    assert changed in error("serve photos.index --port 0")
    (tmp_path / "m.h5").unlink()
    for line in ("search photos.index new.png", "similarity new.png new.png --index photos.index"):
        assert "not there any more; if it was moved, say where it is with --model FILE" in error(line)
    # Where the index was not asked for, the distance is that of the network that needs none.
    Path("photos").mkdir()
    write_image(Path("photos/new.png"), "new")
    monkeypatch.setattr("deep_ranking.cli.similarity._alone", lambda *_: (0.25, None, ""))
    assert main(["similarity", "new.png", "photos/new.png"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "0.250000\n"
    assert "photos.index: made with the model" in printed.err


def test_two_images_that_lie_in_no_index_are_measured_by_the_description_of_any_images(typed):
    printed = typed("similarity photos/00.png new.png")
    assert typed.loaded == [()]  # of no images
    one, other = PixelEmbedder().embed(["photos/00.png", "new.png"])[0]
    expected = np.linalg.norm(one - other)
    assert printed.out == f"{expected:.6f}\n"
    assert printed.err.endswith("next: deep-ranking index FOLDER\n")


def test_the_index_of_the_folder_measures_before_a_model_that_lies_about(typed, tmp_path, monkeypatch):
    typed("index photos")
    (tmp_path / "deepranking.h5").write_bytes(b"no model")
    assert "of the pairs of images in" in typed("similarity photos/00.png new.png").err
    monkeypatch.setattr("deep_ranking.cli.similarity._alone", lambda args, model, _: (0.25, None, ""))
    monkeypatch.setattr("deep_ranking.cli.checks.network", lambda *_: None)
    write_image(tmp_path / "else/a.png", "a")
    assert "measured by deepranking.h5, which is in this folder" in typed("similarity else/a.png new.png").err


@pytest.mark.parametrize(
    ("part", "words"), [(1, "all"), (0.99951, "more than 99.9%"), (0.9984, "99.8%"), (0, "0.0%")]
)
def test_a_share_of_pairs_is_all_only_where_it_is(part, words):
    assert similarity._share(part) == words


def test_a_folder_may_be_typed_as_it_lies_on_the_disk(typed, tmp_path):
    write_image(tmp_path / "photos/2024/a.png", "a")
    typed("index photos")
    for name in ("2024", "2024/", "photos/2024/", f"{tmp_path}/photos/2024"):
        assert typed(f"search photos new.png --folder {name}").out.endswith("2024/a.png\n")
    assert len(typed("search photos new.png --folder photos").out.splitlines()) == 10  # all of it
    told = typed("search photos new.png --folder 2023", status=1).err
    assert "expected one that has images in the index (2024), found '2023'" in told
    told = typed("search photos new.png --label cat", status=1).err
    assert "expected an index with labels, found none in this one (asked for 'cat')" in told


def test_where_nothing_is_found_the_nearest_is_told(typed):
    nearest = typed("search photos new.png --top 1").out.split()[0]
    printed = typed("search photos new.png --within 0.01")
    assert printed.out == ""
    assert f"nothing found within these bounds; the nearest lies at {nearest}\n" in printed.err


def test_a_search_tells_what_came_to_the_folder_and_what_went(typed, tmp_path):
    typed("index photos")
    assert "since it was indexed" not in typed("search photos new.png").err
    time.sleep(0.02)
    write_image(tmp_path / "photos/came.png", "came")
    (tmp_path / "photos/00.png").unlink()
    (tmp_path / "photos/01.png").rename(tmp_path / "photos/other.png")
    told = typed("search photos new.png").err
    line = "2 new and 2 gone or renamed in the folder since it was indexed; to follow: deep-ranking index"
    assert f"{line} photos\n" in told
    assert "since" not in typed("search photos new.png --json").err
    typed("index photos")
    assert "since it was indexed" not in typed("search photos new.png").err


def test_what_is_written_down_of_a_description_is_what_it_has():
    assert sorted(shared.LOOKS) == sorted(description.LOOKS)
    assert description.KEY == "description"


def test_a_look_is_asked_of_the_description_and_of_nothing_else(typed):
    typed("index photos --look people --quiet")
    assert typed.loaded[-1][1:] == ("people",)
    error = typed("index photos --index new --model m.h5 --look people", 1).err
    assert "--look: it is of the default network" in error
