"""Learn a network from a folder of classes, in seconds; or from triplets, as the paper and the blog did.

Without flags: describes the images of dataset/ by a pretrained MobileNetV2, learns a linear layer on it,
measures on images held out that it is not worse than without, and writes deepranking.h5. With a flag of the
learning by steps (--epochs, --mining, ...), --weights none or --preset: reads dataset/ and triplets.txt,
trains the paper's network on VGG16, and writes beside deepranking.h5 deepranking.csv (the epochs' logs)
and, until the run has ended, deepranking.checkpoint.
"""

import argparse
import json
import logging
import multiprocessing
import multiprocessing.connection
import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from typing import TYPE_CHECKING

from deep_ranking.cli import INTERRUPTED, checks, shared, training_data
from deep_ranking.errors import DeepRankingError, some

if TYPE_CHECKING:
    from deep_ranking.training.run import Trained
    from deep_ranking.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

EXAMPLES = {
    "--dataset photos": "one sub-folder a class: in seconds, and never worse than without",
    "--preset paper": "the paper's network from dataset/ and triplets.txt",
    "--resume": "go on where a run was stopped",
}
MAIN = ("dataset", "triplets", "model", "backbone", "epochs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; those without a default leave the choice to the preset."""
    from deep_ranking.network.settings import NetworkSettings
    from deep_ranking.training.settings import RunOptions, TrainingSettings

    training_data.add_arguments(parser)
    shared.add_model(parser, ".h5 or .keras", written=True)

    network = parser.add_argument_group("network")
    about = (
        "features: keep those of a pretrained backbone (mobilenetv2), learn a linear layer on them; paper, "
        "or the blog's layers and settings (default: features, unless a flag asks for learning by steps)"
    )
    network.add_argument("--preset", choices=("features", "paper", "blog"), help=about)
    of_table = partial(shared.add_settings, given_only=True)
    others = [field.name for field in fields(NetworkSettings) if field.name != "backbone"]
    of_table(network, NetworkSettings, leave_out=others)
    of_table(network, TrainingSettings, group="network")
    of_table(network, NetworkSettings, leave_out=["backbone"])
    for group in ("loss", "learning"):
        of_table(parser.add_argument_group(group), TrainingSettings, group=group)

    work = parser.add_argument_group("run")
    shared.add_settings(work, RunOptions)
    add = parser.add_argument_group("several processes (docs/scaling.md)").add_argument
    add(
        "--processes",
        type=int,
        metavar="N",
        help="train in N processes on JAX, each with its share of every batch: N on this machine, or with "
        "--coordinator and --process one of N on as many; 1 takes all devices of this machine",
    )
    add("--coordinator", metavar="HOST:PORT", help="where process 0 is")
    add("--process", type=int, metavar="I", help="which one this is, from 0")
    shared.add_json(work, "the results as JSON")


def run(args: argparse.Namespace) -> None:
    """Train and print what came of it."""
    if args.processes is None:
        for name in ("coordinator", "process"):
            if getattr(args, name) is not None:
                raise DeepRankingError(f"--{name}: no effect without --processes; give both")
    elif args.processes > 1 and args.process is None and args.coordinator is None:
        return run_processes(_train, args)
    _train(args)


def run_processes(work: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Do the work in `args.processes` processes, each told its number and where the first one listens.

    Args:
        work: called in each process with the arguments, `coordinator` and `process` filled in.
        args: of the command.

    Raises:
        DeepRankingError: a process failed, and has said why; the others are ended.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    start = multiprocessing.get_context("spawn").Process
    running = []
    for number in range(args.processes):
        own = argparse.Namespace(**{**vars(args), "coordinator": coordinator, "process": number})
        running.append(start(target=_process, args=(work, own)))
        running[-1].start()
    try:
        waiting = {process.sentinel: process for process in running}
        while waiting:
            for sentinel in multiprocessing.connection.wait(list(waiting)):
                ended = waiting.pop(sentinel)  # type: ignore[arg-type]
                ended.join()  # its sentinel may come a moment before its exit code
                if ended.exitcode:
                    raise DeepRankingError("a process failed; --resume goes on from the last checkpoint")
    except KeyboardInterrupt as stop:
        stop.add_note("the same command with --resume goes on from the last checkpoint, if there is one")
        raise
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _train(args: argparse.Namespace) -> None:
    checks.backbone(args.backbone)
    checks.starting_weights(args.weights)
    # The data first: what is missing is said before Keras has taken its seconds.
    data, validation = training_data.read(args)
    training_data.warn_of_leak(data, validation)
    evaluation = training_data.evaluation(args, validation)

    processes = None
    if args.processes is not None:
        from deep_ranking.training.processes import Processes

        processes = Processes(args.processes, args.process or 0, args.coordinator)
        processes.choose_backend()
    shared.import_keras("tensorflow")
    from deep_ranking.network.weights import NoImageNetWeightsError
    from deep_ranking.training.run import train
    from deep_ranking.training.settings import RunOptions

    settings = _settings(args)
    if processes is not None:
        if processes.count > 1:
            _keep_results_apart()
        processes.join()
    if not args.quiet and not args.process and not settings.on_features:
        _tell(settings)
    learn = partial(
        train,
        data,
        args.model,
        validation=validation,
        evaluation=evaluation,
        processes=processes,
        quiet=args.quiet or (args.process or 0) > 0,
        **asdict(RunOptions().changed(vars(args))),
    )
    try:
        trained = learn(settings=settings)
    except NoImageNetWeightsError as error:  # before the first step
        if args.weights or settings.on_features:
            raise
        logger.warning("starting from random weights, which learn far slower: %s", error)
        trained = learn(settings=replace(settings, weights="none"))
    if not args.process:
        _print(args, trained, settings.epochs, training_data.summary(data))


def _print(args: argparse.Namespace, trained: "Trained", epochs: int, learned_from: str) -> None:
    best, verdict = trained.best, trained.verdict
    untrained = trained.history[0].get("val_similarity_precision")
    if args.json:
        told = {"model": args.model, "best": best, "history": trained.history}
        print(json.dumps(told | ({"verdict": asdict(verdict)} if verdict else {})))
        return
    stepped = epochs or args.preset != "features"
    by = f"{some(epochs, 'epoch')} over" if stepped else "a linear layer learned from"
    print(f"{args.model}: {by} {learned_from}")
    if "loss" in best:
        print(f"training:   loss {best['loss']:.4f}, similarity precision {best['similarity_precision']:.2%}")
    if untrained is not None:
        after = f", before training {untrained:.2%}" if epochs else ""
        precision = best["val_similarity_precision"]
        print(f"validation: similarity precision {precision:.2%} (epoch {best['epoch']}){after}")
    if verdict:
        print(verdict.sentence(args.model))
        if verdict.better:
            print(f"\n{verdict.table()}")
    shared.tell_model(args, args.model, args.dataset)


def _settings(args: argparse.Namespace) -> "TrainingSettings":
    from deep_ranking.training.model import best_precision
    from deep_ranking.training.settings import TrainingSettings

    presets = {"features": TrainingSettings.features, "blog": TrainingSettings.blog}
    settings = presets.get(args.preset, TrainingSettings)().changed(vars(args))
    if args.precision == "auto":
        return replace(settings, precision=best_precision(settings.network.backbone))
    return settings


def _tell(settings: "TrainingSettings") -> None:
    """Say in a line what --mixed_precision and --jit come to on this machine."""
    import keras

    from deep_ranking.training.model import jit_pays

    xla = "with" if settings.jit == "on" or (settings.jit == "auto" and jit_pays()) else "without"
    print(f"training on {keras.backend.backend()} in {settings.precision}, {xla} XLA", file=sys.stderr)


def _keep_results_apart() -> None:
    """Leave standard output to `print`: Gloo's own lines, which go there too, come on standard error."""
    sys.stdout = os.fdopen(os.dup(1), "w", errors="surrogateescape")
    os.dup2(2, 1)


def _process(work: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    level = logging.ERROR if args.process else logging.WARNING
    logging.basicConfig(format=f"process {args.process}: %(levelname)s: %(message)s", level=level)
    try:
        work(args)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (DeepRankingError, OSError) as error:
        sys.exit(f"process {args.process}: error: {error}")


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this one was started by it
    parent.join()
    os._exit(1)
