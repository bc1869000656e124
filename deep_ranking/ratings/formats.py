"""Readers of judgements that exist, a function a format; docs/judgements.md says what each file means."""

import math
from collections import defaultdict
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.ratings import published
from deep_ranking.ratings.judgement import Judged, Judgement, answered, ranked, voted
from deep_ranking.ratings.lines import bad, columns, lines, lists, number, table
from deep_ranking.ratings.settings import FORMATS, Reading
from deep_ranking.triplets.file import numbered_triplets


def read_format(name: str, source: str | Path, reading: Reading | None = None) -> Judged:
    """Yield the judgements of a file or folder.

    Args:
        name: of the format, in `FORMATS`.
        source: the file or folder.
        reading: what has to be said of it.

    Raises:
        DeepRankingError: a setting lacks without which it can be read in two ways, or says something of other
            formats; it is not there; a part of it is not as expected, told by path and line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "food.csv"
        ...     _ = path.write_text("soup.jpg; stew.jpg; cake.jpg\\n")
        ...     [(found,) ] = [read_format("query-near-far", path)]
        >>> found.query, found.nearer, found.farther
        ('soup.jpg', 'stew.jpg', 'cake.jpg')
    """
    reading = reading or Reading()
    expect("format", name in FORMATS, f"one of {', '.join(FORMATS)}", name)
    reader, _, needs, takes = FORMATS[name]
    for setting in needs:
        if getattr(reading, setting) is None:
            raise DeepRankingError(
                f"{name}: expected --{setting}, since such a file can be read in several ways, all plausible"
            )
    for setting, default in vars(Reading()).items():
        if getattr(reading, setting) != default and setting not in (*needs, *takes):
            raise DeepRankingError(f"--{setting}: it says nothing of the format {name}; leave it out")
    source = Path(source)
    expected = "a folder" if name in ("psiz", "bapps") else "a file"
    if not (source.is_dir() if expected == "a folder" else source.is_file()):
        found = "nothing" if not source.exists() else "a folder" if source.is_dir() else "a file"
        raise DeepRankingError(f"{source}: expected {expected} for the format {name}, found {found}")
    try:
        yield from (globals().get(reader) or getattr(published, reader))(source, reading)
    except (KeyError, TypeError, AttributeError) as error:
        if name not in ("psiz", "label-studio"):  # in JSON something may be missing, or of another kind
            raise
        raise bad(str(source), f"the layout of {name}", f"another: {type(error).__name__} {error}") from error


def triplets(source: Path, reading: Reading) -> Judged:
    """The triplet file of this project: query,positive,negative."""
    for _, triplet in numbered_triplets(source):
        yield Judgement(*triplet)


def odd_one_out(source: Path, reading: Reading) -> Judged:
    """Three a line, one of them odd: each of the other two finds the other nearer than the odd one."""
    for _, names in lists(source, (3,), "three names, one of them the odd one"):
        odd = names.pop(0 if reading.odd == "first" else 2)
        for query, nearer in permutations(names):
            yield Judgement(query, nearer, odd)


def most_central(source: Path, reading: Reading) -> Judged:
    """Three a line, the most central first: each of the other two finds it nearer than the remaining one.

    Or six: who was asked, the most central, the three that were shown, how long it took; with a header.
    """
    expected = "three names, the most central first, or six: rater, the most central, the three shown, time"
    for where, names in lists(source, (3, 6), expected):
        rater, shown = ("", names) if len(names) == 3 else (names[0], names[2:5])
        centre = names[0] if len(names) == 3 else names[1]
        if centre not in shown:
            if where.endswith(", line 1"):  # a header
                continue
            raise bad(where, "the most central among the three that were shown", repr(centre))
        others = [name for name in shown if name != centre]
        for query, farther in permutations(others) if len(others) == 2 else [(centre, centre)]:
            yield Judgement(query, centre, farther, rater=rater)


def query_near_far(source: Path, reading: Reading) -> Judged:
    """Query; near; far, with blanks around the semicolons."""
    for where, line in lines(source):
        names = [name.strip(" \t") for name in line.split(";")]
        if len(names) != 3 or not all(names):
            raise bad(where, "query; near; far", repr(line))
        yield Judgement(names[0], names[1], names[2])


def ranks(source: Path, reading: Reading) -> Judged:
    """The query, the chosen, the others: each chosen one is nearer than each other one, and by rank."""
    chosen = reading.chosen or 0
    expected = f"a query, {chosen} chosen and one other name or more"
    for _, names in lists(source, range(chosen + 2, 1000), expected):
        yield from ranked(names[0], names[1 : chosen + 1], names[chosen + 1 :], reading.ranked)


def two_alternatives(source: Path, reading: Reading) -> Judged:
    """A csv with a header, by names: a query, two candidates, and the votes for each, or an answer."""
    roles = {"query": "ref_path", "left": "left_path", "right": "right_path", "left_vote": "left_vote"}
    roles |= {"right_vote": "right_vote", "votes": "votes", "rater": "rater", "answer": ""}
    given = columns(reading, roles)
    answers = ("answer",) if given["answer"] else ("left_vote", "right_vote")
    for where, row in table(source, given, ("query", "left", "right", *answers)):
        question, rater = (row["query"], row["left"], row["right"]), row["rater"]
        if given["answer"]:
            yield answered(where, *question, row["answer"], rater)
            continue
        left, right = (number(where, given[side], row[side], 0) for side in answers)
        votes = number(where, given["votes"], row["votes"], 0) if row["votes"] else 1.0
        if not votes:
            yield Judgement("", "", "", left_out="nobody voted")
        else:  # shares of the votes, or the votes themselves
            times = votes if math.isclose(left + right, 1) else 1.0
            yield voted(*question, left * times, right * times, rater)


def pair_scores(source: Path, reading: Reading) -> Judged:
    """A csv of two images and a score: of an image's partners, one with a better mean score is nearer.

    The mean is over raters and both orders. Of the pairs of an image's partners 1,000 at most are drawn.
    """
    sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    given = columns(reading, {"a": "image1", "b": "image2", "score": "score"})
    for where, row in table(source, given, ("a", "b", "score")):
        if not row["score"].strip():
            yield Judgement("", "", "", left_out="no answer")
        elif row["a"] == row["b"]:
            yield Judgement(row["a"], row["a"], row["a"])
        else:
            pair = sums[min(row["a"], row["b"]), max(row["a"], row["b"])]
            pair[0] += number(where, given["score"], row["score"])
            pair[1] += 1
    partners: dict[str, dict[str, float]] = defaultdict(dict)
    for (a, b), (total, count) in sums.items():
        partners[a][b] = partners[b][a] = (1 if reading.higher_is == "similar" else -1) * total / count
    rng = np.random.default_rng(0)
    for query, scores in partners.items():
        names, n = [*scores], len(scores)
        if n < 2:
            continue
        pairs = [*combinations(range(n), 2)] if n * (n - 1) <= 2 * MOST_OF_AN_IMAGE else []
        if not pairs:
            drawn = (divmod(int(k), n - 1) for k in rng.choice(n * (n - 1), MOST_OF_AN_IMAGE, replace=False))
            pairs = sorted({(min(i, j + (j >= i)), max(i, j + (j >= i))) for i, j in drawn})
        for i, j in pairs:
            a, b = names[i], names[j]
            yield voted(query, a, b, float(scores[a] > scores[b]), float(scores[a] < scores[b]))


MOST_OF_AN_IMAGE = 1000
"""So many judgements at most come from the pairs that one image is in."""
