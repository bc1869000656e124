"""The state of an unfinished run, from which it goes on as if it had never stopped."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from deep_ranking.containers import status
from deep_ranking.errors import DeepRankingError, some
from deep_ranking.files import written_whole
from deep_ranking.network.file import untrusted

logger = logging.getLogger(__name__)

_STAMPS = "stamps"


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Args:
        step: optimizer steps done, counted over all epochs.
        best: highest validation precision so far; None before the first.
        history: the logs of each finished epoch.
        metrics: what the training metrics have added up in the epoch so far.
    """

    step: int = 0
    best: float | None = None
    history: tuple[dict[str, float], ...] = ()
    metrics: tuple[float, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A file beside the model: weights, optimizer, random states, progress, and what run they belong to.

    Args:
        path: the file.
        run: identifies the run (settings and data); another run's checkpoint is refused.
        writes: whether this process writes it; of several that train together, one does.
        images: paths of what is learned and measured, of which it is told where they are others when the run
            goes on.
    """

    path: Path
    run: str
    writes: bool = True
    images: Sequence[str] = ()

    @cached_property
    def stamps(self) -> NDArray[np.int64]:
        """Size in bytes and time of change (ns) of each image when first saved or restored, (n, 2)."""
        return np.array([_stamp(path) for path in self.images], np.int64).reshape(-1, 2)

    def save(self, model: keras.Model, progress: Progress) -> None:
        """Write the state, whole or not at all."""
        if not self.writes:
            return
        synchronize(model)
        with written_whole(self.path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["run"] = self.run
            metrics = [float(keras.ops.convert_to_numpy(total)) for total in model.metrics_variables]
            file.attrs["progress"] = json.dumps({**asdict(progress), "metrics": metrics})
            for number, variable in enumerate(_variables(model)):
                file[f"{number:05d}"] = keras.ops.convert_to_numpy(variable)
            file[_STAMPS] = self.stamps

    def restore(self, model: keras.Model) -> Progress:
        """Put the state into a model that was built and compiled by the same settings.

        Raises:
            DeepRankingError: there is no checkpoint, it is damaged, or it belongs to another run.
        """
        if not self.path.is_file():
            raise DeepRankingError(
                f"{self.path}: expected the checkpoint of an unfinished run, found none; "
                "train without --resume"
            )
        with untrusted(self.path, "a checkpoint (without --resume, training starts over)") as file:
            if file.attrs["run"] != self.run:
                raise DeepRankingError(
                    f"{self.path}: this checkpoint was written with other settings or triplets; "
                    "repeat the flags of that run, or train without --resume"
                )
            variables = _variables(model)
            if len(variables) != len(file) - (_STAMPS in file):
                raise DeepRankingError(f"{self.path}: expected {len(variables)} arrays, found {len(file)}")
            if _STAMPS in file:  # earlier versions had none
                self._tell_changed(np.asarray(file[_STAMPS]))
            told: dict[str, Any] = json.loads(file.attrs["progress"])
            history, totals = tuple(told["history"]), tuple(told.get("metrics", ()))
            progress = Progress(told["step"], told["best"], history, totals)
            arrays = [np.asarray(file[f"{number:05d}"]) for number in range(len(variables))]
            for variable, array in zip(variables, arrays, strict=True):
                if variable.shape != array.shape or array.dtype.hasobject:
                    raise ValueError(f"an array of shape {array.shape} for {variable.path}")
        for variable, array in zip(variables, arrays, strict=True):  # all of them, or none
            variable.assign(array)
        return progress

    def _tell_changed(self, before: NDArray[np.int64]) -> None:
        """Say which images are others than when the run began, as far as size and time tell."""
        if before.shape != self.stamps.shape:
            raise ValueError(f"stamps of the shape {before.shape}")
        changed = np.flatnonzero((before != self.stamps).any(axis=1))
        if len(changed):
            logger.warning(
                "of %s %d had another size or time of change before, as %s; if what they show is another, "
                "the run is of both: without --resume, training starts over",
                *(some(len(self.images), "image"), len(changed), self.images[changed[0]]),
            )


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = status(path)
    except OSError:  # who reads it says so
        return -1, -1
    return found.st_size, found.st_mtime_ns


def synchronize(model: keras.Model) -> None:
    """Bring a model's variables up to date: within an epoch, Keras on JAX keeps their values outside them."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def _variables(model: keras.Model) -> list[Any]:
    """Weights, random states of dropout and augmentation, and the optimizer's; metrics are `Progress`."""
    metrics = {id(v) for v in model.metrics_variables}
    own = [v for v in model.variables if id(v) not in metrics]
    return own + list(model.optimizer.variables)
