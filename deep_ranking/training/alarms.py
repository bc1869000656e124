"""What warns while a network learns: it collapses, a path of it does, it becomes NaN, it will take hours."""

import logging
import math
import time
from collections.abc import Callable
from typing import Any, NoReturn

import keras
import numpy as np

from deep_ranking.errors import DeepRankingError, some
from deep_ranking.training.checkpoint import synchronize

logger = logging.getLogger(__name__)

_LOW = 0.02  # of a spread between 0 and 1


class CollapseAlarm(keras.callbacks.Callback):
    """Says when all images get nearly one embedding: the loss then sits at the gap and nothing is learned.

    It looks at the whole embedding, while steps pass; `PathAlarm` at each path.

    Args:
        gap: the loss of a network that maps everything to one point.
        every: steps between two looks.
    """

    def __init__(self, gap: float, every: int = 50):
        super().__init__()
        self.gap, self.every, self.said = gap, every, False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look from time to time."""
        if (batch + 1) % self.every == 0:
            self.on_epoch_end(0, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look at the means so far."""
        if self.said:
            return
        at_gap = abs(logs["loss"] - self.gap) < 0.02 * self.gap
        if logs["spread"] < _LOW or (at_gap and logs["negative_distance"] < 0.05):
            self.said = True
            told = (logs[name] for name in ("spread", "positive_distance", "negative_distance", "loss"))
            logger.warning(
                "collapsed: the embeddings of all images are nearly one point (spread %.4f, distances %.4f "
                "to the positive and %.4f to the negative, loss %.3f at a gap of %g). Try a smaller "
                "--learning_rate, pretrained --weights, or --distance squared_euclidean and a smaller --gap "
                "(with --mining hard: --distance euclidean).",
                *told,
                self.gap,
            )


class PathAlarm(keras.callbacks.Callback):
    """Says which path of a network has died: to it all images look alike, as they did not before training.

    The ConvNet and the two small nets are joined into one embedding, which may go on telling images apart by
    the others. Spread is the root of the summed variances of what a path gives, over the root of its mean
    square: 0..1, at 0 all images look alike. Dead is below 0.02, or a tenth of what it was.

    Args:
        network: takes (batch, height, width, 3) images.
        images: two or more, different ones; looked at before the first step and after each epoch.
    """

    PATHS = ("convnet_unit", "max_4", "max_8", "max_16", "max_32")

    def __init__(self, network: keras.Model, images: np.ndarray):
        super().__init__()
        there = {layer.name: layer for layer in network.layers}
        self.names = [name for name in self.PATHS if name in there] if "merge" in there else []
        self.paths = keras.Model(network.input, [there[name].output for name in self.names] or network.input)
        self.images, self.said = images, set[str]()
        self.began = self.spreads()

    def spreads(self) -> dict[str, float]:
        """Return the spread of each path; none where there is but one."""
        found = self.paths(self.images, training=False) if self.names else []
        flat = [keras.ops.convert_to_numpy(values).reshape(len(self.images), -1) for values in found]
        measured = [np.sqrt(v.var(axis=0).sum() / max(np.square(v).sum(axis=1).mean(), 1e-12)) for v in flat]
        return dict(zip(self.names, map(float, measured), strict=True))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look, and compare."""
        synchronize(self.model)
        for name, spread in self.spreads().items():
            began = self.began[name]
            if spread < max(_LOW, began / 10) and name not in self.said:
                self.said.add(name)
                which = "the ConvNet" if name == "convnet_unit" else f"the small net of {name}"
                logger.warning(
                    "%s has collapsed: all images look alike to it (spread %.4f, before training %.4f), and "
                    "the other paths alone tell them apart. Try %s",
                    *(which, spread, began),
                    "other --weights: it was so from the start"
                    if began < _LOW
                    else "a smaller --learning_rate, a smaller --backbone_rate, or pretrained --weights",
                )


class TellTime(keras.callbacks.Callback):
    """Says how long a run will take, where that is an hour or more, and what is quicker.

    Before the first step, by `before`, where the run is long enough to be worth a trial; else some steps into
    it, as the steps themselves tell.

    Args:
        steps: that are left of the run.
        images: that there are to learn from.
        clock: tells seconds.
    """

    UNTIMED, TIMED = 2, 5  # steps: the first ones compile and fill queues
    MANY = 5000  # images passed through the network, below which no trial is made
    FEATURES = 0.006  # seconds of --preset features for an image, beside 10 in all (docs/experiments.md)

    def __init__(self, steps: int, images: int = 0, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self.steps, self.images, self.clock = steps, images, clock
        self.done, self.began, self.said = 0, 0.0, False

    def before(self, model: keras.Model, inputs: Any) -> None:
        """Estimate by a forward pass, and that the way back takes twice as long through what is trained.

        Args:
            model: as `build_training_model` makes it.
            inputs: a batch of it, rows and images.
        """
        if self.steps * len(inputs[1]) < self.MANY:
            return
        model.predict_on_batch(inputs)  # compiles
        began = self.clock()
        model.predict_on_batch(inputs)
        learning = sum(np.prod(weight.shape) for weight in model.trainable_variables)
        back = 2 * learning / max(1, learning + sum(np.prod(w.shape) for w in model.non_trainable_variables))
        self._tell((self.clock() - began) * (1 + back), self.steps)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Time the first steps."""
        self.done += 1
        if self.done == self.UNTIMED:
            self.began = self.clock()
        if self.done == self.UNTIMED + self.TIMED:
            self._tell((self.clock() - self.began) / self.TIMED, self.steps - self.done)

    def _tell(self, seconds: float, steps: int) -> None:
        hours = seconds * steps / 3600
        if hours >= 1 and not self.said:
            self.said = True
            logger.warning(
                "this run will take about %s: %s steps of %.1f seconds. --preset features takes "
                "about %s for these %s images; of the learning by steps, --backbone mobilenetv2, "
                "fewer pixels, fewer --epochs and --train_from are quicker",
                *(some(round(hours), "hour"), f"{steps:,}", seconds),
                some(math.ceil((10 + self.FEATURES * self.images) / 60), "minute"),
                f"{self.images:,}",
            )


class StopOnNaN(keras.callbacks.Callback):
    """Ends the run as soon as embeddings are no numbers, before they can be saved.

    Args:
        images: some, or their activations, as the model takes them; looked at by the weights that each epoch
            leaves, which no step has seen yet.
    """

    def __init__(self, images: np.ndarray):
        super().__init__()
        self.images = images

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Look before it is saved."""
        if len(self.images):
            synchronize(self.model)
            rows = np.arange(len(self.images), dtype=np.int32)
            found = keras.ops.convert_to_numpy(self.model([rows, self.images], training=False))
            if not np.isfinite(found.astype(np.float32)).all():
                self._stop("with the last step")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at each step."""
        # The spread tells, where a hinge of NaN may count as 0.
        if not (np.isfinite(logs["loss"]) and np.isfinite(logs["spread"])):
            self._stop(f"at step {batch + 1}")

    def _stop(self, when: str) -> NoReturn:
        raise DeepRankingError(
            f"the embeddings became NaN {when} of the epoch; nothing of it was saved. "
            "Try a smaller --learning_rate, or --mixed_precision float32"
        )
