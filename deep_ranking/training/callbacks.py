"""What happens beside the steps: progress, validation, saving; what warns is in `alarms`."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deep_ranking.embedding import Model
from deep_ranking.errors import MissingExtraError
from deep_ranking.evaluation.evaluation import Evaluation
from deep_ranking.files import check_writable
from deep_ranking.images.batches import ImageBatches
from deep_ranking.progress import progress
from deep_ranking.ranking.distances import distance_named
from deep_ranking.training.checkpoint import Checkpoint, Progress, synchronize
from deep_ranking.triplets.table import Triplets
from deep_ranking.vectors import Embeddings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """Embeds each distinct image of a triplet table once and measures the ranking.

    Args:
        embedder: holds the network in training.
        table: the validation triplets.
        gap: of the loss.
        distance: of the loss.
        evaluation: what else is measured; it names images by their paths.

    Raises:
        DeepRankingError: there is no such distance.
    """

    embedder: Model
    table: Triplets
    gap: float
    distance: str
    evaluation: Evaluation | None = None

    def __post_init__(self) -> None:
        distance_named(self.distance)

    def measure(self) -> dict[str, float]:
        """Return `val_similarity_precision` (share ranked right, a tie is wrong) and `val_loss`,
        and `val_` before the name of each metric of the evaluation.

        Raises:
            DeepRankingError: an image cannot be read.
        """
        others = self.evaluation.images if self.evaluation else []
        images = list(dict.fromkeys([*self.table.images, *others]))
        vectors = self.embedder.embed_all(images)
        found = self.ranking(vectors)  # the table's images come first
        if self.evaluation:
            measured = self.evaluation.measure(Embeddings(np.array(images), vectors))
            found |= {f"val_{name}": estimate.value for name, estimate in measured.metrics.items()}
        return found

    def ranking(self, vectors: np.ndarray) -> dict[str, float]:
        """Measure given embeddings, (images, d)."""
        near, far = distance_named(self.distance).measured(vectors, self.table.rows)
        return {
            "val_similarity_precision": float((near < far).mean()),
            "val_loss": float(np.maximum(0, self.gap + near - far).mean()),
        }


class ProgressBar(keras.callbacks.Callback):
    """A bar an epoch on standard error: triplets (or images), rate, time left, loss and ranking so far.

    Args:
        batches: what is trained on.
        start: step from which the run goes on.
        epochs: of the whole run.
    """

    def __init__(self, batches: ImageBatches, start: int, epochs: int):
        super().__init__()
        self.batches, self.epochs = batches, epochs
        self.begun = start % len(batches) * batches.items_per_batch
        self.bar = progress((), "", batches.unit, quiet=True)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        name = f"epoch {epoch + 1}/{self.epochs}"
        self.bar = progress((), name, self.batches.unit, self.batches.items)
        self.bar.update(self.begun)
        self.begun = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._tell(logs)
        self.bar.update(min(self.batches.items_per_batch, self.batches.items - self.bar.n))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._tell(logs)
        self.bar.close()

    def _tell(self, logs: dict[str, float]) -> None:
        told = {"loss": f"{logs['loss']:.3f}", "precision": f"{logs['similarity_precision']:.3f}"}
        if "val_similarity_precision" in logs:
            told["validation"] = f"{logs['val_similarity_precision']:.4f}"
        self.bar.set_postfix(told, refresh=False)  # moving or closing it shows it


class SaveBest(keras.callbacks.Callback):
    """Keeps the best network, the logs and the state of the run on disk.

    The network is saved whenever it ranks more of the validation right than each before it, the one that
    training began with among them; without validation, each epoch.

    Args:
        save: called with an epoch's logs, writes the model file.
        log: called with the logs of all epochs so far.
        checkpoint: where the state of the run goes.
        every: steps between two checkpoints within an epoch; each epoch's end writes one too.
        steps: steps an epoch.
        start: the progress from which the run goes on.
        patience: epochs that get no better, after which the run ends; None goes to the last epoch.
    """

    def __init__(
        self,
        save: Callable[[dict[str, float]], None],
        log: Callable[[tuple[dict[str, float], ...]], None],
        checkpoint: Checkpoint,
        every: int,
        steps: int,
        start: Progress,
        patience: int | None = None,
    ):
        super().__init__()
        self.save, self.log, self.checkpoint, self.patience = save, log, checkpoint, patience
        self.every, self.steps, self.state = every, steps, start

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.state.step % self.steps and self.state.metrics:
            # What the epoch's metrics had summed up before it was cut: `fit` began with none.
            synchronize(self.model)
            for total, value in zip(self.model.metrics_variables, self.state.metrics, strict=True):
                total.assign(total + value)
        self.state = replace(self.state, step=self.state.step + 1, metrics=())
        if self.state.step % self.every == 0 and self.state.step % self.steps:
            self.checkpoint.save(self.model, self.state)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        precision, best = logs.get("val_similarity_precision"), self.state.best
        if precision is None or best is None or precision > best:
            self.save(logs)
            best = precision
        self.state = replace(self.state, best=best, history=(*self.state.history, logs))
        self.log(self.state.history)
        self.checkpoint.save(self.model, self.state)
        if self.patience and precision is not None:
            found = [past["val_similarity_precision"] for past in self.state.history]
            if len(found) - 1 - found.index(max(found)) >= self.patience:
                self.model.stop_training = True


def tensorboard(folder: str | os.PathLike[str]) -> keras.callbacks.Callback:
    """Return what writes logs for TensorBoard.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard", "--tensorboard") from None
    check_writable(Path(folder) / "events")
    return keras.callbacks.TensorBoard(str(folder), write_graph=False)
