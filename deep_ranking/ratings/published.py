"""Readers of what data sets and platforms publish, a function a format."""

from collections import defaultdict
from itertools import permutations
from pathlib import Path

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import path_key, read_array
from deep_ranking.ratings.judgement import Judged, Judgement, answered, ranked, voted
from deep_ranking.ratings.lines import bad, base36, columns, number, parsed, rows, table
from deep_ranking.ratings.settings import Reading


def mturk(source: Path, reading: Reading) -> Judged:
    """A batch's results: `Input.*` as it was uploaded, `Answer.*`; rejected assignments are still in it."""
    roles = {"query": "Input.query", "left": "Input.left", "right": "Input.right", "answer": "Answer.choice"}
    roles |= {"rater": "WorkerId", "status": "AssignmentStatus", "reject": "Reject"}
    for where, row in table(source, columns(reading, roles), ("query", "left", "right", "answer", "status")):
        if row["status"].strip().lower() == "rejected" or row["reject"].strip():
            yield Judgement("", "", "", left_out="rejected assignments")
        else:
            yield answered(where, row["query"], row["left"], row["right"], row["answer"], row["rater"])


def bapps(source: Path, reading: Reading) -> Judged:
    """Folders ref/, p0/ and p1/ of images, and judge/: the share of people who chose p1, a number a file."""
    found = False
    for judge in sorted(source.rglob("judge"), key=lambda path: path_key(str(path))):
        votes = reading.votes or next((n for p, n in (("train", 2), ("val", 5)) if p in judge.parts), None)
        if votes is None:
            raise DeepRankingError(f"{judge}: expected a folder train or val above it, or --votes N")
        sides = [
            {image.stem: str(image) for image in sorted((judge.parent / side).glob("*"))}
            for side in ("ref", "p0", "p1")
        ]
        for file in sorted(judge.glob("*.npy")):
            found, share = True, read_array(file).reshape(-1)
            count = share * votes
            if len(share) != 1 or not 0 <= count[0] <= votes or abs(count[0] - round(count[0])) > 0.01:
                raise bad(str(file), f"the share of {votes} people who chose p1", str(share.tolist()))
            if not all(file.stem in side for side in sides):
                raise bad(str(file), f"images {file.stem}.* in ref, p0 and p1", "not all of them")
            query, p0, p1 = (side[file.stem] for side in sides)
            yield voted(query, p0, p1, votes - round(count[0]), round(count[0]))
    if not found:
        raise DeepRankingError(f"{source}: expected ref/, p0/, p1/ and judge/*.npy, found no judge/*.npy")


def fec(source: Path, reading: Reading) -> Judged:
    """No header; three times (address, left, right, top, bottom), the type, then (annotator, the odd one).

    The judgement is of faces. A picture of which several are asked about cannot stand for them.
    """
    faces: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    expected = "three times (address, left, right, top, bottom), the type, and pairs (annotator, 1 to 3)"
    for where, row in rows(source):
        if len(row) < 18 or len(row) % 2:
            raise bad(where, expected, f"{len(row)} columns")
        for at in (0, 5, 10):
            left, right, top, bottom = (number(where, "the box", edge) for edge in row[at + 1 : at + 5])
            if left >= right or top >= bottom:
                raise bad(where, "a box as left, right, top, bottom", ", ".join(row[at + 1 : at + 5]))
            faces[row[at]].add(tuple(row[at + 1 : at + 5]))
    for where, row in rows(source):
        names = row[0], row[5], row[10]
        for annotator, odd in zip(row[16::2], row[17::2], strict=True):
            if odd.strip() not in ("", "1", "2", "3"):
                raise bad(where, "the number of the odd one, 1 to 3", repr(odd))
            others = [name for place, name in enumerate(names, 1) if str(place) != odd.strip()]
            if not odd.strip():
                yield Judgement("", "", "", left_out="no answer")
                continue
            for query, nearer in permutations(others):
                if any(len(faces[name]) > 1 for name in names) and len({*names}) == 3:
                    yield Judgement("", "", "", left_out="a picture of which several faces are asked about")
                else:
                    yield Judgement(query, nearer, names[int(odd) - 1], rater=annotator)


def psiz(source: Path, reading: Reading) -> Judged:
    """Trials of ranks, in the order in which they were shown, and who was chosen first, second, ..."""
    stimuli = source / "stimuli.txt"
    if not stimuli.is_file():
        raise DeepRankingError(f"{stimuli}: expected the table of the images, found none")
    files = {}
    roles = {"local_id": "local_id", "filepath": "filepath"}
    for where, row in table(stimuli, roles, (*roles,), "|"):
        files[base36(where, row["local_id"])] = row["filepath"]
    for path in sorted(source.rglob("seq_*.json"), key=lambda path: path_key(str(path))):
        for person in parsed(path)["data"]:
            for place, trial in enumerate(person["sequence"]):
                where, grade = f"{path}, trial {place}", person.get("grade", 100) / 100
                if not trial["kind"].startswith("rank:") or grade <= 0:
                    why = "a grade of 0" if grade <= 0 else f"no ranks: {trial['kind']}"
                    yield Judgement("", "", "", left_out=why)
                    continue
                parts = {}
                for part in trial["interactions"]:
                    kind = part["kind"].split(":")[-1]
                    if kind == "query" or kind.startswith(("reference_", "rank_")):
                        parts[kind] = base36(where, part["detail"][5:])  # behind a prefix of 5
                count = sum(kind.startswith("rank_") for kind in parts)
                chosen = [parts[f"rank_{rank}"] for rank in range(count)]
                # 0 stands for nothing.
                shown = [part for kind, part in parts.items() if kind.startswith("reference_") and part]
                if not {*chosen} <= {*shown}:
                    raise bad(where, "the chosen among those that were shown", str(parts))
                query, *names = (files.get(part, f"local_id {part}") for part in (parts["query"], *chosen))
                others = [files.get(part, f"local_id {part}") for part in shown if part not in chosen]
                for one in ranked(query, names, others, ranked=True):
                    yield one._replace(weight=grade, rater=person["anonymous_id"])


def label_studio(source: Path, reading: Reading) -> Judged:
    """Tasks, each with its data and its annotations; left and right are the keys of data that are named."""
    given = columns(reading, {"query": "query", "left": "left", "right": "right"})
    tasks = parsed(source)
    if not isinstance(tasks, list) or not all(isinstance(t, dict) and "annotations" in t for t in tasks):
        raise bad(str(source), "a list of tasks with annotations", "another; export as JSON, not as JSON-MIN")
    for task in tasks:
        where, data = f"{source}, task {task.get('id')}", task.get("data", {})
        for role, name in given.items():
            if not isinstance(data.get(name), str):
                raise bad(where, f"{name!r} in its data ({role})", f"{', '.join(data)}; name it: --columns")
        for annotation in task["annotations"]:
            by = annotation.get("completed_by", "")
            rater = str(by.get("email", by.get("id", "")) if isinstance(by, dict) else by)
            answers = [one["value"] for one in annotation["result"] if one.get("type") == "pairwise"]
            if annotation.get("was_cancelled") or not answers:
                yield Judgement("", "", "", left_out="skipped" if answers else "no answer")
            for value in () if annotation.get("was_cancelled") else answers:
                query, left, right = (data[given[role]] for role in ("query", "left", "right"))
                yield answered(where, query, left, right, str(value.get("selected") or ""), rater)
