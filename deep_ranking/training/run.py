"""The training run."""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deep_ranking import __version__
from deep_ranking.embedding import Model
from deep_ranking.embedding.engines import ReplicaEngine, named_engine
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.evaluation.log import check_log, write_log
from deep_ranking.files import check_writable
from deep_ranking.images.augment import PRESETS
from deep_ranking.images.batches import BatchStream, ImageBatches
from deep_ranking.images.cache import ImageCache
from deep_ranking.network.backbones import find_backbone
from deep_ranking.network.file import check_ending, load_network, save_network
from deep_ranking.network.network import average_mirror, own_conventions, random_numbers_kept
from deep_ranking.network.weights import starting_network
from deep_ranking.progress import quietly
from deep_ranking.training import alarms
from deep_ranking.training import callbacks as own
from deep_ranking.training.broken import without_broken
from deep_ranking.training.checkpoint import Checkpoint, Progress
from deep_ranking.training.frozen import CachedActivations, refit_embedding
from deep_ranking.training.kept import learn_on_features
from deep_ranking.training.model import Data, batches_of, build_training_model, float32_copy
from deep_ranking.training.processes import BatchShares, Processes
from deep_ranking.training.settings import RunOptions, TrainingSettings
from deep_ranking.training.verdict import Verdict, compare, stayed
from deep_ranking.triplets.table import LabelledImages, Triplets

logger = logging.getLogger(__name__)

History = tuple[dict[str, float], ...]
"""The logs of each epoch."""


@dataclass(frozen=True)
class Trained:
    """What a run gave.

    Args:
        network: the best, as it was saved. (Of several processes, those that do not write have the last.)
        history: the logs of each epoch; the first is that of the network before training, epoch 0.
        verdict: it beside its start, on images held out; None where none were.
    """

    network: keras.Model
    history: History
    verdict: Verdict | None = None

    @property
    def best(self) -> dict[str, float]:
        """The epoch whose network was saved; epoch 0, the network before training, among them."""
        if "val_similarity_precision" not in self.history[-1]:
            return self.history[-1]
        return max(self.history, key=lambda logs: logs["val_similarity_precision"])  # of equals the first


@random_numbers_kept()
@own_conventions("float32")
def train(
    data: Data,
    model_path: str | Path,
    settings: TrainingSettings | None = None,
    validation: Triplets | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    evaluation: Evaluation | None = None,
    watch: Callable[[History], object] = lambda history: None,
    processes: Processes | None = None,
    quiet: bool = True,
    **options: Any,
) -> Trained:
    """Learn a network from triplets, or from classes by mining, and save it.

    Beside the model lie, under its name, a `.csv` of the epochs' logs and, until the run has ended, a
    `.checkpoint`. With validation triplets the file keeps the network that ranked the most of them right.

    Args:
        data: what is learned from: triplets, of a file or a sampler; images with classes to mine in.
        model_path: where the network goes; ends in `.h5` or `.keras`.
        settings: what determines the network; `TrainingSettings.features()` where none are given.
        validation: what is measured before training and after each epoch.
        callbacks: more of Keras's callbacks, called last: the logs have the validation then. The model they
            see takes `[rows, images]`. Off TensorFlow each epoch is a `fit` of its own, and begins and ends
            as one.
        evaluation: what else is measured where `validation` is; it names images by their paths.
        watch: called with the logs of all epochs so far, before training and after each epoch;
            `display.LiveCurves` draws them.
        processes: this one among those that train together, all called alike; it has `join`ed them.
        quiet: no progress bar.
        options: how it is carried out, such as `resume=True`; those of `RunOptions`.

    Raises:
        DeepRankingError: settings and data do not fit, an image cannot be read, or nothing to resume.
    """
    settings = TrainingSettings.features() if settings is None else settings
    known = "triplets (dr.Triplets.load, .sample), or images with classes (dr.LabelledImages.of)"
    expect("data", hasattr(data, "images") and hasattr(data, "fingerprint"), known, data)
    with quietly(quiet):
        if settings.on_features:
            return _learn_on_features(data, Path(model_path), settings, RunOptions(**options))
        given = data, Path(model_path), settings, validation, evaluation, processes, RunOptions(**options)
        return Run(*given).go(callbacks, watch)


def _learn_on_features(data: Data, path: Path, settings: TrainingSettings, options: RunOptions) -> Trained:
    check_place(path, settings)
    if not isinstance(data, LabelledImages):
        raise DeepRankingError("preset features: expected images with classes")
    size, most = (settings.network.image_size,) * 2, options.image_cache_size
    cache = ImageCache(size, options.image_cache, most) if options.image_cache and most else None
    network, verdict, history = learn_on_features(data, path, settings, cache, options.leave_out_broken)
    return Trained(network, history, verdict)


def check_place(path: Path, settings: TrainingSettings) -> None:
    """Refuse at once a name or a place that the model cannot have."""
    check_ending(path)
    check_writable(path)
    check_log(path.with_suffix(".csv"))
    if path.suffix == ".h5" and not find_backbone(settings.network.backbone).saves_as_h5:
        raise DeepRankingError(
            f"{path}: Keras cannot read {settings.network.backbone} back from .h5; name it *.keras"
        )


class Run:
    """A training run, from its parts, which are made here, to the network that is saved.

    Args: as of `train`.

    Attributes:
        batches: what is trained on.
        model: the network and what surrounds it, compiled; what `fit` trains.
        network: computes in float32, with the weights that are learned.
        used: what is measured and saved: the network, or the mean of both its sides.
    """

    used: keras.Model

    def __init__(
        self,
        data: Data,
        model_path: Path,
        settings: TrainingSettings,
        validation: Triplets | None,
        evaluation: Evaluation | None,
        processes: Processes | None,
        options: RunOptions,
    ):
        self.data, self.model_path, self.settings, self.validation = data, model_path, settings, validation
        self.evaluation, self.processes, self.options = evaluation, processes, options
        self.writes = processes is None or processes.writes
        self._check()
        self.size = (settings.network.image_size,) * 2
        most = options.image_cache_size
        self.cache = ImageCache(self.size, options.image_cache, most) if most else None
        if settings.epochs and (options.leave_out_broken or (self.writes and not options.resume)):
            looked = self.size, options.workers, self.cache, options.leave_out_broken
            self.data = without_broken(data, *looked)
        self._build()
        images = [*self.data.images, *(validation.images if validation else ())]
        place = model_path.with_suffix(".checkpoint")
        self.checkpoint = Checkpoint(place, self._identity(), self.writes, images)

    def go(
        self, callbacks: Sequence[keras.callbacks.Callback], watch: Callable[[History], object]
    ) -> Trained:
        """Train, and return what came of it."""
        self.watch, settings = watch, self.settings
        start = self._start()
        self.untrained = start.history[0]
        watch(start.history)
        history = self._learn(start, callbacks) if settings.epochs else start.history
        best = Trained(self.used, history).best
        if settings.discriminants:
            images: Any = self.data  # with classes: these settings mine in them
            refit_embedding(self.network, images, settings.discriminants, settings.engine)
        if settings.discriminants or not settings.epochs:
            self._save(history[-1] if settings.epochs else self.untrained)
        elif best is history[0]:
            self._go_back()
        elif self.writes and (callbacks or best is not history[-1]):
            # It was saved in an earlier epoch, or callbacks may have changed it since.
            saved = load_network(self.model_path)[0]
            if self.settings.lora:  # it has no adapters any more
                self.used = saved
            else:
                self.used.set_weights(saved.get_weights())
        if settings.epochs and self.writes:
            self.checkpoint.path.unlink(missing_ok=True)
        return Trained(*self._beside_start(best, history))

    def _go_back(self) -> None:
        """Make the network what it was before training, since no epoch was better; save it, if it is new."""
        assert self.began_with is not None  # there was a validation
        self.used.set_weights(self.began_with)
        where = Path(self.settings.weights)
        if not (where.is_file() and self.model_path.is_file() and where.samefile(self.model_path)):
            self._save(self.untrained)

    def _beside_start(
        self, best: dict[str, float], history: History
    ) -> tuple[keras.Model, History, Verdict | None]:
        """Compare what was learned with what it started from, and save that where it is no worse."""
        if self.validation is None or self.processes is not None or not self.settings.epochs:
            return self.used, history, None
        if self.start is None or (best is history[0] and self._began_with(self.start)):
            return self.used, history, stayed(self.untrained) if best is history[0] else None
        verdict = compare(self.start, self.used, self.validation, self.cache)
        if self._began_with(self.start):
            verdict = replace(verdict, start_is="the network before training")
        if not verdict.better:
            self._save(self.untrained, self.start)
        return self.used if verdict.better else self.start, history, verdict

    def _began_with(self, network: keras.Model) -> bool:
        """Tell whether training began with this network as it is, and not with layers of random weights."""
        assert self.began_with is not None  # there was a validation
        weights = network.get_weights()
        return len(weights) == len(self.began_with) and all(map(np.array_equal, weights, self.began_with))

    def _check(self) -> None:
        """Refuse at once what cannot come to an end."""
        settings = self.settings
        check_place(self.model_path, settings)
        if settings.discriminants and self.validation is not None:
            raise DeepRankingError(
                "discriminants: the network is changed after its last epoch, so none can be chosen by "
                "validation triplets; leave them out"
            )
        if self.options.patience and self.validation is None:
            raise DeepRankingError("patience: expected validation triplets to tell what is better by")
        if self.processes is not None and (settings.train_from or settings.discriminants):
            raise DeepRankingError("train_from, discriminants: work in one process; leave out --processes")
        backend = keras.backend.backend()
        learns = backend in ("tensorflow", "jax", "torch")
        expect("KERAS_BACKEND", learns or not settings.epochs, "one that can learn, as tensorflow", backend)
        folder = self.options.tensorboard
        self.board = [] if folder is None else [own.tensorboard(folder)]

    def _build(self) -> None:
        """Make the batches, the network, and the model around it."""
        settings, processes = self.settings, self.processes
        self.batches = batches_of(self.data, settings, self.options.workers, self.cache)
        if processes is not None:
            self.batches = BatchShares(self.batches, *processes.devices())
        keras.utils.set_random_seed(settings.seed)
        with processes.scope() if processes else nullcontext():
            self.learning, self.model, frozen = build_training_model(
                settings, self.batches.classes, len(self.batches) * settings.epochs
            )
            self.network = float32_copy(self.learning, settings)
            self.used = average_mirror(self.network) if settings.average_mirror else self.network
        self.measured: own.Validation | None = None
        self.began_with = self.start = None
        if self.validation is not None:
            self.began_with = self.used.get_weights()
            if settings.weights != "none" and settings.epochs and processes is None:
                self.start = starting_network(settings.network, settings.weights)
            embedder = Model(
                self.used, engine=ReplicaEngine(self.used) if processes else None, cache=self.cache
            )
            self.measured = own.Validation(
                embedder, self.validation, settings.gap, settings.distance, self.evaluation
            )
        if frozen is not None and settings.epochs:
            activations = CachedActivations(
                named_engine(settings.engine, frozen),
                self.batches.images,
                self.size,
                self.model_path.parent,
                PRESETS[settings.augmentation],
                settings.views,
                settings.seed,
            )
            self.batches = self.batches.reading(activations)

    def _identity(self) -> str:
        """Identify what a checkpoint belongs to; when a run is resumed there may be more epochs and another
        learning rate, unless that follows a schedule.
        """
        parts = {**asdict(self.settings), "training": self.data.fingerprint}
        if self._constant:
            del parts["epochs"], parts["learning_rate"]
        parts["validation"] = self.validation.fingerprint if self.validation else None
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def _constant(self) -> bool:
        return self.settings.schedule == "constant" and not self.settings.warmup

    def _measure(self) -> dict[str, float]:
        """Bring the weights up to date in what is measured and saved; return what validation there is."""
        if self.network is not self.learning:
            self.network.set_weights(self.learning.get_weights())
        return self.measured.measure() if self.measured else {}

    def _start(self) -> Progress:
        """Return where the run begins: at its checkpoint, or with the network before training measured."""
        if self.options.resume:
            begun, steps = self.checkpoint.restore(self.model), len(self.batches)
            if begun.step > steps * self.settings.epochs:
                done = f"the run has done {begun.step / steps:.1f}, found {self.settings.epochs}"
                raise DeepRankingError(f"epochs: {done}; give more to go on, or train without --resume")
            if self._constant:
                self.model.optimizer.learning_rate = self.settings.learning_rate
            return begun
        path = self.checkpoint.path
        if self.writes and path.exists():
            logger.warning("%s: starting over; --resume would have gone on with this run", path)
        found = self._measure()
        return Progress(best=found.get("val_similarity_precision"), history=({"epoch": 0, **found},))

    def _learn(self, start: Progress, callbacks: Sequence[keras.callbacks.Callback]) -> History:
        """Train to the last epoch."""
        every, epochs = self.options.checkpoint_steps, self.settings.epochs
        # All callbacks that follow see in the logs what was measured.
        measure = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: logs.update(self._measure()))
        steps, patience = len(self.batches), self.options.patience
        best = own.SaveBest(self._save, self._log, self.checkpoint, every, steps, start, patience)
        bar = own.ProgressBar(self.batches, start.step, epochs)
        watched = [*self._alarms(steps * epochs - start.step), measure, *self.board, best, bar, *callbacks]
        try:
            _fit(self.model, self.batches, start.step, epochs, watched)
        except KeyboardInterrupt as stop:
            if self.checkpoint.path.exists():
                stop.add_note("the same command with --resume goes on from the last checkpoint")
            raise
        finally:
            bar.bar.close()
        return best.state.history

    def _alarms(self, steps: int) -> list[keras.callbacks.Callback]:
        """Return what warns; how long so many steps take is told now."""
        watching: list[keras.callbacks.Callback] = [alarms.CollapseAlarm(self.settings.gap)]
        time = alarms.TellTime(steps, len(self.batches.images))
        some: Any = ()
        if self.processes is None and steps:
            inputs = self.batches.batch(0, 0)[0]
            some = inputs[1][:2]
            time.before(self.model, inputs)
            if not self.settings.train_from:  # where some path passes by the cut, there is none
                watching.append(alarms.PathAlarm(self.learning, inputs[1]))
        return [alarms.StopOnNaN(some), *watching, time]

    def _save(self, logs: dict[str, float], network: keras.Model | None = None) -> None:
        if self.writes:
            about = {
                "version": __version__,
                "settings": asdict(self.settings),
                "triplets": self.data.description,
                "metrics": logs,
                "untrained": self.untrained,
            }
            if network is not None:  # the start itself
                about["head"] = {}
            save_network(network or self.used, self.model_path, about)

    def _log(self, history: History) -> None:
        if self.writes:
            write_log(self.model_path.with_suffix(".csv"), history)
            self.watch(history)


def _fit(model: keras.Model, batches: ImageBatches, step: int, epochs: int, watched: list[Any]) -> None:
    """Run `model.fit` from a step to the end: first the rest of a begun epoch, then the whole ones.

    On other backends than TensorFlow each epoch is a `fit` of its own: there Keras begins a data set without
    an end anew with each epoch, so every epoch would be the first.
    """
    epoch, begun = divmod(step, len(batches))
    at_once = epochs if keras.backend.backend() == "tensorflow" else 1
    parts = [(until, 0) for until in range(epoch + bool(begun) + at_once, epochs, at_once)] + [(epochs, 0)]
    model.stop_training = False
    for until, skipped in [(epoch + 1, begun), *parts] if begun else parts:
        if epoch < until and not model.stop_training:
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
