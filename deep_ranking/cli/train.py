"""Learn a network from a triplet file, from triplets drawn as it goes, or by mining in batches.

Without flags: reads dataset/ and triplets.txt, trains the paper's network on VGG16, writes deepranking.h5,
beside it deepranking.csv (the epochs' logs) and, until the run has ended, deepranking.checkpoint.
"""

import argparse
import json
import logging
import sys
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING

from deep_ranking.cli import running, training_data
from deep_ranking.errors import DeepRankingError

if TYPE_CHECKING:
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

    add("--scale", type=float, metavar="S", help="of the softmax of --mining proxies (default: 20)")
    add(
        "--smoothing",
        type=float,
        metavar="SHARE",
        help="with --mining proxies, of the target that all classes share (default: 0)",
    )

    learning = parser.add_argument_group("learning")
    add = learning.add_argument
    add("--epochs", type=int, metavar="N", help="(default: 10); 0 saves the network as it starts")
    add("--batch_size", type=int, metavar="N", help="images, a multiple of three (default: 24)")
    add("--learning_rate", type=float, metavar="R", help="(default: 0.01; blog: 0.001)")
    add("--schedule", choices=("constant", "cosine"), help="of the learning rate (default: constant)")
    add(
        "--warmup",
        type=float,
        metavar="SHARE",
        help="of the steps, in which the learning rate rises from 0 (default: 0)",
    )
    add("--momentum", type=float, metavar="M", help="Nesterov's (default: 0.9)")
    add("--weight_decay", type=float, metavar="L", help="the paper's lambda (default: 0.001; blog: 0)")
    add(
        "--augmentation",
        choices=("paper", "mirror", "flip", "blog", "none"),
        help="paper: random pixel shift; mirror: the same, and left for right; flip: that alone; blog: "
        "flips, zoom, shear, rotation (default: the preset's)",
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
        "--train_from",
        metavar="LAYER",
        help="freeze the backbone up to this layer, and compute what it gives once for each image, so that "
        "an epoch costs the layers behind it alone (MobileNetV2: block_12_add, for one)",
    )
    add(
        "--views",
        type=int,
        metavar="N",
        help="with --train_from: of each image, itself and draws of the augmentation (default: 1)",
    )
    add(
        "--discriminants",
        type=float,
        metavar="SHRINKAGE",
        help="with --mining: in the end replace the linear layer by the linear discriminants of the training "
        "images, shrunk by so much (try 0.3; default: 0, keep what was learned)",
    )
    add(
        "--average_mirror",
        action="store_true",
        default=None,
        help="save a network that embeds an image by the mean of itself and its mirror image, in twice the "
        "time",
    )
    add(
        "--engine",
        choices=("keras", "openvino", "openvino-bfloat16"),
        help="what runs the frozen layers of --train_from, and all for --discriminants (default: keras)",
    )
    add(
        "--mixed_precision",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        dest="precision",
        help="number type of the computation; auto: bfloat16 where the processor has it and the backbone "
        "gains by it, else float32 (default: auto)",
    )
    add(
        "--jit",
        choices=("auto", "on", "off"),
        help="compile the step by XLA; auto: on accelerators and with JAX (default: auto)",
    )
    add("--seed", type=int, default=0, metavar="N", help="(default: 0)")

    work = parser.add_argument_group("run")
    add = work.add_argument
    add("--workers", type=int, default=2, metavar="N", help="threads that read images (default: 2)")
    add(
        "--image_cache",
        metavar="DIR",
        help="keep decoded images there for later runs too (default: for this run only)",
    )
    add(
        "--image_cache_size",
        type=float,
        default=4.0,
        metavar="GB",
        help="at most so many gigabytes of them; 0: decode an image each time (default: 4)",
    )
    add("--resume", action="store_true", help="go on with a run that was stopped")
    add("--checkpoint_steps", type=int, default=200, metavar="N", help="steps between two (default: 200)")
    add("--tensorboard", metavar="DIR", help="write logs for TensorBoard")
    several = parser.add_argument_group("several processes (docs/scaling.md)")
    add = several.add_argument
    add(
        "--processes",
        type=int,
        metavar="N",
        help="train in N processes on JAX, each with its share of every batch: N on this machine, or with "
        "--coordinator and --process one of N on as many; 1 takes all devices of this machine",
    )
    add("--coordinator", metavar="HOST:PORT", help="where process 0 is")
    add("--process", type=int, metavar="I", help="which one this is, from 0")
    work.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Train and print what came of it."""
    if args.processes is None:
        for name in ("coordinator", "process"):
            if getattr(args, name) is not None:
                raise DeepRankingError(f"--{name}: no effect without --processes; give both")
    elif args.processes > 1 and args.process is None and args.coordinator is None:
        return running.run_together(_train, args)
    _train(args)


def _train(args: argparse.Namespace) -> None:
    # The data first: what is missing is said before Keras has taken its seconds.
    training, validation = training_data.read(args)
    evaluation = training_data.evaluation(args, validation)

    from deep_ranking.cli.shared import import_keras

    processes = None
    if args.processes is not None:
        from deep_ranking.training.processes import Processes

        processes = Processes(args.processes, args.process or 0, args.coordinator)
        processes.choose_backend()
    import_keras("tensorflow")
    from deep_ranking.network.weights import NoImageNetWeightsError
    from deep_ranking.training.fit import train

    settings = _settings(args)
    if processes is not None:
        if processes.count > 1:
            running.keep_results_apart()
        processes.join()
    if not args.quiet and not args.process:
        _tell(settings)
    learn = partial(
        train,
        training=training,
        model_path=args.model,
        validation=validation,
        resume=args.resume,
        workers=args.workers,
        checkpoint_steps=args.checkpoint_steps,
        tensorboard=args.tensorboard,
        evaluation=evaluation,
        image_cache=args.image_cache,
        image_cache_size=args.image_cache_size,
        processes=processes,
        quiet=args.quiet or (args.process or 0) > 0,
    )
    try:
        trained = learn(settings)
    except NoImageNetWeightsError as error:  # before the first step
        if args.weights:
            raise
        logger.warning("starting from random weights, which learn far slower: %s", error)
        trained = learn(replace(settings, weights="none"))
    if args.process:
        return
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
    from deep_ranking.training.model import best_precision
    from deep_ranking.training.settings import TrainingSettings

    settings = TrainingSettings.blog() if args.preset == "blog" else TrainingSettings()

    def given(part: object) -> dict:
        names = [field.name for field in fields(part)]  # type: ignore[arg-type]
        return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}

    network = replace(settings.network, **given(settings.network))
    if args.precision == "auto":
        args.precision = best_precision(network.backbone)
    return replace(settings, **{**given(settings), "network": network})


def _tell(settings: "TrainingSettings") -> None:
    """Say in a line what --mixed_precision and --jit come to on this machine."""
    import keras

    from deep_ranking.training.model import jit_pays

    xla = "with" if settings.jit == "on" or (settings.jit == "auto" and jit_pays()) else "without"
    print(f"training on {keras.backend.backend()} in {settings.precision}, {xla} XLA", file=sys.stderr)
