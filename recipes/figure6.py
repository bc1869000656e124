"""The paper's Figure 6 remade: uniform against weighted sampling, over the share of out-of-class negatives.

Paper: Wang et al. 2014, "Learning Fine-grained Image Similarity with Deep Ranking", section 5.1 and Figure 6.
Data: the drawn set (`deep-ranking prepare demo`), whose relevance within a class is known; drawn here, a part
to train with and a part to measure on that shares no image with it.
Learned: a linear embedding on frozen MobileNetV2 features, the same number of triplets for each sampler.
Weights: MobileNetV2's ImageNet weights without its top, in the layout of keras.applications.
Takes 3 minutes on 2 cores. docs/experiments.md has the table and what to think of it.

    python recipes/figure6.py --weights mobilenet_v2_1.0_224_no_top.weights.h5
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from deep_ranking import (
    Appearance,
    DeepRankingError,
    DemoSettings,
    ImportanceSampler,
    ImportanceSettings,
    Relevance,
    UniformSampler,
    appearance_distances,
    bootstrap,
    draw_demo,
    progress_bar,
    score_at_top,
    similarity_precision,
    triplet_distances,
    within_class_triplets,
)

RATIOS = (0.0, 0.2, 0.5, 1.0)
METHODS = ("uniform", "weighted")
BATCH = 100  # triplets
TOP = 30  # the paper's K
NEAR = 10
MEASURES = {
    "within": "precision within classes",
    "near": "of these, near positives",
    "top": f"score at top {TOP}",
    "between": "precision between classes",
}
EMBEDDING, GAP = 64, 0.2


class KnownRelevance(Relevance):
    """r(i, j) = exp(-d(i, j) / scale) within a class, d the known distance of the drawn attributes."""

    def __init__(self, items: list[Appearance], scale: float | None):
        categories = np.unique([item.category for item in items], return_inverse=True)[1]
        super().__init__(categories, maximum=1)
        self.distances = appearance_distances(items)
        pairs = (categories[:, None] == categories) & ~np.eye(len(items), dtype=bool)
        self.scale = float(np.median(self.distances[pairs])) if scale is None else scale

    def _within(self, queries: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.exp(-self.distances[queries, others] / self.scale)


def main() -> None:
    """Draw, embed, learn with each sampler, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--weights", required=True, help="MobileNetV2's weights file")
    add("--images_per_class", type=int, default=100, help="of 8 classes, in each part (default: 100)")
    add("--triplets", type=int, default=20_000, help="the budget of each run (default: 20000)")
    add("--runs", type=int, default=5, help="seeds of each sampler (default: 5)")
    add("--scale", type=float, help="the distance at which relevance is 1/e (default: the median)")
    add("--margin", type=float, default=0.1, help="T_r (default: 0.1)")
    add("--learning_rate", type=float, default=0.01, help="(default: 0.01)")
    add("--seed", type=int, default=0, help="of the images and the first run (default: 0)")
    add("--json", action="store_true", help="print the results as JSON")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        parts = [part(Path(folder) / str(number), number, args) for number in (0, 1)]
    (items, training), (tested, test) = parts
    mean, deviation = training.mean(axis=0), training.std()
    training, test = (training - mean) / deviation, (test - mean) / deviation
    relevance = KnownRelevance(items, args.scale)
    measure = Measure(tested, args.seed)

    scores = {"as it is": [measure(test)] * args.runs}
    runs = list(product(METHODS, RATIOS, range(args.seed, args.seed + args.runs)))
    for method, ratio, seed in progress_bar(runs, "learning", "runs"):
        embed = learn(training, triplets(relevance, method, ratio, seed, args), seed, args.learning_rate)
        scores.setdefault(f"{method}, {ratio:g}", []).append(measure(embed(test)))
    report(scores, measure, as_json=args.json)


def part(folder: Path, number: int, args: argparse.Namespace) -> tuple[list[Appearance], np.ndarray]:
    """Draw a part of the set; return what is known of its images, and their features."""
    from deep_ranking import import_keras

    import_keras()
    from deep_ranking import Model, NetworkSettings, build_network, load_weights

    items = draw_demo(folder, DemoSettings(args.images_per_class, seed=args.seed, part=number))
    settings = NetworkSettings("mobilenetv2", image_size=96, embedding_size=0, low_resolution="none")
    network = build_network(settings)
    load_weights(network, settings, args.weights)
    embedded = Model(network).embed([folder / item.path for item in items], quiet=False)
    if embedded.failures:
        raise DeepRankingError(f"{embedded.failures[0][0]}: {embedded.failures[0][1]}")
    return list(items), embedded.vectors


def triplets(
    relevance: Relevance, method: str, ratio: float, seed: int, args: argparse.Namespace
) -> Iterator[np.ndarray]:
    """Yield a run's triplets in batches, (BATCH, 3) positions.

    Uniform sampling is weighted sampling with all queries alike and a cap that no relevance is below: then
    min(T_p, r) is the same for all. Both ask of an in-class negative what eq. 8 does.
    """
    uniform = method == "uniform"
    cap = float(np.exp(-2 / relevance.scale)) if uniform else np.inf  # no distance reaches 2
    settings = ImportanceSettings(cap, args.margin, ratio)
    totals = np.ones(len(relevance.categories)) if uniform else None
    sampler = ImportanceSampler(relevance, settings, seed, totals=totals)
    drawn = sampler.draw(args.triplets)
    yield from np.array_split(drawn, max(1, args.triplets // BATCH))


def learn(features: np.ndarray, batches: Iterator[np.ndarray], seed: int, rate: float):
    """Learn a linear embedding of unit length from one pass over the triplets; return its function."""
    import keras

    from deep_ranking import TripletHingeLoss

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(EMBEDDING), keras.layers.UnitNormalization()]
    model = keras.Sequential([keras.Input(features.shape[1:]), *layers])
    model.compile(
        keras.optimizers.SGD(rate, 0.9, nesterov=True),
        loss=TripletHingeLoss(GAP, "squared_euclidean"),
        jit_compile=False,
    )
    for batch in batches:
        rows = batch.reshape(-1)
        model.train_on_batch(features[rows], np.zeros((len(rows), 1)))
    return lambda vectors: np.asarray(model(vectors))


class Measure:
    """Scores embeddings of the test part: within classes, near positives, at the top, between classes.

    A positive is near when it is among the NEAR images of its class that are most like the query.
    """

    def __init__(self, items: list[Appearance], seed: int):
        position = {item.path: number for number, item in enumerate(items)}
        self.groups = np.array([item.category for item in items])
        many, few = (
            np.array([[position[path] for path in t] for t in within_class_triplets(items, count, seed=seed)])
            for count in (100, 10)
        )
        distances = np.where(self.groups[:, None] == self.groups, appearance_distances(items), np.inf)
        nearest = np.sort(distances, axis=1)[:, NEAR, None]  # the first is the query itself
        self.within, self.near = few, many[(distances <= nearest)[many[:, 0], many[:, 1]]]
        classes: dict[str, list[str]] = {}
        for item in items:
            classes.setdefault(item.category, []).append(item.path)
        sampler = UniformSampler(classes, num_pos_images=5, num_neg_images=2, seed=seed)
        order = np.array([position[path] for path in sampler.images])
        self.between = order[np.concatenate(list(sampler.blocks()))]

    def __call__(self, vectors: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean score of each query image, for each measure."""
        right = {
            name: similarity_precision(triplet_distances(vectors, triplets))
            for name, triplets in (("within", self.within), ("near", self.near), ("between", self.between))
        }
        return {name: of_queries(getattr(self, name), scores) for name, scores in right.items()} | {
            "top": of_queries(self.within, score_at_top(vectors, self.within, self.groups, TOP))
        }


def of_queries(triplets: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the mean score of each image that is a query."""
    count = np.bincount(triplets[:, 0])
    return np.bincount(triplets[:, 0], scores)[count > 0] / count[count > 0]


def report(scores: dict[str, list[dict[str, np.ndarray]]], measure: Measure, *, as_json: bool) -> None:
    """Print each sampler's results, then differences: of the methods at a ratio, and from the ratio 0.2.

    Intervals are 95% bootstrap ones over query images, of each image's mean over the runs; what the runs
    differ by stands beside them as a standard deviation.
    """
    table = {name: {m: np.array([run[m] for run in runs]) for m in MEASURES} for name, runs in scores.items()}
    pairs = [(f"weighted, {ratio:g}", f"uniform, {ratio:g}") for ratio in RATIOS]
    pairs += [
        (f"{method}, {ratio:g}", f"{method}, 0.2") for method in METHODS for ratio in RATIOS if ratio != 0.2
    ]
    columns = dict(table)
    columns |= {f"{a} - {b}": {m: table[a][m] - table[b][m] for m in MEASURES} for a, b in pairs}
    found = {
        m: bootstrap({name: values[m].mean(axis=0) for name, values in columns.items()}) for m in MEASURES
    }
    deviations = {
        name: {m: float(v[m].mean(axis=1).std(ddof=1)) if len(v[m]) > 1 else 0.0 for m in MEASURES}
        for name, v in columns.items()
    }
    if as_json:
        results = {
            name: {m: {**found[m][name]._asdict(), "deviation": deviations[name][m]} for m in MEASURES}
            for name in columns
        }
        counts = {m: len(getattr(measure, m)) for m in ("within", "near", "between")}
        print(json.dumps({"triplets": counts, "results": results}))
        return
    print(f"| sampling, out-of-class ratio | {' | '.join(f'{text}, %' for text in MEASURES.values())} |")
    print("| --- " * (1 + len(MEASURES)) + "|")
    for name in columns:
        cells = []
        for m in MEASURES:
            value, low, high = (100 * x for x in found[m][name])
            sign = "+" if " - " in name else ""
            cells.append(
                f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f}), ± {100 * deviations[name][m]:.1f}"
            )
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except DeepRankingError as error:
        sys.exit(f"figure6.py: error: {error}")
