"""Make a network from rated triplets, its backbone frozen: minutes, for some thousand triplets.

The backbone is read at three depths, with a colour histogram beside it. Principal components of each, their
weights and a metric on the whole are learned from the triplets. Precision is cross-validated over text
queries, which are the images' folders: no folder and no photograph on both sides. The model that is written
is learned from all triplets.
"""

import argparse
import json

from deep_ranking.cli import checks, shared

EXAMPLES = {
    "--dataset photos --triplets rated.txt --model mine.h5": "from what `ratings export` wrote",
    "--dataset human --triplets human/triplets.txt": "from triplets with a folder a text query",
}
MAIN = ("dataset", "triplets", "model", "backbone", "weights")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    from deep_ranking.blend.settings import LearnSettings

    add = parser.add_argument
    add("--dataset", default="dataset", help="root of the images (default: dataset)")
    add("--triplets", default="triplets.txt", help="rated triplets (default: triplets.txt)")
    shared.add_model(parser, "what is written: .h5 or .keras", written=True)
    shared.add_settings(parser, LearnSettings)
    shared.add_json(parser, "the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Describe, cross-validate, fit, write."""
    from deep_ranking.blend.settings import LearnSettings
    from deep_ranking.files import check_writable
    from deep_ranking.triplets.table import Triplets

    checks.starting_weights(args.weights)
    # The data first: what is missing is said before Keras has taken its seconds.
    settings = LearnSettings().changed(vars(args))
    table = Triplets.load(args.triplets, args.dataset)
    check_writable(args.model)
    shared.import_keras()
    from deep_ranking.blend.run import learn

    learned = learn(table, args.model, settings, quiet=False)
    precision = learned.precision
    if args.json:
        told = {"model": args.model, "backbone": settings.backbone, "weights": learned.weights}
        told |= {"components": settings.components, "average_mirror": settings.average_mirror}
        print(json.dumps({**told, "cross_validated_precision": precision._asdict()}))
        return
    network = learned.network
    print(f"{args.model}: {network.count_params():,} parameters, {network.output_shape[-1]} numbers an image")
    for name, weight in learned.weights.items():
        print(f"{name:<12} {weight:.4g}")
    print(
        f"similarity precision on held-out text queries: {precision.value:.1%} "
        f"(95% {precision.low:.1%} to {precision.high:.1%}; {len(table):,} triplets, {learned.groups} groups)"
    )
    shared.tell_model(args, args.model, args.dataset)
