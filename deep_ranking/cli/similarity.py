"""Print the distance between two images by a trained model; the smaller, the more similar."""

import argparse
import json

from deep_ranking.cli import shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    shared.add_model(parser, "a trained model, or a weights file of the blog's code")
    parser.add_argument("--image1", required=True, help="an image")
    parser.add_argument("--image2", required=True, help="another")
    shared.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Embed both and print their Euclidean distance, 0 (the same) to 2 (opposite), as the last line."""
    from deep_ranking.images.decode import read_size

    for path in (args.image1, args.image2):
        read_size(path)  # what is wrong with an image is said before Keras has taken its seconds

    model = shared.embedding_model(args.model)
    import numpy as np

    distance = float(np.linalg.norm(model.embed_image(args.image1) - model.embed_image(args.image2)))
    if args.json:
        print(json.dumps({"image1": args.image1, "image2": args.image2, "distance": distance}))
    else:
        print(f"{distance:.6f}")
