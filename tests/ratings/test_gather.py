"""Names become images, and all that is not kept as it was is counted."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_ranking.cli import main
from deep_ranking.errors import DeepRankingError
from deep_ranking.ratings import (
    Judgement,
    RatingStore,
    Reading,
    import_judgements,
    read_format,
    read_judgements,
)
from deep_ranking.ratings.gather import Images
from deep_ranking.search import Index


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (1, 1)).save(folder / name)
    return folder


@pytest.fixture
def photos(tmp_path):
    return make(tmp_path / "photos", "a.png", "b.png", "in/c.png", "in/d.png", "bat/1.png", "bat/2.png")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.png", "a.png"),
        ("in/c.png", "in/c.png"),
        ("photos/in/c.png", "in/c.png"),  # by `find_image`: beside the folder
        ("a", "a.png"),
        ("c", "in/c.png"),
        ("bat", "bat/1.png"),
        ("/bat/2.png", "bat/2.png"),
        ("https://example.com/x/in/c.png?size=3", "in/c.png"),
        ("https://example.com/x%2Fa.png", "a.png"),
        ("/data/local-files/?d=somewhere/in/d.png", "in/d.png"),
        ("/data/upload/3/0a1b2c3d-a.png", "a.png"),
        ("https://example.com/../../a.png", "a.png"),
        ("gone.png", None),
        ("https://example.com/gone.png", None),
        ("..", None),
        ("", None),
    ],
)
def test_a_name_means(name, found, photos):
    images = Images(photos)
    assert images(name) == found
    assert images.missing[name] == (found is None)


def test_what_lies_elsewhere_is_kept_by_its_whole_path(photos, tmp_path):
    other = make(tmp_path / "other", "x.png") / "x.png"
    assert Images(photos)(str(other)) == str(other)
    assert Images(photos / "in", base=photos)("c.png") == "in/c.png"


def test_of_an_index_names_are_its_own_and_what_it_lacks_is_not_there(photos):
    images = Images(photos, known=["a.png", "bat/2.png", "gone.png"])
    assert [images(name) for name in ("a", "gone.png", "b.png", "bat")] == [
        "a.png",
        "gone.png",
        None,
        "bat/2.png",
    ]


def test_numbers_are_places_among_the_items_in_the_order_of_their_bytes(tmp_path):
    """Not in the order of a table, nor of capital and small letters alike, nor of the endings."""
    folders = make(
        tmp_path / "things", "bat_b/1.png", "bat1/1.png", "Zoo/1.png", "bat/1.png", ".hidden/1.png"
    )
    images = Images(folders, Reading(numbers_from=0))
    assert [images(str(n)) for n in range(4)] == ["Zoo/1.png", "bat/1.png", "bat1/1.png", "bat_b/1.png"]
    images.check_places()
    files = Images(make(tmp_path / "files", "a.png", "a-1.png"), Reading(numbers_from=1))
    assert [files(n) for n in "12"] == ["a.png", "a-1.png"]
    listed = tmp_path / "items.txt"
    listed.write_text("bat1\nZoo\n")
    images = Images(folders, Reading(numbers_from=0, items=str(listed)))
    assert [images(n) for n in "01"] == ["bat1/1.png", "Zoo/1.png"]


def test_an_item_that_is_missing_would_shift_all_behind_it_and_is_noticed(tmp_path):
    folders = make(tmp_path / "things", "a/1.png", "b/1.png")
    images = Images(folders, Reading(numbers_from=0))
    assert [images(n) for n in "012"] == ["a/1.png", "b/1.png", None]
    with pytest.raises(
        DeepRankingError, match="as many items as numbers are used, up to 2, found 2, up to 1"
    ):
        images.check_places()
    images = Images(folders, Reading(numbers_from=0))
    images("0")
    with pytest.raises(DeepRankingError, match="up to 0, found 2"):
        images.check_places()


def test_a_table_of_concepts_is_no_list_of_items(tmp_path):
    table = tmp_path / "things_concepts.tsv"
    table.write_text("Word\tuniqueID\naardvark\taardvark\n")
    with pytest.raises(DeepRankingError, match="expected one item a line, found a table"):
        Images(tmp_path, Reading(numbers_from=0, items=str(table)))


def test_names_where_numbers_were_announced_are_refused(photos):
    images = Images(photos, Reading(numbers_from=1))
    for name in ("a.png", "0", "-1"):
        with pytest.raises(DeepRankingError, match="expected numbers from 1 on"):
            images(name)


def test_of_an_item_of_several_images_the_first_stands_for_it_or_one_that_is_drawn(photos):
    first = Images(photos)
    assert {first("bat") for _ in range(20)} == {"bat/1.png"}
    assert first.several == {"bat": 2}
    drawn, again = (Images(photos, Reading(item_images="drawn", seed=1)) for _ in range(2))
    found = [drawn("bat") for _ in range(20)]
    assert set(found) == {"bat/1.png", "bat/2.png"}
    assert found == [again("bat") for _ in range(20)]


def gathered(photos, tmp_path, *judgements, name="list"):
    with RatingStore(tmp_path / "r.sqlite") as store:
        counts = import_judgements(judgements, Images(photos), store, name)
        return counts, [(r.rater, r.query, r.a, r.b, r.answer, r.weight) for r in store.ratings()]


def test_ties_repeats_contradictions_and_what_is_left_out_are_counted(photos, tmp_path):
    counts, kept = gathered(
        photos,
        tmp_path,
        Judgement("a", "b", "c", 0, 0),
        Judgement("b", "c", "d"),
        Judgement("b", "c", "d"),
        Judgement("b", "d", "c"),
        Judgement("b", "d", "c", rater="Ann"),
        Judgement("d", "a", "b", 3, 2),
        Judgement("c", "a", "b", 1, 1),
        Judgement("a", "a.png", "b"),
        Judgement("a", "b", "gone"),
        Judgement("", "", "", left_out="rejected assignments"),
    )
    assert counts.first == "asked about b.png, people found in/c.png nearer than in/d.png"
    assert (counts.judgements, counts.new) == (7, 9)
    assert (counts.ties, counts.repeats, counts.contradictions) == (2, 1, 1)
    assert counts.left_out == {
        "an image is named twice": 1,
        "an image is not there": 1,
        "rejected assignments": 1,
    }
    assert kept == [
        ("list", "a.png", "b.png", "in/c.png", "both_similar", 1),
        ("list", "b.png", "in/c.png", "in/d.png", "a", 1),
        ("list (2)", "b.png", "in/c.png", "in/d.png", "a", 1),
        ("list (3)", "b.png", "in/d.png", "in/c.png", "a", 1),
        ("list Ann", "b.png", "in/d.png", "in/c.png", "a", 1),
        ("list", "in/d.png", "a.png", "b.png", "a", 3),
        ("list (against)", "in/d.png", "a.png", "b.png", "b", 2),
        ("list", "in/c.png", "a.png", "b.png", "a", 1),
        ("list (against)", "in/c.png", "a.png", "b.png", "b", 1),
    ]


def test_a_set_that_repeats_with_another_odd_one_contradicts_in_one_of_its_questions(photos, tmp_path):
    source = tmp_path / "sets.txt"
    source.write_text("a b c\nb a c\nc b a\n")
    reading = Reading(odd="last")
    counts, _ = gathered(photos, tmp_path, *read_format("odd-one-out", source, reading))
    assert (counts.judgements, counts.repeats, counts.contradictions) == (6, 2, 1)
    found = read_judgements(tmp_path / "r.sqlite", "majority")
    assert {(*row,): weight for row, weight in zip(found.triplets.tolist(), found.weights, strict=True)} == {
        ("a.png", "b.png", "in/c.png"): 2,
        ("b.png", "a.png", "in/c.png"): 1,
        ("in/c.png", "b.png", "a.png"): 1,
    }


def test_raters_are_told_apart_however_long_their_names_are(photos, tmp_path):
    names = ["x" * 90 + end for end in "12"] + ["tab\tin it", ""]
    counts, kept = gathered(photos, tmp_path, *(Judgement("a", "b", "c", 2, 1, rater) for rater in names))
    raters = [rater for rater, *_ in kept]
    assert (counts.new, counts.repeats, len({*raters}), max(map(len, raters)) <= 64) == (8, 0, 8, True)
    assert raters[-4:] == ["list tab?in it", "list tab?in it (against)", "list", "list (against)"]


def test_the_same_again_changes_nothing_and_otherwise_under_the_same_name_keeps_nothing(photos, tmp_path):
    one, other = Judgement("b", "c", "d"), Judgement("b", "d", "c")
    _, kept = gathered(photos, tmp_path, one, other, one)
    counts, again = gathered(photos, tmp_path, one, other, one)
    assert (again, counts.new, counts.judgements) == (kept, 0, 3)
    with pytest.raises(DeepRankingError, match=r"list has answered about b.png, .* otherwise before"):
        gathered(photos, tmp_path, Judgement("a", "b", "c"), other)
    with RatingStore(tmp_path / "r.sqlite") as store:
        assert store.count() == len(kept)
    assert gathered(photos, tmp_path, other, name="another")[0].new == 1


def test_no_judgement_of_images_that_are_there_is_an_error_that_says_what_is_not(photos, tmp_path):
    with pytest.raises(DeepRankingError, match=r"found none \(1: an image is not there\); not there: '7'"):
        gathered(photos, tmp_path, Judgement("a", "b", "7"))
    with RatingStore(tmp_path / "r.sqlite") as store:
        assert store.count() == 0


@pytest.fixture
def indexed(photos):
    """The folder of photos, with an index beside it that lacks one of them."""
    names = ["a.png", "b.png", "in/c.png"]
    with Index.create(f"{photos}.index", 2, "test", {"images": str(photos)}) as index:
        index.add(names, np.eye(3, 2, dtype=np.float32), [""] * 3)
    return photos


def run(*words):
    return main(["ratings", *map(str, words)])


def test_judgements_go_to_the_index_of_the_images_and_come_out_of_it(indexed, tmp_path, capsys):
    source = tmp_path / "list.csv"
    source.write_text("a; b; c\nb; c; d\nc; b; a\n")
    assert run("import", "query-near-far", "--source", source, "--images", indexed) == 0
    assert capsys.readouterr().out.splitlines() == [
        "asked about a.png, people found b.png nearer than in/c.png",
        f"2 judgements kept in {indexed}.index/ratings.sqlite, 2 ratings new; 0 ties, 0 repeats, "
        "0 contradictions",
        "left out: 1, an image is not there ('d')",
    ]
    for place in (("--index", f"{indexed}.index"), ("--ratings", indexed), ("--images", indexed)):
        assert run("import", "query-near-far", "--source", source, *place, "--json") == 0
        assert json.loads(capsys.readouterr().out)["new"] == 0
    assert run("export", indexed, "--output", tmp_path / "t.txt") == 0
    assert (tmp_path / "t.txt").read_text() == "a.png,b.png,in/c.png\nin/c.png,b.png,a.png\n"
    assert run("summary", indexed, "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["ratings"], told["triplets"], told["agreement"], told["ceiling"]) == (2, 2, None, None)


def test_the_policy_says_what_is_exported_and_agreement_and_its_ceiling_are_told(photos, tmp_path, capsys):
    source = tmp_path / "votes.csv"
    source.write_text(
        "ref_path,left_path,right_path,left_vote,right_vote\na.png,b.png,in/c.png,3,1\nb.png,a.png,in/c.png,0,4\n"
    )
    kept = "--ratings", tmp_path / "r.sqlite"
    assert run("import", "csv", "--source", source, "--images", photos, *kept) == 0
    expected = {
        "unanimous": ["b.png,in/c.png,a.png"],
        "majority": ["a.png,b.png,in/c.png", "b.png,in/c.png,a.png"],
        "all": ["a.png,b.png,in/c.png", "a.png,in/c.png,b.png", "b.png,in/c.png,a.png"],
    }
    for policy, lines in expected.items():
        assert (
            run("export", *kept, "--policy", policy, "--output", tmp_path / "t.txt", "--min_raters", 4) == 0
        )
        assert (tmp_path / "t.txt").read_text().splitlines() == lines
    capsys.readouterr()
    assert run("summary", *kept) == 0
    assert (
        "two raters agree on 75.0% (of 2 questions with two or more): no model can be right on more than "
        "75.0% to 85.4% of their single answers"
    ) in capsys.readouterr().out
    found = read_judgements(tmp_path / "r.sqlite")
    assert found.triplets.tolist() == [["a.png", "b.png", "in/c.png"], ["b.png", "in/c.png", "a.png"]]
    assert found.weights.tolist() == [2, 4]


def test_what_was_exported_comes_back_under_its_raters_names_and_once(tmp_path, photos, capsys):
    kept, source = tmp_path / "r.sqlite", tmp_path / "all.csv"
    with RatingStore(kept) as store:
        store.add("Ann", "a.png", "b.png", "in/c.png", "a")
        store.add("Bob", "a.png", "b.png", "in/c.png", "b")
        store.add("Bob", "b.png", "a.png", "in/c.png", "both_dissimilar")
    assert run("export", "--ratings", kept, "--output", source) == 0
    back = "import", "csv", "--source", source, "--images", photos, "--ratings"
    for place in (kept, tmp_path / "elsewhere.sqlite"):
        assert run(*back, place) == 0
        with RatingStore(place) as store:
            assert [rating.rater for rating in store.ratings()] == ["Ann", "Bob", "Bob"]
    capsys.readouterr()
    assert run("summary", "--ratings", kept) == 0
    assert "two raters agree on 0.0% (of 1 questions" in capsys.readouterr().out
    with RatingStore(kept) as store:  # changed his mind on the page
        store.undo("Bob")
        store.add("Bob", "b.png", "a.png", "in/c.png", "a")
    assert run(*back, kept) == 1
    assert "Bob has answered about b.png, a.png and in/c.png otherwise" in capsys.readouterr().err
    assert run(*back, kept, "--rater", "then") == 0  # as others' answers, where that is wanted
    with RatingStore(kept) as store:
        assert {rating.rater for rating in store.ratings()} == {"Ann", "Bob", "then Ann", "then Bob"}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("import", 2, "expected a format: ratings import triplets|csv|"),
        ("import nights", 2, "found 'nights'"),
        ("import odd-one-ot --source x", 2, "did you mean 'odd-one-out'?"),
        ("import csv", 2, "expected --source"),
        ("import csv --source list.csv", 2, "expected --ratings"),
        ("import csv --source list.csv --ratings r.sqlite", 2, "expected --images"),
        (
            "import csv --source list.csv --ratings r.sqlite --images no",
            1,
            "expected the folder of the images",
        ),
        (
            "import csv --source no --ratings r.sqlite --images .",
            1,
            "expected a file for the format csv, found n",
        ),
        ("import bapps --source . --ratings r.sqlite", 1, "found no judge/*.npy"),
        ("import odd-one-out --source list.csv --ratings r.sqlite --images .", 1, "expected --odd"),
        (
            "import ranks --source list.csv --ratings r.sqlite --images . --chosen 0",
            1,
            "chosen: expected 1 or more",
        ),
        (
            "import triplets --source list.csv --ratings no/r.sqlite --images .",
            1,
            "expected a folder to keep it in",
        ),
        (
            "import triplets --source list.csv --ratings r.sqlite --images . --rater \n",
            1,
            "rater: expected a name",
        ),
        ("export --ratings no.sqlite", 1, "no.sqlite: no ratings there"),
        ("export --ratings no.sqlite --output a.csv --policy all", 2, "--policy: a .csv gets all ratings"),
        ("export", 2, "expected one place"),
    ],
)
def test_refusals_leave_no_ratings_behind(words, status, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(make(tmp_path, "a.png", "b.png", "c.png"))
    (tmp_path / "list.csv").write_text("a,b,c\n")
    try:
        found = main(["ratings", *words.split(" ")])
    except SystemExit as stopped:
        found = stopped.code
    assert (found, message in capsys.readouterr().err) == (status, True)
    if Path("r.sqlite").exists():
        with RatingStore("r.sqlite") as store:
            assert store.count() == 0
