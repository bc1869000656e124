"""Describe images by a hand-made feature of the paper, and write the vectors as an embeddings file.

The features: wavelet (Haar signature), color (LAB histogram), sift (bag of dense SIFT-like words), fisher
(Fisher vector of the same descriptors), hog, texton (textons in a spatial pyramid). sift, fisher and texton
need a codebook: it is learned from the images, or read.
"""

import argparse
import json
from pathlib import Path

EXAMPLES = {
    "--dataset photos --feature color --output color.npz": "colour histograms",
    "--dataset photos --feature sift --codebook words.npz --output sift.npz": "bags of words, and these",
}
MAIN = ("dataset", "feature", "output", "codebook", "cache")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--dataset", default="dataset", help="the folder of images (default: dataset)")
    parser.add_argument("--feature", required=True, metavar="NAME", help="one of those above")
    parser.add_argument("--output", required=True, metavar="FILE", help="where the .npz is written")
    parser.add_argument(
        "--codebook",
        metavar="FILE",
        help="read from here if the file exists, so that new images are described as the first ones were; "
        "otherwise learned and written here",
    )
    parser.add_argument("--cache", metavar="DIR", help="keep each image's vector here, by content")
    parser.add_argument("--workers", type=int, default=2, help="threads (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the codebook (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def run(args: argparse.Namespace) -> None:
    """Find, fit, compute, write."""
    import numpy as np

    from deep_ranking.cli.image_folders import tell_left_out
    from deep_ranking.cli.shared import tell_next
    from deep_ranking.errors import DeepRankingError, expect
    from deep_ranking.extras.handmade import FEATURES, CodebookFeature
    from deep_ranking.extras.handmade.extract import Cache, extract
    from deep_ranking.files import check_writable
    from deep_ranking.images.find import look_into
    from deep_ranking.vectors import Embeddings, write_embeddings

    expect("--feature", args.feature in FEATURES, f"one of {', '.join(FEATURES)}", args.feature)
    expect("--seed", args.seed >= 0, "0 or more", args.seed)
    check_writable(args.output)
    found = look_into(args.dataset)
    tell_left_out(found)
    images = found.images
    if not images:
        raise DeepRankingError(f"{args.dataset}: expected images, found none; check --dataset")
    paths = [Path(args.dataset) / image for image in images]

    kind = FEATURES[args.feature]
    if not issubclass(kind, CodebookFeature):
        if args.codebook:
            raise DeepRankingError(f"--codebook: {args.feature} needs none; leave it out")
        feature = kind()
    elif args.codebook and Path(args.codebook).exists():
        feature = kind(seed=args.seed).load(args.codebook)
    else:
        feature = kind(seed=args.seed).fit(paths, quiet=False)
        if args.codebook:
            feature.save(args.codebook)
    cache = Cache(Path(args.cache)) if args.cache else None
    vectors = extract(feature, paths, cache, args.workers)
    write_embeddings(args.output, Embeddings(np.array(images), vectors))
    if args.json:
        print(json.dumps({"output": args.output, "images": len(images), "dimension": feature.dimension}))
    else:
        print(f"{args.output}: {len(images)} images, {feature.dimension} numbers each")
    tell_next(args, f"golden --features {args.feature}={args.output}", "evaluate --help")
