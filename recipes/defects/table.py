"""Means, how sure they are, and what they differ by from the right way."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scores import Scores
from ways import RIGHT, Way

MEASURES = {"precision": "triplets ranked right", "nearest": "nearest neighbour"}


class Figure(NamedTuple):
    """A mean, its 95% interval, and the standard deviation over the seeds."""

    value: float
    low: float
    high: float
    deviation: float


def figure(values: np.ndarray, draws: int = 2000) -> Figure:
    """Return the mean of scores, (seeds, images), and how sure it is.

    The interval is the bootstrap's over both: each draw takes seeds anew and images anew, since both would be
    others another time. Of few seeds it knows little: it is a little too narrow for what they differ by.

    Source: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics, 2007.
    """
    rng = np.random.default_rng(0)
    seeds, images = (rng.multinomial(n, np.full(n, 1 / n), draws) / n for n in values.shape)
    low, high = np.percentile(((seeds @ values) * images).sum(axis=1), [2.5, 97.5])
    deviation = values.mean(axis=1).std(ddof=1) if len(values) > 1 else 0.0
    return Figure(float(values.mean()), float(low), float(high), float(deviation))


def compared(found: Mapping[Way, tuple[float, list[Scores]]]) -> dict[str, dict[str, Any]]:
    """Return a row of figures a way: of each measure, and of its difference from the right way.

    Differences are paired: the same test images, the same seeds. (The training triplets are of as many images
    in the same order of classes, so that a difference from them is as sure as one of images drawn apart.)
    """
    rows: dict[str, dict[str, Any]] = {}
    for way, (rate, runs) in found.items():
        for key in runs[0]:
            wrong, _, measure = key.rpartition("/")
            if measure in MEASURES:
                row = rows.setdefault(wrong or way.name, {"rate": rate if way.learned else None})
                row[measure] = figure(np.stack([run[key] for run in runs]))._asdict()
                if wrong or way != RIGHT:
                    pairs = zip(runs, found[RIGHT][1], strict=True)
                    row[f"{measure} gained"] = figure(
                        np.stack([a[key] - b[measure] for a, b in pairs])
                    )._asdict()
    return dict(sorted(rows.items(), key=lambda item: item[0].startswith("measured")))


def text(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the tables, in percent: value (95% interval), and after ± the deviation over the seeds."""
    head = " | ".join(f"{title}, % | against {RIGHT.name}" for title in MEASURES.values())
    lines = []
    for title, rows in results.items():
        lines += [f"| {title} | rate | {head} |", "| --- " * 6 + "|"]
        for name, row in rows.items():
            cells = [_cell(row.get(key), "+" if "gained" in key else "") for key in _COLUMNS]
            lines.append(f"| {name} | {row['rate'] or ''} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


_COLUMNS = [key for measure in MEASURES for key in (measure, f"{measure} gained")]


def _cell(found: Mapping[str, float] | None, sign: str) -> str:
    if found is None:
        return ""
    value, low, high, deviation = (100 * found[key] for key in Figure._fields)
    return f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f}), ± {deviation:.1f}"
