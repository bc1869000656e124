"""The paper's Table 1 remade: hand-made features, and what is learned on them, on triplets that people rated.

Paper: Wang et al. 2014, "Learning Fine-grained Image Similarity with Deep Ranking", Table 1.
Data: an archive of `images/<text query>/<name>.jpg` and `triplets.txt`; 2,464 triplets of 6,536 images.
Weights: MobileNetV2's ImageNet weights without its top, in the layout of keras.applications.
Takes 20 minutes the first time on 2 cores that others use too, 10 with a full --cache.
Expect wavelet 62, golden feature 71, MobileNetV2 81; docs/features.md has the table.

    python recipes/table1.py --archive human-triplets-development.zip \\
        --weights mobilenet_v2_1.0_224_no_top.weights.h5 --cache .cache/table1
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from deep_ranking import (
    DeepRankingError,
    Estimate,
    GoldenFeature,
    Triplets,
    bootstrap,
    group_folds,
    independent_groups,
    prepare_human_triplets,
    similarity_precision,
    triplet_distances,
)
from deep_ranking.extras.handmade import FEATURES, Cache, CodebookFeature, extract_features
from recipes.linear import LinearEmbedding
from recipes.oasis import Oasis, similarity

PAPER = {
    "wavelet": 62.2,
    "color": 62.3,
    "sift": 65.5,
    "fisher": 67.2,
    "hog": 68.4,
    "texton": 66.5,
    "golden feature": 80.3,
    "OASIS": 79.2,
}
NETWORK = "MobileNetV2"
BASES = {
    "golden feature": "fisher",
    "linear embedding": "golden feature",
    "OASIS": "golden feature",
    f"linear embedding on {NETWORK}": NETWORK,
    f"OASIS on {NETWORK}": NETWORK,
    f"golden feature with {NETWORK}": NETWORK,
}
"""What each learned row is compared with, triplet by triplet."""
COMPONENTS = 128
"""OASIS and the linear embedding learn on so many principal components of the golden feature's vectors."""
AGGRESSIVENESS = (1e-3, 1e-2, 1e-1)
DECAY = (1e-2, 1e-1, 1.0)

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(training triplets, held-out triplets) -> which of the held-out ones are ranked right."""


def main() -> None:
    """Compute the features, cross-validate, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archive", required=True, help="zip of the images and triplets.txt")
    parser.add_argument("--weights", required=True, help="MobileNetV2's weights file")
    parser.add_argument("--cache", help="keep vectors here between runs")
    parser.add_argument("--workers", type=int, default=2, help="threads (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare_human_triplets(data, args.archive)
        triplets = Triplets.load(data / "triplets.txt", data)
        cache = Cache(Path(args.cache)) if args.cache else None
        features = hand_made(triplets.images, cache, args.workers, args.seed)
        network = embed(triplets.images, args.weights, cache, args.workers)
        contents = np.array([hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in triplets.images])
        text_queries = np.array([Path(path).parent.name for path in triplets.images])
    groups = independent_groups(triplets.rows, text_queries, contents)
    print(f"{len(triplets)} triplets, {groups.max() + 1} groups of text queries", file=sys.stderr)
    precision, gain = cross_validate(features, network, triplets.rows, groups, args.seed)
    if args.json:
        named = {"precision": precision, "gain": gain}
        print(json.dumps({k: {row: e._asdict() for row, e in v.items()} for k, v in named.items()}))
        return
    print("| | similarity precision, % | 95% interval | gain over its base, points | the paper, % |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, found in precision.items():
        more = "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * x for x in gain[name])) if name in gain else ""
        value, low, high = (100 * x for x in found)
        print(f"| {name} | {value:.1f} | {low:.1f} to {high:.1f} | {more} | {PAPER.get(name, '')} |")


def hand_made(paths: list[str], cache: Cache | None, workers: int, seed: int) -> dict[str, np.ndarray]:
    """Compute every hand-made feature; the codebooks see the images and no rating."""
    vectors = {}
    for name, kind in FEATURES.items():
        feature = kind(seed=seed).fit(paths, quiet=False) if issubclass(kind, CodebookFeature) else kind()
        vectors[name] = extract_features(feature, paths, cache, workers)
    return vectors


def embed(paths: list[str], weights: str, cache: Cache | None, workers: int) -> np.ndarray:
    """Return MobileNetV2's pooled features at 224 x 224 pixels, rows of unit length."""
    from deep_ranking import import_keras

    import_keras()
    from deep_ranking import Model, NetworkSettings, build_network, load_weights

    digest = hashlib.sha256(Path(weights).read_bytes())
    for path in paths:
        digest.update(Path(path).read_bytes())
    found = cache.get(digest.hexdigest()) if cache else None
    if found is not None:
        return found
    settings = NetworkSettings("mobilenetv2", embedding_size=0, low_resolution="none")
    network = build_network(settings)
    load_weights(network, settings, weights)
    embedded = Model(network).embed(paths, workers=workers, quiet=False)
    if embedded.failures:
        raise DeepRankingError(f"{embedded.failures[0][0]}: {embedded.failures[0][1]}")
    if cache:
        cache.put(digest.hexdigest(), embedded.vectors)
    return embedded.vectors


def cross_validate(
    features: dict[str, np.ndarray], network: np.ndarray, triplets: np.ndarray, groups: np.ndarray, seed: int
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Return each row of the table, and the gains; intervals draw whole groups of text queries again."""
    both = {**features, NETWORK: network}
    rows: dict[str, Scorer] = {name: alone(vectors, triplets) for name, vectors in features.items()}
    rows["golden feature"] = golden(features, triplets)
    rows["linear embedding"] = on_components(features, triplets, groups, each_linear, seed)
    rows["OASIS"] = on_components(features, triplets, groups, each_oasis, seed)
    rows[NETWORK] = alone(network, triplets)
    rows[f"linear embedding on {NETWORK}"] = on_components(
        {NETWORK: network}, triplets, groups, each_linear, seed
    )
    rows[f"OASIS on {NETWORK}"] = on_components({NETWORK: network}, triplets, groups, each_oasis, seed)
    rows[f"golden feature with {NETWORK}"] = golden(both, triplets)
    right = {}
    for name, scorer in rows.items():
        right[name] = np.zeros(len(triplets))
        for training, held_out in group_folds(groups, 5):
            right[name][held_out] = scorer(training, held_out)
        print(f"{name}: {right[name].mean():.1%}", file=sys.stderr)
    for name, values in (("hand-made", features), ("all", both)):
        print(f"golden weights, {name}: {GoldenFeature.fit(values, triplets).weights}", file=sys.stderr)
    gains = {name: right[name] - right[base] for name, base in BASES.items()}
    return bootstrap(right, groups, seed=seed), bootstrap(gains, groups, seed=seed)


def alone(vectors: np.ndarray, triplets: np.ndarray) -> Scorer:
    """Rank by one feature; nothing is learned."""
    return lambda _, held_out: similarity_precision(triplet_distances(vectors, triplets[held_out]))


def golden(features: dict[str, np.ndarray], triplets: np.ndarray) -> Scorer:
    """Rank by the golden feature of the training triplets."""

    def score(training: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        vectors = GoldenFeature.fit(features, triplets[training]).vectors(features)
        return similarity_precision(triplet_distances(vectors, triplets[held_out]))

    return score


def on_components(
    features: dict[str, np.ndarray], triplets: np.ndarray, groups: np.ndarray, learner: Callable, seed: int
) -> Scorer:
    """Learn on the golden feature's principal components; a part of the training chooses the setting."""

    def score(training: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        from sklearn.decomposition import PCA

        vectors = GoldenFeature.fit(features, triplets[training]).vectors(features)
        seen = vectors[np.unique(triplets[training])]
        projection = PCA(COMPONENTS, svd_solver="randomized", iterated_power=3, random_state=seed).fit(seen)
        vectors = projection.transform(vectors)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        inner, chosen_on = group_folds(groups[training], 5)[0]
        best = max(
            learner(seed),
            key=lambda rank: rank(vectors, triplets[training[inner]], triplets[training[chosen_on]]).mean(),
        )
        return best(vectors, triplets[training], triplets[held_out])

    return score


def each_oasis(seed: int) -> list[Callable]:
    """Return a ranking function for each aggressiveness."""

    def rank(oasis: Oasis, vectors: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        weights = oasis.fit(vectors, training)
        query, positive, negative = (vectors[rows] for rows in held_out.T)
        return similarity(weights, query, positive) > similarity(weights, query, negative)

    return [partial(rank, Oasis(value, epochs=5, seed=seed)) for value in AGGRESSIVENESS]


def each_linear(seed: int) -> list[Callable]:
    """Return a ranking function for each decay."""

    def rank(
        linear: LinearEmbedding, vectors: np.ndarray, training: np.ndarray, held_out: np.ndarray
    ) -> np.ndarray:
        return similarity_precision(triplet_distances(vectors @ linear.fit(vectors, training), held_out))

    return [partial(rank, LinearEmbedding(decay=value, seed=seed)) for value in DECAY]


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
