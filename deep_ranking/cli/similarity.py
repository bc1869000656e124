"""Print the distance between two images by a trained model; the smaller, the more similar."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--model",
        default="deepranking.h5",
        help="a trained model, or a weights file of the blog's code (default: deepranking.h5)",
    )
    parser.add_argument("--image1", required=True, help="an image")
    parser.add_argument("--image2", required=True, help="another")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Embed both and print their Euclidean distance, 0 (the same) to 2 (opposite), as the last line."""
    from deep_ranking.images.decode import read_size

    for path in (args.image1, args.image2):
        read_size(path)  # what is wrong with an image is said before Keras has taken its seconds

    from deep_ranking.cli.shared import import_keras

    import_keras()
    import numpy as np

    from deep_ranking.embedding import Model

    embedder = Model.load(args.model)
    one, two = (embedder.embed_image(path) for path in (args.image1, args.image2))
    distance = float(np.linalg.norm(one - two))
    if args.json:
        print(json.dumps({"image1": args.image1, "image2": args.image2, "distance": distance}))
    else:
        print(f"{distance:.6f}")
