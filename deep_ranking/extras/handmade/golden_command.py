"""Weigh features by triplets that people rated, and score the sum on text queries held out.

A text query is the folder of an image. Those that share an image, or an image's vectors, are held out
together. The weights written are learned from all triplets.
"""

import argparse
import json

EXAMPLES = {
    "--triplets triplets.txt --features color=color.npz network=vectors.npz": "two features, weighed",
}
MAIN = ("triplets", "features", "output", "folds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--triplets", default="triplets.txt", help="rated triplets (default: triplets.txt)")
    named = "embeddings files, of hand-made features or of any network, each under a name"
    parser.add_argument("--features", nargs="+", required=True, metavar="NAME=FILE", help=named)
    parser.add_argument("--output", default="golden.json", help="the weights (default: golden.json)")
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Read, cross-validate, fit, write."""
    import hashlib
    from pathlib import PurePosixPath

    import numpy as np

    from deep_ranking.blend.golden import GoldenFeature
    from deep_ranking.cli.shared import tell
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.evaluation.metrics import bootstrap, similarity_precision, triplet_distances
    from deep_ranking.learning.folds import folds, independent_groups
    from deep_ranking.triplets import read_triplets
    from deep_ranking.vectors import read_embeddings

    triplets = list(read_triplets(args.triplets))
    if not triplets:
        raise DeepRankingError(f"{args.triplets}: expected triplets, found none")
    names = sorted({name for triplet in triplets for name in triplet})
    row = {name: number for number, name in enumerate(names)}
    rows = np.array([[row[name] for name in triplet] for triplet in triplets])

    features = {}
    for given in args.features:
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise DeepRankingError(f"--features: expected NAME=FILE, found {given!r}")
        embeddings = read_embeddings(path)
        features[name] = embeddings.vectors[embeddings.rows(names)]

    described = [b"".join(v.tobytes() for v in image) for image in zip(*features.values(), strict=True)]
    contents = np.array([hashlib.sha256(vectors).hexdigest() for vectors in described])
    text_queries = np.array([str(PurePosixPath(name).parent) for name in names])
    groups = independent_groups(rows, text_queries, contents)
    right = np.zeros(len(rows), bool)
    for training, held_out in folds(groups, args.folds):
        vectors = GoldenFeature.fit(features, rows[training]).vectors(features)
        right[held_out] = similarity_precision(triplet_distances(vectors, rows[held_out]))
    precision = bootstrap({"precision": right}, groups)["precision"]

    golden = GoldenFeature.fit(features, rows)
    golden.save(args.output)
    if args.json:
        print(json.dumps({"weights": golden.weights, "held_out_precision": precision._asdict()}))
        return
    for name, weight in golden.weights.items():
        print(f"{name:<12} {weight:.4g}")
    print(
        f"similarity precision on held-out text queries: {precision.value:.1%} "
        f"(95% {precision.low:.1%} to {precision.high:.1%}; {len(rows)} triplets, {groups.max() + 1} groups)"
    )
    tell(args, f"{args.output} weighs the features by these; docs/features.md says what for")
