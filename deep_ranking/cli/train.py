"""Learn a network from a triplet file.

Without flags: reads dataset/ and triplets.txt, trains the paper's network on VGG16, writes deepranking.h5,
beside it deepranking.csv (the epochs' logs) and, until the run has ended, deepranking.checkpoint.
"""

import argparse
import json
import logging

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="dataset", help="root of the images (default: dataset)")
    data.add_argument("--triplets", default="triplets.txt", help="what to learn from (default: triplets.txt)")
    data.add_argument(
        "--validation_triplets", metavar="FILE", help="triplets of their own, ranked each epoch"
    )
    data.add_argument("--validation_dataset", metavar="DIR", help="root of their images (default: --dataset)")
    data.add_argument(
        "--model", default="deepranking.h5", help="the result, .h5 or .keras (default: deepranking.h5)"
    )

    network = parser.add_argument_group("network")
    network.add_argument(
        "--preset", choices=("paper", "blog"), default="paper", help="paper, or the blog's exact layers"
    )
    network.add_argument(
        "--backbone",
        help="vgg16, alexnet, resnet50, resnet101, mobilenetv2, efficientnetv2b0, "
        "convnext_tiny or simple (default: vgg16)",
    )
    network.add_argument(
        "--weights",
        metavar="imagenet|none|FILE",
        help="where to start from (default: imagenet if it can be downloaded, else none)",
    )
    network.add_argument("--image_size", type=int, metavar="N", help="pixels (default: 224)")
    network.add_argument(
        "--embedding_size",
        type=int,
        metavar="N",
        help="length of the vectors; 0: the features themselves, without the linear layer (default: 4096)",
    )
    network.add_argument(
        "--low_resolution",
        choices=("paper", "blog", "none"),
        help="the two small nets on downsampled images (default: the preset's)",
    )
    network.add_argument("--dropout", type=float, metavar="SHARE", help="(default: 0.4; blog: 0.6)")

    loss = parser.add_argument_group("loss")
    loss.add_argument("--gap", type=float, default=1.0, metavar="G", help="(default: 1)")
    loss.add_argument("--distance", choices=("euclidean", "squared_euclidean"), default="euclidean")

    run_group = parser.add_argument_group("run")
    run_group.add_argument(
        "--epochs", type=int, default=10, metavar="N", help="0 saves the network untrained (default: 10)"
    )
    run_group.add_argument(
        "--batch_size", type=int, default=24, metavar="N", help="images, a multiple of three (default: 24)"
    )
    run_group.add_argument("--learning_rate", type=float, default=0.001, metavar="R", help="(default: 0.001)")
    run_group.add_argument("--momentum", type=float, default=0.9, metavar="M", help="(default: 0.9)")
    run_group.add_argument("--weight_decay", type=float, default=0.001, metavar="L", help="(default: 0.001)")
    run_group.add_argument(
        "--augmentation",
        choices=("paper", "blog", "none"),
        default="paper",
        help="paper: random pixel shift; blog: flips, zoom, shear, rotation (default: paper)",
    )
    run_group.add_argument(
        "--freeze_normalization",
        action=argparse.BooleanOptionalAction,
        help="keep batch normalization as it is (default: with pretrained weights)",
    )
    run_group.add_argument(
        "--mixed_precision",
        choices=("float32", "bfloat16", "float16"),
        default="float32",
        help="number type of the computation (default: float32)",
    )
    run_group.add_argument(
        "--workers", type=int, default=2, metavar="N", help="threads that read images (default: 2)"
    )
    run_group.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    run_group.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    run_group.add_argument(
        "--checkpoint_steps",
        type=int,
        default=200,
        metavar="N",
        help="steps between two checkpoints (default: 200)",
    )
    run_group.add_argument("--tensorboard", metavar="DIR", help="write logs for TensorBoard")
    run_group.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Train and print what came of it."""
    from deep_ranking.triplets.table import TripletTable

    # The data first: what is missing is said before Keras has taken its seconds.
    training = TripletTable.load(args.triplets, args.dataset)
    validation = None
    if args.validation_triplets:
        validation = TripletTable.load(args.validation_triplets, args.validation_dataset or args.dataset)

    from deep_ranking.cli.quiet_keras import import_keras

    import_keras()
    from deep_ranking.training.fit import train

    settings = _settings(args)
    if not args.quiet:
        logger.info("%s triplets over %s images", f"{len(training):,}", f"{len(training.images):,}")
    trained = train(
        settings,
        training,
        args.model,
        validation,
        resume=args.resume,
        workers=args.workers,
        checkpoint_steps=args.checkpoint_steps,
        tensorboard=args.tensorboard,
        quiet=args.quiet,
    )
    best = trained.best
    untrained = trained.history[0].get("val_similarity_precision")
    if args.json:
        print(json.dumps({"model": args.model, "best": best, "history": trained.history}))
        return
    print(f"{args.model}: {settings.epochs} epochs over {len(training):,} triplets")
    if "loss" in best:
        print(f"training:   loss {best['loss']:.4f}, similarity precision {best['similarity_precision']:.2%}")
    if untrained is not None:
        after = f", before training {untrained:.2%}" if settings.epochs else ""
        precision = best["val_similarity_precision"]
        print(f"validation: similarity precision {precision:.2%} (epoch {best['epoch']}){after}")


def _settings(args: argparse.Namespace):
    from dataclasses import replace

    from deep_ranking.network.settings import NetworkSettings
    from deep_ranking.training.settings import TrainingSettings

    network = NetworkSettings.blog() if args.preset == "blog" else NetworkSettings()
    given = ("backbone", "image_size", "embedding_size", "low_resolution", "dropout")
    network = replace(
        network, **{name: getattr(args, name) for name in given if getattr(args, name) is not None}
    )
    settings = TrainingSettings(
        network=network,
        weights=args.weights or "none",
        gap=args.gap,
        distance=args.distance,
        batch_size=args.batch_size,
        epochs=args.epochs,
        learning_rate=args.learning_rate,
        momentum=args.momentum,
        weight_decay=args.weight_decay,
        augmentation=args.augmentation,
        freeze_normalization=args.freeze_normalization,
        precision=args.mixed_precision,
        seed=args.seed,
    )
    return settings if args.weights else replace(settings, weights=_default_weights(network))


def _default_weights(network) -> str:
    """Return "imagenet" where it can be had; otherwise say so and start from random weights."""
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.network.weights import imagenet_backbone

    try:
        imagenet_backbone(network.backbone, network.image_size)
    except DeepRankingError as error:
        logger.warning("starting from random weights, which learn far slower: %s", error)
        return "none"
    return "imagenet"
