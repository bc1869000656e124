"""Runs: a way, a learning rate and a seed; each is kept once it has ended."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from learn import FromRandomWeights, OnFrozenFeatures, learn
from scores import Scores, scores, wrong_scores
from ways import RIGHT, Way

from deep_ranking.files import written_whole


class Runs:
    """Learns and measures.

    Args:
        learner: what learns from what.
        folder: where runs are kept.
        steps: batches a run learns from.

    Attributes:
        seconds: processor time of the runs asked for, those kept from before included.
    """

    def __init__(self, learner: FromRandomWeights | OnFrozenFeatures, folder: Path, steps: int):
        self.learner, self.folder, self.steps = learner, folder, steps
        self.seconds = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def with_best_rate(self, way: Way, rates: Sequence[float], seeds: int) -> tuple[float, list[Scores]]:
        """Try each rate with the first seed; return that which is best on the validation part, and its runs."""
        tried = {rate: self._run(way, rate, 0) for rate in rates}
        best = max(rates, key=lambda rate: tried[rate]["validation"].mean())
        return best, [tried[best], *(self._run(way, best, seed) for seed in range(1, seeds))]

    def _run(self, way: Way, rate: float, seed: int) -> Scores:
        path = self.folder / f"{way.name}, {rate:g}, {seed}.npz"
        if not path.exists():
            begun = time.process_time()
            found = self._measured(way, rate, seed)
            with written_whole(path) as temporary:
                np.savez(temporary, seconds=time.process_time() - begun, **found)
        kept = dict(np.load(path))
        self.seconds += float(kept.pop("seconds"))
        return kept

    def _measured(self, way: Way, rate: float, seed: int) -> Scores:
        parts = self.learner.parts(way)
        if not way.learned:
            return scores(lambda features: features, parts)
        embed = learn(self.learner.model(way, seed), way, rate, parts.training, seed, self.steps)
        found = scores(embed, parts)
        if way == RIGHT and isinstance(self.learner, FromRandomWeights):
            found |= wrong_scores(embed, parts, seed)
        return found
