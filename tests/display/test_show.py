"""What a notebook shows: read back as a browser would, and harmless whatever files are called."""

import io
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import deep_ranking
from deep_ranking import Triplet, show
from deep_ranking.errors import DeepRankingError
from deep_ranking.evaluation.metrics import Estimate, Measurement
from deep_ranking.images.find import find_classes
from deep_ranking.search import Group, Hit, Index, Results
from deep_ranking.triplets import read_triplets
from deep_ranking.triplets.table import Triplets

NASTY = '<img src=x onerror="f()">&\'.png'


class Shown(HTMLParser):
    """The pictures, empty frames and words of an element."""

    def __init__(self, thing):
        super().__init__()
        self.text, self.pictures, self.frames, self.names, self.words = thing._repr_html_(), [], [], [], []
        self.open = []
        self.feed(self.text)
        assert not self.open, "an element is not closed"

    def handle_starttag(self, tag, attributes):
        found, self.last = dict(attributes), tag
        assert tag in {"div", "ul", "li", "img", "wbr"}
        assert not [name for name in found if name.startswith("on")]
        if tag not in {"img", "wbr"}:
            self.open.append(tag)
        if tag == "li":
            self.names.append(found["title"])
        if tag == "img":
            assert found["alt"] == self.names[-1]
            kind, _, data = found["src"].partition(";base64,")
            assert kind == "data:image/webp"
            with Image.open(io.BytesIO(b64decode(data, validate=True))) as image:
                self.pictures.append(np.asarray(image.convert("RGB")))
        if found.get("role") == "img":
            self.frames.append(found["aria-label"])

    def handle_endtag(self, tag):
        self.last = None
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.last == "wbr":  # only a place where the line may be broken
            self.words[-1] += text
        else:
            self.words.append(text)


def draw(path, colour, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, "PNG")


@pytest.fixture
def folder(tmp_path):
    for name, colour in {"red": (220, 0, 0), "green": (0, 160, 0), "blue": (0, 0, 220)}.items():
        for number in range(3):
            draw(tmp_path / name / f"{number}.png", colour)
    return tmp_path


def colours(shown):
    return [["red", "green", "blue"][int(picture.mean(axis=(0, 1)).argmax())] for picture in shown.pictures]


def test_results_show_the_query_and_then_what_was_found(folder, tmp_path):
    paths = ["red/0.png", "red/1.png", "green/0.png", "blue/0.png"]
    vectors = [[0, 0], [0, 1], [0, 2], [3, 4]]
    with Index.create(tmp_path / "index", 2, "by hand", {"images": str(folder)}) as index:
        index.add(paths, vectors, [path.split("/")[0] for path in paths])
        results = index.search("red/0.png", k=3)
        (batch,) = index.search_batch([[3, 4]], k=1)
        by_vector = index.search(np.array([0, 2]), k=1)
    assert results == [
        Hit("red/0.png", 0.0, "red"),
        Hit("red/1.png", 1.0, "red"),
        Hit("green/0.png", 2.0, "green"),
    ]
    assert isinstance(results, list)
    shown = Shown(results)
    assert colours(shown) == ["red", "red", "red", "green"]
    assert shown.words == [
        "query",
        "red/0",
        "0.000000",
        "red",
        "0",
        "1.000000",
        "red",
        "1",
        "2.000000",
        "green",
        "0",
    ]
    assert colours(Shown(batch)) == ["blue"]
    assert colours(Shown(by_vector)) == ["green"]


def test_a_query_file_is_shown_rather_than_a_path_in_the_index_of_that_name(folder, tmp_path, monkeypatch):
    draw(tmp_path / "elsewhere/red/0.png", (0, 0, 220))
    monkeypatch.chdir(tmp_path / "elsewhere")
    results = Results([Hit("red/0.png", 0.5, "red")], str(folder), ["red/0.png"])
    assert colours(Shown(results)) == ["blue", "red"]


def test_triplets_are_shown_from_a_file_a_table_and_one_by_one(folder, tmp_path, monkeypatch):
    triplet = Triplet("red/0.png", "red/1.png", "blue/0.png")
    (tmp_path / "triplets.txt").write_text(
        ",".join(triplet) + "\n" + "green/0.png,green/1.png,red/0.png\n" * 11
    )
    table = Triplets.load(tmp_path / "triplets.txt", folder)
    for shown in (Shown(table), Shown(show(list(read_triplets(tmp_path / "triplets.txt")), folder))):
        assert colours(shown)[:6] == ["red", "red", "blue", "green", "green", "red"]
        assert shown.words[:6] == ["query", "red/0", "positive", "red/1", "negative", "blue/0"]
        assert (len(shown.pictures), shown.words[-1]) == (30, "10 of 12 triplets")
    assert len(Shown(show(read_triplets(tmp_path / "triplets.txt"), folder, first=2)).pictures) == 6
    monkeypatch.chdir(folder)
    assert colours(Shown(triplet)) == ["red", "red", "blue"]


def test_classes_and_paths(folder):
    shown = Shown(show(find_classes(folder), folder, first=2))
    assert colours(shown) == ["blue", "blue", "green", "green"]
    assert shown.words == ["blue (2 of 3 images)", "green (2 of 3 images)", "2 of 3 classes"]
    shown = Shown(show([folder / "red/0.png", "blue/1.png"], folder))
    assert colours(shown) == ["red", "blue"]
    assert shown.words == ["red/0", "blue/1"]


def test_what_is_missing_or_broken_is_a_frame_with_its_name(folder):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    shown = Shown(show(["gone.png", "broken.png", "red/0.png"], folder))
    assert shown.frames == ["gone.png: not found", "broken.png: cannot be read"]
    assert colours(shown) == ["red"]


def test_names_are_text_whatever_they_hold(folder):
    draw(folder / NASTY, (0, 0, 220))
    shown = Shown(Results([Hit(NASTY, 0.1, "<b>"), Hit("not\udcffutf8.png", 0.2, "</div>")], str(folder)))
    assert shown.names == [NASTY, "not?utf8.png"]
    assert colours(shown) == ["blue"]
    assert shown.words[:3] == ["0.100000", "<b>", NASTY.removesuffix(".png")]
    shown.text.encode("utf-8")  # a notebook is a UTF-8 file


def test_pictures_are_small_however_large_the_images_and_however_many(tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (900, 1500, 3), dtype=np.uint8))
    noise.save(tmp_path / "noise.png")
    shown = Shown(Results([Hit("noise.png", 0.1, "")] * 1000, str(tmp_path)))
    assert shown.words[-1] == "10 of 1,000 results"
    assert {picture.shape for picture in shown.pictures} == {(115, 192, 3)}
    assert len(shown.text) < 10 * 30_000


def test_colours_are_the_pages_own(folder):
    """A notebook is light or dark by a theme that the browser does not know of."""
    text = show(["gone.png", "red/0.png"], folder)._repr_html_()
    assert "background" not in text
    assert "color:" not in text
    assert "<style" not in text


@pytest.mark.parametrize("thing", [42, "a.png", [1, 2], None, np.zeros(3)])
def test_what_cannot_be_shown_is_said(thing):
    with pytest.raises(
        DeepRankingError, match="expected search results, triplets, images of classes, or paths"
    ):
        show(thing)


def test_near_duplicates_are_rows(folder):
    hits = tuple(Hit(f"red/{number}.png", 0.01 * number, "red") for number in range(2))
    group = Group(hits, frozenset({"red/1.png"}))
    for thing, rows in ((group, 1), ([group, group], 2)):
        found = Shown(show(thing, folder))
        assert len(found.pictures) == 2 * rows
        assert found.words == ["2 images", "0.000000", "0.010000", "exact copy"] * rows


def test_models_and_measurements_are_told_in_words():
    measured = Measurement({"recall@1": Estimate(0.5, 0.4, 0.6), "map@r": Estimate(0.25, 0.2, 0.3)}, {})
    assert Shown(show(measured)).words == ["recall@1: 50.0% (40.0 to 60.0)\nmap@r: 25.0% (20.0 to 30.0)"]
    network = deep_ranking.build_network(deep_ranking.NetworkSettings("simple", 32, 8))
    model = deep_ranking.Model(network)
    assert Shown(show(model)).words == ["Model: images of 32 x 32 pixels -> 8 numbers"]


def test_nothing_is_shown_as_nothing():
    assert Shown(show([])).words == ["nothing to show"]
    assert Shown(Results()).words == ["no results"]
    with pytest.raises(DeepRankingError, match="first: expected a whole number, 1 or more, found 0"):
        show([], first=0)
    with pytest.raises(DeepRankingError, match=r"a whole number, 1 or more, found 1\.5"):
        show([], first=1.5)


def test_triplets_and_results_bring_in_no_pictures_until_they_are_shown():
    code = (
        "import sys, deep_ranking.search, deep_ranking.triplets.table;"
        "assert not {'PIL', 'keras', 'deep_ranking.display'} & set(sys.modules);"
        "deep_ranking.search.Results()._repr_html_();"
        "assert 'keras' not in sys.modules and 'deep_ranking.display' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert deep_ranking.show is show
