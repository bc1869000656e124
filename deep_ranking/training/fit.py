"""The training run."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from deep_ranking import __version__
from deep_ranking.embedding import Model
from deep_ranking.embedding.engines import ReplicaEngine, named_engine
from deep_ranking.errors import DeepRankingError, MissingExtraError, expect
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.log import check_log, write_log
from deep_ranking.files import check_writable
from deep_ranking.images.augment import PRESETS
from deep_ranking.images.batches import BatchStream, ImageBatches, LabelledBatches, TripletBatches
from deep_ranking.images.cache import ImageCache
from deep_ranking.network.backbones import BACKBONES
from deep_ranking.network.file import check_ending, save_network
from deep_ranking.network.network import average_mirror
from deep_ranking.training import callbacks
from deep_ranking.training.callbacks import Validation
from deep_ranking.training.checkpoint import Checkpoint, Progress, checkpoint_path
from deep_ranking.training.frozen import CachedActivations, refit_embedding
from deep_ranking.training.model import build_training_model, float32_copy
from deep_ranking.training.processes import BatchShares, Processes
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.class_batches import ClassBatches
from deep_ranking.triplets.table import LabelledImages, Triplets, TripletSource

logger = logging.getLogger(__name__)

History = tuple[dict[str, float], ...]
"""The logs of each epoch."""


@dataclass(frozen=True)
class Trained:
    """What a run gave.

    Args:
        network: as it was at the end; the file holds the best.
        history: the logs of each epoch; the first is that of the network before training, epoch 0.
    """

    network: keras.Model
    history: History

    @property
    def best(self) -> dict[str, float]:
        """The epoch whose network was saved."""
        trained = self.history[1:] or self.history
        if "val_similarity_precision" not in trained[-1]:
            return trained[-1]
        return max(trained, key=lambda logs: logs["val_similarity_precision"])


def train(
    settings: TrainingSettings,
    training: TripletSource | LabelledImages,
    model_path: str | Path,
    validation: Triplets | None = None,
    *,
    resume: bool = False,
    workers: int = 2,
    checkpoint_steps: int = 200,
    tensorboard: str | Path | None = None,
    evaluation: Evaluation | None = None,
    watch: Callable[[History], object] = lambda history: None,
    processes: Processes | None = None,
    image_cache: str | Path | None = None,
    image_cache_size: float = 4.0,
    quiet: bool = True,
) -> Trained:
    """Learn a network from triplets, or from classes by mining, and save it.

    Beside the model lie, under its name, a `.csv` of the epochs' logs and, until the run has ended, a
    `.checkpoint`. With validation triplets the file keeps the network that ranked the most of them right.

    Args:
        settings: the run.
        training: what is learned from: triplets, of a file or a sampler; images with classes to mine in.
        model_path: where the network goes; ends in `.h5` or `.keras`.
        validation: what is measured before training and after each epoch.
        resume: go on from the checkpoint.
        workers: threads that read images.
        checkpoint_steps: steps between two checkpoints within an epoch.
        tensorboard: folder for TensorBoard's logs.
        evaluation: what else is measured where `validation` is; it names images by their paths.
        watch: called with the logs of all epochs so far, before training and after each epoch;
            `display.LiveCurves` draws them.
        processes: this one among those that train together, all called alike; it has `join`ed them.
        image_cache: folder where decoded images are kept for later runs; None keeps them for this one.
        image_cache_size: its limit in gigabytes; at 0 images are decoded each time.
        quiet: no progress bar.

    Raises:
        DeepRankingError: settings and data do not fit, an image cannot be read, or nothing to resume.
    """
    model_path = Path(model_path)
    check_ending(model_path)
    check_writable(model_path)
    check_log(model_path.with_suffix(".csv"))
    expect("checkpoint_steps", checkpoint_steps >= 1, "1 or more", checkpoint_steps)
    expect("workers", workers >= 1, "1 or more", workers)
    if model_path.suffix == ".h5" and not BACKBONES[settings.network.backbone].saves_as_h5:
        raise DeepRankingError(
            f"{model_path}: Keras cannot read {settings.network.backbone} back from .h5; name it *.keras"
        )
    cache = None
    if image_cache_size:
        cache = ImageCache((settings.network.image_size,) * 2, image_cache, image_cache_size)
    if settings.discriminants and validation is not None:
        raise DeepRankingError(
            "discriminants: the network is changed after its last epoch, so none can be chosen by validation "
            "triplets; leave them out"
        )
    if processes is not None and (settings.train_from or settings.discriminants):
        raise DeepRankingError("train_from, discriminants: work in one process; leave out --processes")
    batches = _batches(settings, training, workers, cache)
    writes = processes is None or processes.writes
    if processes is not None:
        batches = BatchShares(batches, *processes.shares())
    keras.utils.set_random_seed(settings.seed)
    classes = int(training.labels.max()) + 1 if isinstance(training, LabelledImages) else 0
    with processes.scope() if processes else nullcontext():
        learning, model, frozen = build_training_model(settings, classes, len(batches) * settings.epochs)
        network = float32_copy(learning, settings)
        used = average_mirror(network) if settings.average_mirror else network
    if frozen is not None and settings.epochs:
        batches.fetch = _views(settings, frozen, batches.images, model_path.parent, quiet)
    watched = [callbacks.StopOnNaN(), callbacks.CollapseAlarm(settings.gap)]
    if network is not learning:
        watched.append(callbacks.CopyWeights(learning, network))
    measured = None
    if validation is not None:
        engine = ReplicaEngine(used) if processes else None
        embedder = Model(used, engine=engine, cache=cache)
        measured = Validation(embedder, validation, settings.gap, settings.distance, evaluation)
        watched.append(callbacks.Validate(measured))
    if tensorboard is not None:
        watched.append(_tensorboard(tensorboard))

    checkpoint = Checkpoint(
        checkpoint_path(model_path), _run_identity(settings, training, validation), writes
    )
    if resume:
        start = checkpoint.restore(model)
    else:
        if writes and checkpoint.path.exists():
            logger.warning("%s: starting over; --resume would have gone on with this run", checkpoint.path)
        untrained = measured.measure() if measured else {}
        start = Progress(history=({"epoch": 0, **untrained},))

    def save(logs: dict[str, float]) -> None:
        if writes:
            save_network(used, model_path, _metadata(settings, training, start.history[0], logs))

    def log(history: History) -> None:
        if writes:
            write_log(model_path.with_suffix(".csv"), history)
            watch(history)

    def finish(logs: dict[str, float]) -> None:
        if settings.discriminants and isinstance(training, LabelledImages):
            refit_embedding(network, training, settings.discriminants, settings.engine, quiet)
        save(logs)

    watch(start.history)
    if not settings.epochs:
        finish(start.history[0])
        return Trained(used, start.history)
    keeper = callbacks.SaveBest(save, log, checkpoint, checkpoint_steps, len(batches), start)
    bar = callbacks.ProgressBar(batches, start.step, settings.epochs, quiet)
    try:
        _fit(model, batches, start.step, settings.epochs, [*watched, keeper, bar])
    except KeyboardInterrupt as stop:
        if checkpoint.path.exists():
            stop.add_note("the same command with --resume goes on from the last checkpoint")
        raise
    finally:
        bar.close()
    if settings.discriminants:
        finish(keeper.state.history[-1])
    checkpoint.discard()
    return Trained(used, keeper.state.history)


def _batches(
    settings: TrainingSettings,
    training: TripletSource | LabelledImages,
    workers: int,
    cache: ImageCache | None,
) -> ImageBatches:
    size = (settings.network.image_size,) * 2
    if isinstance(training, LabelledImages) != (settings.mining != "none"):
        raise DeepRankingError(
            f"mining {settings.mining!r}: expected "
            + ("triplets" if settings.mining == "none" else "images with classes")
            + f" to learn from, found {type(training).__name__}"
        )
    if not isinstance(training, LabelledImages):
        return TripletBatches(
            training,
            settings.batch_size,
            size,
            shuffle=True,
            seed=settings.seed,
            distinct=True,
            workers=workers,
            cache=cache,
        )
    deals = ClassBatches(
        training.labels, settings.classes_per_batch, settings.images_per_class, settings.seed
    )
    if len(deals.small_classes):
        logger.warning(
            "%d classes have fewer than %d images (--images_per_class) and take no part in training",
            len(deals.small_classes),
            settings.images_per_class,
        )
    return LabelledBatches(training, deals, size, workers, cache)


def _views(
    settings: TrainingSettings, frozen: keras.Model, images: Sequence[str], folder: Path, quiet: bool
) -> CachedActivations:
    return CachedActivations(
        named_engine(settings.engine, frozen),
        images,
        (settings.network.image_size,) * 2,
        folder,
        PRESETS[settings.augmentation],
        settings.views,
        settings.seed,
        quiet,
    )


def _fit(model: keras.Model, batches: ImageBatches, step: int, epochs: int, watched: list[Any]) -> None:
    """Run `model.fit` from a step to the end: first the rest of a begun epoch, then the whole ones.

    On other backends than TensorFlow each epoch is a `fit` of its own: there Keras begins a data set without
    an end anew with each epoch, so every epoch would be the first.
    """
    epoch, begun = divmod(step, len(batches))
    at_once = epochs if keras.backend.backend() == "tensorflow" else 1
    parts = [(until, 0) for until in range(epoch + bool(begun) + at_once, epochs, at_once)] + [(epochs, 0)]
    for until, skipped in [(epoch + 1, begun), *parts] if begun else parts:
        if epoch < until:
            try:
                model.fit(
                    BatchStream(batches, epoch * len(batches) + skipped),
                    steps_per_epoch=len(batches) - skipped,
                    initial_epoch=epoch,
                    epochs=until,
                    callbacks=watched,
                    shuffle=False,  # the batches are shuffled already
                    verbose=0,
                )
            except Exception:
                if batches.failure is None:
                    raise
                # What a reading thread raises arrives wrapped by the backend; the reason is what is wanted.
                raise batches.failure from None
        epoch = until


def _metadata(
    settings: TrainingSettings,
    training: TripletSource | LabelledImages,
    untrained: dict[str, float],
    logs: dict[str, float],
) -> dict[str, Any]:
    return {
        "version": __version__,
        "settings": asdict(settings),
        "triplets": training.description,
        "metrics": logs,
        "untrained": untrained,
    }


def _run_identity(
    settings: TrainingSettings, training: TripletSource | LabelledImages, validation: Triplets | None
) -> str:
    """Identify what a checkpoint belongs to; the number of epochs may grow while a run is resumed, unless
    the learning rate depends on it.
    """
    parts = {**asdict(settings), "training": training.fingerprint}
    if settings.schedule == "constant" and not settings.warmup:
        del parts["epochs"]
    parts["validation"] = validation.fingerprint if validation else None
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _tensorboard(folder: str | Path) -> keras.callbacks.Callback:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard", "--tensorboard") from None
    check_writable(Path(folder) / "events")
    return keras.callbacks.TensorBoard(str(folder), write_graph=False)
