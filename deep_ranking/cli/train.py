"""Learn a network from a triplet file, from triplets drawn as it goes, or by mining in batches.

Without flags: reads dataset/ and triplets.txt, trains the paper's network on VGG16, writes deepranking.h5,
beside it deepranking.csv (the epochs' logs) and, until the run has ended, deepranking.checkpoint.
"""

import argparse
import json
import logging
from typing import TYPE_CHECKING

from deep_ranking.cli import training_data
from deep_ranking.errors import DeepRankingError

if TYPE_CHECKING:
    from deep_ranking.network.settings import NetworkSettings
    from deep_ranking.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; those without a default leave the choice to the preset."""
    training_data.add_arguments(parser)
    parser.add_argument("--model", default="deepranking.h5", help=".h5 or .keras (default: deepranking.h5)")

    network = parser.add_argument_group("network")
    add = network.add_argument
    add(
        "--preset",
        choices=("paper", "blog"),
        default="paper",
        help="paper, or the blog's layers and settings",
    )
    add(
        "--backbone",
        help="vgg16 (default), alexnet, resnet50, resnet101, mobilenetv2, efficientnetv2b0, "
        "convnext_tiny, or simple, a small net for first tries",
    )
    add(
        "--weights",
        metavar="imagenet|none|FILE",
        help="where to start from (default: imagenet if it can be downloaded, else none)",
    )
    add("--image_size", type=int, metavar="N", help="pixels (default: 224)")
    add(
        "--embedding_size",
        type=int,
        metavar="N",
        help="length of the vectors (default: 4096); 0: the "
        "normalized features themselves, without the linear layer",
    )
    add(
        "--low_resolution",
        choices=("paper", "blog", "none"),
        help="the two small nets on downsampled images (default: the preset's)",
    )
    add("--dropout", type=float, metavar="SHARE", help="of units dropped (default: 0.4; blog: 0.6)")

    loss = parser.add_argument_group("loss")
    add = loss.add_argument
    add(
        "--distance",
        choices=("euclidean", "squared_euclidean"),
        help="(default: squared_euclidean, as in the paper; blog: euclidean)",
    )
    add("--gap", type=float, metavar="G", help="in the units of the distance (default: 0.2; blog: 1)")

    learning = parser.add_argument_group("learning")
    add = learning.add_argument
    add("--epochs", type=int, metavar="N", help="(default: 10); 0 saves the network as it starts")
    add("--batch_size", type=int, metavar="N", help="images, a multiple of three (default: 24)")
    add("--learning_rate", type=float, metavar="R", help="(default: 0.01; blog: 0.001)")
    add("--momentum", type=float, metavar="M", help="Nesterov's (default: 0.9)")
    add("--weight_decay", type=float, metavar="L", help="the paper's lambda (default: 0.001; blog: 0)")
    add(
        "--augmentation",
        choices=("paper", "blog", "none"),
        help="paper: random pixel shift; blog: flips, zoom, shear, rotation (default: the preset's)",
    )
    add(
        "--freeze_normalization",
        action=argparse.BooleanOptionalAction,
        help="keep batch normalization as it is (default: with pretrained weights)",
    )
    add(
        "--backbone_rate",
        type=float,
        metavar="SHARE",
        help="the backbone learns at this share of the learning rate; 0 freezes it (default: 0.1 from "
        "pretrained weights, else 1)",
    )
    add(
        "--mixed_precision",
        choices=("float32", "bfloat16", "float16"),
        dest="precision",
        help="number type of the computation (default: float32)",
    )
    add("--seed", type=int, default=0, metavar="N", help="(default: 0)")

    work = parser.add_argument_group("run")
    add = work.add_argument
    add("--workers", type=int, default=2, metavar="N", help="threads that read images (default: 2)")
    add("--resume", action="store_true", help="go on with a run that was stopped")
    add("--checkpoint_steps", type=int, default=200, metavar="N", help="steps between two (default: 200)")
    add("--tensorboard", metavar="DIR", help="write logs for TensorBoard")
    add("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Train and print what came of it."""
    # The data first: what is missing is said before Keras has taken its seconds.
    training, validation = training_data.read(args)
    evaluation = training_data.evaluation(args, validation)

    from deep_ranking.cli.quiet_keras import import_keras

    import_keras()
    from deep_ranking.training.fit import train

    settings = _settings(args)
    trained = train(
        settings,
        training,
        args.model,
        validation,
        resume=args.resume,
        workers=args.workers,
        checkpoint_steps=args.checkpoint_steps,
        tensorboard=args.tensorboard,
        evaluation=evaluation,
        quiet=args.quiet,
    )
    best = trained.best
    untrained = trained.history[0].get("val_similarity_precision")
    if args.json:
        print(json.dumps({"model": args.model, "best": best, "history": trained.history}))
        return
    print(f"{args.model}: {settings.epochs} epochs over {training_data.summary(training)}")
    if "loss" in best:
        print(f"training:   loss {best['loss']:.4f}, similarity precision {best['similarity_precision']:.2%}")
    if untrained is not None:
        after = f", before training {untrained:.2%}" if settings.epochs else ""
        precision = best["val_similarity_precision"]
        print(f"validation: similarity precision {precision:.2%} (epoch {best['epoch']}){after}")


def _settings(args: argparse.Namespace) -> "TrainingSettings":
    from dataclasses import fields, replace

    from deep_ranking.training.settings import TrainingSettings

    settings = TrainingSettings.blog() if args.preset == "blog" else TrainingSettings()

    def given(part: object) -> dict:
        names = [field.name for field in fields(part)]  # type: ignore[arg-type]
        return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}

    network = replace(settings.network, **given(settings.network))
    settings = replace(settings, **{**given(settings), "network": network})
    return settings if args.weights else replace(settings, weights=_default_weights(network))


def _default_weights(network: "NetworkSettings") -> str:
    """Return "imagenet" where it can be had; otherwise say so and start from random weights."""
    from deep_ranking.network.weights import imagenet_backbone

    try:
        imagenet_backbone(network.backbone, network.image_size)
    except DeepRankingError as error:
        logger.warning("starting from random weights, which learn far slower: %s", error)
        return "none"
    return "imagenet"
