"""Runs: a way, a learning rate and a seed; each is kept once it has ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from learn import learn
from parts import Parts
from scores import Scores, scores, wrong_scores
from ways import RIGHT, Way

from deep_ranking import written_whole


@dataclass(frozen=True)
class Task:
    """What is learned from what.

    Attributes:
        build: makes a way's network.
        parts: the data, for each preprocessing.
        ways: to learn.
    """

    build: Callable[[Way], keras.Model]
    parts: Mapping[str, Parts]
    ways: Sequence[Way]


def with_best_rate(
    task: Task, way: Way, folder: Path, rates: Sequence[float], seeds: int, steps: int
) -> tuple[float, list[Scores]]:
    """Return the rate that ranks the validation part best, and the runs with it, one a seed.

    From the middle of the rates, in their order, it climbs to one that is better than those beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def run(rate: float, seed: int) -> Scores:
        path = folder / f"{way.name}, {rate:g}, {seed}.npz"
        if not path.exists():
            found = measured(task, way, rate, seed, steps)
            with written_whole(path) as temporary:
                np.savez(temporary, **found)
        with np.load(path) as file:
            return dict(file)

    def validated(place: int) -> float:
        return float(np.mean([run(rates[place], seed)["validation"] for seed in range(seeds)]))

    place, best = -1, len(rates) // 2
    while way.learned and place != best:
        place = best
        best = max(range(max(0, place - 1), min(place + 2, len(rates))), key=validated)
    return rates[best], [run(rates[best], seed) for seed in range(seeds)]


def measured(task: Task, way: Way, rate: float, seed: int, steps: int) -> Scores:
    """Learn and measure."""
    parts = task.parts[way.preprocessing]
    if not way.learned:
        return scores(lambda images: images[-1], parts)
    embed = learn(task.build, way, rate, parts.training, seed, steps)
    found = scores(embed, parts)
    return found | wrong_scores(embed, parts, seed) if way == RIGHT else found
