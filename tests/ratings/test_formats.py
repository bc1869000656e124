"""Judgements that exist: drawn points whose true order is known, written in each format and read back.

The right reading agrees with the truth in all judgements; each reading that a guess would take does not,
which is shown too, so that a reader that took it would fail here.
"""

import contextlib
import csv
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deep_ranking.cli import main
from deep_ranking.errors import DeepRankingError
from deep_ranking.ratings import FORMATS, Reading, read_format, read_judgements

N = 12
NAMES = [f"{number:02}.png" for number in range(N)]
POINTS = np.random.default_rng(3).standard_normal((N, 2))
PLACE = dict(zip(NAMES, POINTS, strict=True))
RNG = np.random.default_rng(0)
TRIALS = [[NAMES[i] for i in RNG.permutation(N)] for _ in range(60)]
"""Names in an order that says nothing: each trial takes as many of the first as it shows."""


def distance(a: str, b: str) -> float:
    return float(np.linalg.norm(PLACE[Path(a).name] - PLACE[Path(b).name]))


def agreement(triplets) -> float:
    """The share of judgements that are true of the points."""
    return float(np.mean([distance(q, p) < distance(q, n) for q, p, n in triplets]))


def odd_of(names) -> str:
    """The one that is none of the nearest two."""
    nearest = min(itertools.combinations(names, 2), key=lambda pair: distance(*pair))
    return next(name for name in names if name not in nearest)


def centre_of(names) -> str:
    return min(names, key=lambda name: sum(distance(name, other) for other in names))


def by_distance(query, names):
    return sorted(names, key=lambda name: distance(query, name))


@pytest.fixture
def images(tmp_path):
    """The folder of the images, of one pixel each."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in NAMES:
        Image.new("RGB", (1, 1)).save(folder / name)
    return folder


def table(path: Path, rows, delimiter=",") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return [*csv.reader(file)]


def write_odd_one_out(folder):
    lines = []
    for names in (trial[:3] for trial in TRIALS):
        odd = odd_of(names)
        lines.append(" ".join([*(str(NAMES.index(n)) for n in names if n != odd), str(NAMES.index(odd))]))
    (folder / "things.txt").write_text("\n".join(lines) + "\n")
    return folder / "things.txt", "--odd last --numbers_from 0"


def write_most_central(folder):
    lines = []
    for names in (trial[:3] for trial in TRIALS):
        centre = centre_of(names)
        lines.append(",".join([centre, *(n for n in names if n != centre)]))
    (folder / "central.csv").write_text("\n".join(lines) + "\n")
    return folder / "central.csv", ""


def write_cars(folder):
    rows = [["round", "center", "object1", "object2", "object3", "time"]]
    rows += [[1, centre_of(names), *names, 2.5] for names in (trial[:3] for trial in TRIALS)]
    return table(folder / "survey.csv", rows), ""


def write_query_near_far(folder):
    lines = ["; ".join([t[0], *by_distance(t[0], t[1:3])]) for t in TRIALS]
    (folder / "food.csv").write_text("\n".join(lines) + "\n")
    return folder / "food.csv", ""


def write_ranks(folder):
    lines = []
    for query, *shown in (trial[:9] for trial in TRIALS):
        chosen = by_distance(query, shown)[:2]
        lines.append(" ".join([query, *chosen, *(name for name in shown if name not in chosen)]))
    (folder / "ranks.txt").write_text("\n".join(lines))
    return folder / "ranks.txt", "--chosen 2 --ranked"


def write_triplets(folder):
    (folder / "t.txt").write_text(
        "".join(f"{','.join([t[0], *by_distance(t[0], t[1:3])])}\n" for t in TRIALS)
    )
    return folder / "t.txt", ""


def write_csv(folder):
    """As NIGHTS has it: `votes` is the fourth column, before the paths."""
    rows = [["id", "left_vote", "right_vote", "votes", "ref_path", "left_path", "right_path", "prompt"]]
    for number, (query, left, right) in enumerate(trial[:3] for trial in TRIALS):
        nearer = int(distance(query, right) < distance(query, left))
        rows.append([number, 1 - nearer, nearer, 6 + number % 4, query, left, right, "a, b"])
    return table(folder / "data.csv", rows), ""


def write_pair_scores(folder):
    """Two raters, both orders; one of them is always two points more severe than the other."""
    rows = [["image1", "image2", "score", "rater"]]
    for a, b in itertools.combinations(NAMES[:8], 2):
        rows += [[a, b, 9 - distance(a, b), "Ann"], [b, a, 7 - distance(a, b), "Bob"]]
    return table(folder / "pairs.csv", rows), "--higher_is similar"


def write_bapps(folder, part="val"):
    root = folder / "twoafc" / part / "drawn"
    votes = {"train": 2, "val": 5}[part]
    for number, (query, p0, p1) in enumerate(trial[:3] for trial in TRIALS):
        for side, name in (("ref", query), ("p0", p0), ("p1", p1)):
            (root / side).mkdir(parents=True, exist_ok=True)
            if not (root / side / f"{number:06}.png").exists():
                (root / side / f"{number:06}.png").symlink_to(folder / "images" / name)
        (root / "judge").mkdir(exist_ok=True)
        share = votes if distance(query, p1) < distance(query, p0) else 0
        np.save(root / "judge" / f"{number:06}.npy", np.array([share / votes], np.float32))
    return root, ""


def write_fec(folder):
    rows = []
    for names in (trial[:3] for trial in TRIALS):
        faces = [[f"http://farm8.example.com/{name}", 0.2, 0.7, 0.1, 0.9] for name in names]
        odd = names.index(odd_of(names)) + 1
        rows.append([*itertools.chain(*faces), "ONE_CLASS_TRIPLET", "annotator1", odd, "annotator2", odd])
    return table(folder / "fec.csv", rows), ""


def base36(number: int) -> str:
    return np.base_repr(number, 36).rjust(7, "0")


def write_psiz(folder):
    root = folder / "psiz"
    (root / "train_seqs").mkdir(parents=True)
    # Local ids from 1, with letters among them; the rows of the table are in another order.
    ids = {name: 7 * number + 1 for number, name in enumerate(NAMES)}
    rows = [["local_id", "filepath", "label"], *([base36(ids[n]), f"/drawn/{n}", "x"] for n in NAMES[::-1])]
    table(root / "stimuli.txt", rows, "|")
    sequence = []
    for query, *shown in (trial[:9] for trial in TRIALS):
        parts = [("content:query", query), *((f"content:reference_{i}", n) for i, n in enumerate(shown))]
        parts += [(f"behavior:rank_{i}", n) for i, n in enumerate(by_distance(query, shown)[:2])]
        told = [{"kind": kind, "detail": f"PZ001{base36(ids[name])}"} for kind, name in parts]
        told.append({"kind": "behavior:submit_response", "detail": "NA"})
        sequence.append({"kind": "rank:8rank2", "interactions": told})
    person = {"anonymous_id": "175fa273-d044", "grade": 67, "sequence": sequence}
    (root / "train_seqs" / "seq_a.json").write_text(json.dumps({"version": "1.0", "data": [person]}))
    return root, ""


def write_label_studio(folder):
    tasks = []
    for number, (query, left, right) in enumerate(trial[:3] for trial in TRIALS):
        side = "left" if distance(query, left) < distance(query, right) else "right"
        result = {"from_name": "pw", "to_name": "i1,i2", "type": "pairwise", "value": {"selected": side}}
        data = {
            "query": f"/data/upload/1/0a1b2c3d-{query}",
            "left": f"/data/local-files/?d=drawn/{left}",
            "right": f"https://example.com/a/{right}?size=1",
        }
        tasks.append({"id": number, "data": data, "annotations": [{"completed_by": 7, "result": [result]}]})
    (folder / "label.json").write_text(json.dumps(tasks))
    return folder / "label.json", ""


def write_mturk(folder):
    rows = [["HITId", "WorkerId", "AssignmentStatus", "Input.query", "Input.left", "Input.right"]]
    rows[0] += ["Answer.choice", "Approve", "Reject"]
    for number, (query, left, right) in enumerate(trial[:3] for trial in TRIALS):
        right_one = "left" if distance(query, left) < distance(query, right) else "right"
        wrong = {"left": "right", "right": "left"}[right_one]
        rows.append([number, "A1", "Approved", query, left, right, right_one, "", ""])
        rows.append([number, "A2", "Rejected", query, left, right, wrong, "", ""])
        rows.append([number, "A3", "Submitted", query, left, right, wrong, "", "at random"])
        rows.append([number, "A4", "Submitted", query, left, right, "", "", ""])
    return table(folder / "batch.csv", rows), ""


WRITERS = {
    "odd-one-out": write_odd_one_out,
    "most-central": write_most_central,
    "query-near-far": write_query_near_far,
    "ranks": write_ranks,
    "triplets": write_triplets,
    "csv": write_csv,
    "pair-scores": write_pair_scores,
    "bapps": write_bapps,
    "fec": write_fec,
    "psiz": write_psiz,
    "label-studio": write_label_studio,
    "mturk": write_mturk,
}


def test_each_format_is_drawn_here():
    assert set(WRITERS) == set(FORMATS)


@pytest.mark.parametrize(("name", "write"), [*WRITERS.items(), ("most-central", write_cars)])
def test_what_is_imported_and_exported_is_true_of_the_points(name, write, images, tmp_path, capsys):
    source, flags = write(tmp_path)
    command = f"ratings import {name} --source {source} --images {images} --ratings {tmp_path / 'r.sqlite'}"
    assert main([*command.split(), *flags.split()]) == 0
    told = capsys.readouterr().out
    assert told.startswith("asked about ")
    export = f"ratings export --ratings {tmp_path / 'r.sqlite'} --policy all --output {tmp_path / 'out.txt'}"
    assert main(export.split()) == 0
    triplets = [line.split(",") for line in (tmp_path / "out.txt").read_text().splitlines()]
    real = [[os.path.realpath(images / image) for image in triplet] for triplet in triplets]
    assert len(real) >= 50
    assert agreement(real) == 1
    # Once more changes nothing, and what was exported one by one comes back as it was.
    assert main([*command.split(), *flags.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["new"] == 0
    copy = tmp_path / "copy.sqlite"
    for line in (
        f"ratings export --ratings {tmp_path / 'r.sqlite'} --output {tmp_path / 'all.csv'}",
        f"ratings import csv --source {tmp_path / 'all.csv'} --images {images} --ratings {copy}",
    ):
        assert main(line.split()) == 0
    for policy in ("unanimous", "majority", "all"):
        one, other = (read_judgements(path, policy) for path in (tmp_path / "r.sqlite", copy))
        assert one.triplets.tolist() == other.triplets.tolist()
        assert one.weights.tolist() == other.weights.tolist()


def judged(name, source, flags="", **changes):
    """What a reader yields, as triplets of names, without what it leaves out."""
    words = dict(zip(flags.split()[::2], flags.split()[1::2], strict=False))
    known = {"--odd": "odd", "--higher_is": "higher_is"}
    reading = Reading(**{known[flag]: word for flag, word in words.items() if flag in known} | changes)
    return [(j.query, j.nearer, j.farther) for j in read_format(name, source, reading) if not j.left_out]


# Each reading that a guess would take, with the right one beside it.


def test_odd_one_out_the_first_as_the_odd_one_makes_three_of_four_false(images, tmp_path):
    source, _ = write_odd_one_out(tmp_path)
    named = tmp_path / "named.txt"
    named.write_text(
        "\n".join(" ".join(NAMES[int(n)] for n in line.split()) for line in source.read_text().splitlines())
    )
    assert agreement(judged("odd-one-out", named, odd="last")) == 1
    assert agreement(judged("odd-one-out", named, odd="first")) < 0.7
    with pytest.raises(DeepRankingError, match="expected --odd"):
        list(read_format("odd-one-out", named))


def test_most_central_the_centre_is_the_positive_and_not_the_query(tmp_path):
    source, _ = write_most_central(tmp_path)
    found = judged("most-central", source)
    assert agreement(found) == 1
    assert len(found) == 2 * len(TRIALS)
    assert agreement([(p, q, n) for q, p, n in found]) < 0.7


def test_query_near_far_the_blank_behind_the_semicolon_is_no_part_of_a_name(tmp_path):
    source, _ = write_query_near_far(tmp_path)
    assert "; " in source.read_text()
    assert {name for triplet in judged("query-near-far", source) for name in triplet} <= set(NAMES)


def test_ranks_give_12_triplets_a_trial_or_13_where_the_chosen_are_in_order(tmp_path):
    source, _ = write_ranks(tmp_path)
    unranked, ranked = (judged("ranks", source, chosen=2, ranked=order) for order in (False, True))
    assert (len(unranked), len(ranked)) == (12 * len(TRIALS), 13 * len(TRIALS))
    assert agreement(ranked) == 1


def test_nights_is_read_by_names_wherever_its_columns_stand(tmp_path):
    source, _ = write_csv(tmp_path)
    rows = rows_of(source)
    turned = table(tmp_path / "turned.csv", [row[::-1] for row in rows])
    assert judged("csv", turned) == judged("csv", source)
    weights = [j.weight for j in read_format("csv", source)]
    assert set(weights) == {6, 7, 8, 9}
    swapped = [row if n == 0 else [row[0], row[2], row[1], *row[3:]] for n, row in enumerate(rows)]
    assert agreement(judged("csv", table(tmp_path / "swapped.csv", swapped))) == 0


def test_bapps_the_share_is_of_those_who_chose_p1_of_two_or_five_people(images, tmp_path):
    root, _ = write_bapps(tmp_path, "train")
    (file, other, third, *_) = sorted((root / "judge").glob("*.npy"))
    np.save(file, np.array([0.5], np.float32))
    found = list(read_format("bapps", root))
    assert (found[0].weight, found[0].against) == (1, 1)  # a tie
    assert {(one.weight, one.against) for one in found[1:]} == {(2, 0)}
    np.save(other, np.array([0.4], np.float32))
    with pytest.raises(DeepRankingError, match=f"{other}: expected the share of 2 people who chose p1"):
        list(read_format("bapps", root))
    ref, p0, p1 = (str(root / side / "000001.png") for side in ("ref", "p0", "p1"))
    found = list(read_format("bapps", root, Reading(votes=10)))
    assert found[1] == (ref, p0, p1, 6, 4, "", "")
    third.with_suffix(".npy").unlink()
    assert len(list(read_format("bapps", root, Reading(votes=10)))) == len(TRIALS) - 1


def test_fec_the_number_is_the_odd_one_and_the_box_is_left_right_top_bottom(tmp_path):
    source, _ = write_fec(tmp_path)
    found = judged("fec", source)
    assert agreement(found) == 1
    assert len(found) == 4 * len(TRIALS)  # two annotators, two triplets each
    rows = rows_of(source)
    rows[4][1:5] = [0.2, 0.7, 0.9, 0.1]  # bottom before top: another order of the columns
    with pytest.raises(DeepRankingError, match=r"line 5: expected a box as left, right, top, bottom"):
        list(read_format("fec", table(tmp_path / "other.csv", rows)))


def test_fec_a_picture_of_which_several_faces_are_asked_about_stands_for_none(tmp_path):
    source, _ = write_fec(tmp_path)
    rows = rows_of(source)
    rows[4][1:3] = [0.8, 0.9]  # another face of that picture
    found = list(read_format("fec", table(tmp_path / "other.csv", rows)))
    asked = sum(4 for row in rows if rows[4][0] in (row[0], row[5], row[10]))
    assert sum("several faces" in one.left_out for one in found) == asked > 4


def test_psiz_the_chosen_are_told_by_name_and_ids_are_in_base_36(tmp_path):
    source, _ = write_psiz(tmp_path)
    found = list(read_format("psiz", source))
    assert agreement([one[:3] for one in found]) == 1
    assert len(found) == 13 * len(TRIALS)
    assert {(one.weight, one.rater) for one in found} == {(0.67, "175fa273-d044")}
    # "The first two that are shown are the chosen" is another reading.
    shown = [trial[:9] for trial in TRIALS]
    wrong = [(q, p, n) for q, *refs in shown for p in refs[:2] for n in refs[2:]]
    assert agreement(wrong) < 0.7
    path = source / "train_seqs" / "seq_a.json"
    path.write_text(path.read_text().replace("PZ001000000F", "PZ001000000!"))
    with pytest.raises(DeepRankingError, match=r"trial .*: expected a number in base 36"):
        list(read_format("psiz", source))


def test_psiz_the_query_among_its_own_references_and_the_placeholder_are_no_judgements(images, tmp_path):
    source, _ = write_psiz(tmp_path)
    path = source / "train_seqs" / "seq_a.json"
    told = json.loads(path.read_text())
    one, other = told["data"][0]["sequence"][:2]
    parts = {part["kind"]: part for part in one["interactions"]}
    chosen = parts["behavior:rank_0"]["detail"]
    first = next(p for kind, p in parts.items() if p["detail"] == chosen and kind.startswith("content:ref"))
    first["detail"] = parts["behavior:rank_0"]["detail"] = parts["content:query"]["detail"]
    other["interactions"][8]["detail"] = "PZ0010000000"
    if other["interactions"][8]["detail"] in {p["detail"] for p in other["interactions"][9:]}:
        raise AssertionError("drawn so that the last that is shown is not chosen")
    told["data"][0]["sequence"] = [one, other, {"kind": "questionnaire:feedback", "interactions": []}]
    path.write_text(json.dumps(told))
    found = list(read_format("psiz", source))
    twice = [j for j in found if not j.left_out and len({*j[:3]}) < 3]
    assert len(twice) == 7  # the query was chosen first: before the other chosen one and six others
    assert sum(not j.left_out for j in found) == 13 + 11  # one candidate less in the second
    assert found[-1].left_out == "no ranks: questionnaire:feedback"


def test_pair_scores_both_orders_and_raters_are_averaged_and_the_scale_is_asked_for(tmp_path):
    source, _ = write_pair_scores(tmp_path)
    assert agreement(judged("pair-scores", source, higher_is="similar")) == 1
    assert agreement(judged("pair-scores", source, higher_is="different")) == 0
    with pytest.raises(DeepRankingError, match="expected --higher_is"):
        list(read_format("pair-scores", source))
    # One order alone would compare the severe rater with the mild one.
    rows = rows_of(source)[1:]
    one_order = {}
    for a, b, score, _ in rows:
        one_order.setdefault(a, []).append((float(score), b))
    wrong = [(q, p, n) for q, scores in one_order.items() for (s, p) in scores for (t, n) in scores if s > t]
    assert agreement(wrong) < 0.9


def test_pair_scores_equal_means_are_a_tie_and_an_image_beside_itself_is_counted(tmp_path):
    rows = [["image1", "image2", "score"], ["a", "b", 1], ["b", "a", 3], ["a", "c", 2], ["a", "a", 9]]
    found = list(read_format("pair-scores", table(tmp_path / "p.csv", rows), Reading(higher_is="similar")))
    assert ("a", "b", "c", 0, 0, "", "") in found
    assert any(len({*one[:3]}) == 1 for one in found)


def test_pair_scores_of_very_many_pairs_are_drawn_and_stay_true(tmp_path):
    rows = [["image1", "image2", "score"], *(["q", f"{n:03}", n] for n in range(200))]
    found = judged("pair-scores", table(tmp_path / "p.csv", rows), higher_is="different")
    assert 900 < len(found) <= 1000
    assert all(query == "q" and near < far for query, near, far in found)
    assert len({near for _, near, _ in found}) > 150


def test_mturk_rejected_assignments_and_no_answer_are_no_judgements(tmp_path):
    source, _ = write_mturk(tmp_path)
    found = list(read_format("mturk", source))
    left = [one.left_out for one in found]
    count = len(TRIALS)
    assert [left.count(why) for why in ("rejected assignments", "no answer", "")] == [2 * count, count, count]
    assert {one.rater for one in found if not one.left_out} == {"A1"}


def test_label_studio_skipped_tasks_are_no_judgements_and_the_keys_may_be_others(tmp_path):
    source, _ = write_label_studio(tmp_path)
    tasks = json.loads(source.read_text())
    for task in tasks:
        task["data"] = {"ref": task["data"]["query"], "x": task["data"]["left"], "y": task["data"]["right"]}
    tasks[0]["annotations"][0]["was_cancelled"] = True
    tasks[1]["annotations"][0]["result"] = []
    source.write_text(json.dumps(tasks))
    with pytest.raises(DeepRankingError, match=r"task 0: expected 'query' in its data.*ref, x, y; name it"):
        list(read_format("label-studio", source))
    found = list(read_format("label-studio", source, Reading(columns="query=ref,left=x,right=y")))
    assert [one.left_out for one in found[:3]] == ["skipped", "no answer", ""]


@pytest.mark.parametrize(
    ("name", "text", "flags", "message"),
    [
        ("odd-one-out", "a b c\n\na b\n", {"odd": "last"}, "line 3: expected three names.*found 'a b'"),
        ("odd-one-out", "a b c d\n", {"odd": "last"}, "line 1: expected three names"),
        ("most-central", "x,1,2\na,b,c,d,e,f\ng,h,i,j,k,l", {}, "line 2: expected the most central among"),
        ("query-near-far", "a; b; c\na, b, c\n", {}, "line 2: expected query; near; far; found 'a, b, c'"),
        ("query-near-far", "a; ; c\n", {}, "line 1: expected query; near; far"),
        ("ranks", "a b c\n", {"chosen": 2}, "line 1: expected a query, 2 chosen and one other"),
        ("triplets", "a,b,c\na,b\n", {}, "line 2: expected 3 names"),
        ("csv", "ref,left_path\n", {}, r"line 1: expected a column 'ref_path' \(query\).*--columns query="),
        ("csv", "", {}, "line 1: expected a column 'ref_path'"),
        (
            "csv",
            "ref_path,left_path,right_path,left_vote,right_vote\na,b,c,1\n",
            {},
            "line 2: expected 5 columns",
        ),
        (
            "csv",
            "ref_path,left_path,right_path,left_vote,right_vote\na,b,c,one,0\n",
            {},
            "line 2: expected a number of 0 or more as left_vote; found 'one'",
        ),
        ("csv", 'ref_path\n"a\n', {}, "expected a"),
        ("csv", "x", {"columns": "who=x"}, "--columns: expected WHAT=COLUMN of query, left"),
        ("pair-scores", "image1,image2,score\na,b,nan\n", {"higher_is": "similar"}, "line 2: expected a num"),
        ("fec", "a,b\n", {}, "line 1: expected three times"),
        ("mturk", "Input.query\n", {}, "expected a column 'Input.left'"),
        (
            "mturk",
            "AssignmentStatus,Input.query,Input.left,Input.right,Answer.choice\nApproved,a,b,c,3\n",
            {},
            "line 2: expected one of left, a, first, right, b, second, or a candidate's name; found '3'",
        ),
        ("label-studio", "[{]", {}, "expected JSON"),
        ("label-studio", '[{"id": 1, "pw": "left"}]', {}, "expected a list of tasks .* not as JSON-MIN"),
        ("label-studio", '[{"annotations": [3], "data": {}}]', {}, "expected 'query' in its data"),
        ("label-studio", '[{"annotations": 3, "data": []}]', {}, "expected the layout of label-studio"),
        ("csv", "x", {"odd": "last"}, "--odd: it says nothing of the format csv"),
        ("psiz", "x", {}, "expected a folder for the format psiz, found a file"),
        ("query-near-far", "a\0b", {}, "expected UTF-8 text"),
    ],
)
def test_bad_lines_are_told_by_path_and_line_with_what_was_expected(name, text, flags, message, tmp_path):
    path = tmp_path / "source"
    path.write_text(text)
    with pytest.raises(DeepRankingError, match=message) as raised:
        list(read_format(name, path, Reading(**flags)))
    assert "\n" not in str(raised.value)


text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=",;\"'\u2028\u2029"), min_size=1
)
name = text.map(str.strip).filter(bool)
three = st.lists(st.lists(name, min_size=3, max_size=3), min_size=1, max_size=5)


@given(three)
def test_any_names_come_back_from_lists_parted_by_tabs_commas_and_semicolons(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("lists") / "list"
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    expected = [triplet for a, b, odd in rows for triplet in ((a, b, odd), (b, a, odd))]
    assert judged("odd-one-out", path, odd="last") == expected
    path.write_text("".join(" ; ".join(row) + "\r\n" for row in rows), encoding="utf-8")
    assert judged("query-near-far", path) == [tuple(row) for row in rows]
    table(path, rows)
    expected = [triplet for c, a, b in rows for triplet in ((a, c, b), (b, c, a)) if c not in (a, b)]
    assert [one for one in judged("most-central", path) if one[1] not in (one[0], one[2])] == expected


any_name = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=9)


@given(st.lists(st.tuples(any_name, any_name, any_name, st.booleans(), st.integers(1, 9)), max_size=5))
def test_any_names_come_back_from_a_csv_with_their_votes(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    header = ["ref_path", "left_path", "right_path", "left_vote", "right_vote", "votes"]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [header, *([q, a, b, int(left), int(not left), n] for q, a, b, left, n in rows)]
        )
    found = [one[:4] for one in read_format("csv", path)]
    assert found == [(q, a, b, n) if left else (q, b, a, n) for q, a, b, left, n in rows]


@given(st.binary(max_size=200), st.sampled_from([name for name in FORMATS if name not in ("bapps", "psiz")]))
def test_bytes_of_any_kind_give_judgements_or_an_error_in_words(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content)
    reading = Reading(
        odd="last" if name == "odd-one-out" else None,
        higher_is="similar" if name == "pair-scores" else None,
        chosen=1 if name == "ranks" else None,
    )
    with contextlib.suppress(DeepRankingError):
        list(read_format(name, path, reading))
