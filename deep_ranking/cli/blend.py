"""Make a network from rated triplets, its backbone frozen: minutes, for some thousand triplets.

The backbone is read at three depths, with a colour histogram beside it. Principal components of each, their
weights and a metric on the whole are learned from the triplets. Precision is cross-validated over text
queries, which are the images' folders: no folder and no photograph on both sides. The model that is written
is learned from all triplets.
"""

import argparse
import json
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("--dataset", default="dataset", help="root of the images (default: dataset)")
    add("--triplets", default="triplets.txt", help="rated triplets (default: triplets.txt)")
    add("--model", default="deepranking.h5", help="what is written: .h5 or .keras (default: deepranking.h5)")
    add("--backbone", default="mobilenetv2", help="mobilenetv2 (default) or resnet50")
    add("--weights", default="imagenet", metavar="imagenet|none|FILE", help="(default: imagenet)")
    add("--image_size", type=int, default=224, metavar="N", help="pixels, a multiple of 32 (default: 224)")
    add("--components", type=int, default=256, metavar="N", help="of each description (default: 256)")
    add(
        "--metric",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="learn a metric on the weighted whole (default: yes)",
    )
    add(
        "--average_mirror",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="describe an image by the mean of itself and its mirror image, in twice the time (default: yes)",
    )
    add("--folds", type=int, default=5, metavar="N", help="of the cross-validation (default: 5)")
    add(
        "--engine", choices=("auto", "keras", "openvino"), default="auto", help="(default: auto, the fastest)"
    )
    add("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    add("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Describe, cross-validate, fit, write."""
    from deep_ranking.evaluation.metrics import bootstrap
    from deep_ranking.files import check_writable
    from deep_ranking.triplets.table import Triplets

    # The data first: what is missing is said before Keras has taken its seconds.
    table = Triplets.load(args.triplets, args.dataset)
    check_writable(args.model)

    from deep_ranking.cli.shared import import_keras

    import_keras()
    from deep_ranking import __version__
    from deep_ranking.blend.described import Descriptions, ReadSettings, ranked_right, text_query_groups
    from deep_ranking.blend.learn import Blend, BlendSettings, MahalanobisMetric
    from deep_ranking.network.file import check_ending, save_network

    check_ending(args.model)
    groups = text_query_groups(table.images, table.rows)
    reading = ReadSettings(
        args.backbone, args.weights, args.image_size, args.engine, args.seed, args.average_mirror
    )
    described = Descriptions.of(table.images, reading, args.quiet)
    metric = MahalanobisMetric() if args.metric else None
    settings = described.settings(BlendSettings(args.components, metric=metric, seed=args.seed))
    right = ranked_right(described.descriptions, table.rows, groups, settings, args.folds, args.quiet)
    precision = bootstrap({"precision": right}, groups, seed=args.seed)["precision"]

    blend = Blend.fit(described.descriptions, table.rows, settings)
    network = described.network(blend)
    metadata: dict[str, Any] = {
        "version": __version__,
        "blend": {
            "backbone": args.backbone,
            "weights": blend.weights,
            "components": args.components,
            "average_mirror": args.average_mirror,
        },
        "triplets": table.description,
        "metrics": {"cross_validated_precision": precision._asdict()},
    }
    save_network(network, args.model, metadata)
    if args.json:
        print(json.dumps({"model": args.model, **metadata["blend"], **metadata["metrics"]}))
        return
    print(f"{args.model}: {network.count_params():,} parameters, {network.output_shape[-1]} numbers an image")
    for name, weight in blend.weights.items():
        print(f"{name:<12} {weight:.4g}")
    print(
        f"similarity precision on held-out text queries: {precision.value:.1%} "
        f"(95% {precision.low:.1%} to {precision.high:.1%}; {len(table):,} triplets, "
        f"{groups.max() + 1} groups)"
    )
