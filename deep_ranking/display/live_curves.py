"""The curves of a training, drawn while it runs."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import nan
from typing import Any

from PIL import Image

from deep_ranking.errors import MissingExtraError


class LiveCurves:
    """Draws loss and similarity precision over the epochs in a notebook, anew after each epoch.

    Give it to `train` as `watch`. Epoch 0 is the network before training; a run that is resumed
    shows its earlier epochs too.

    Raises:
        MissingExtraError: Matplotlib or IPython is not installed.

    Example, in a notebook:

        dr.train(triplets, "deepranking.h5", settings, validation, watch=dr.LiveCurves())
    """

    def __init__(self) -> None:
        _require("matplotlib", "IPython")
        self._shown: Any = None

    def __call__(self, history: Sequence[Mapping[str, float]]) -> None:
        if not any(len(logs) > 1 for logs in history):
            return  # before training, and no validation: there is nothing but the number of the epoch
        from IPython.display import display

        picture = draw_curves(history)
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)


def draw_curves(history: Sequence[Mapping[str, float]]) -> Image.Image:
    """Return loss and similarity precision over the epochs, of training and, where measured, of validation.

    Args:
        history: the logs of each epoch, as `Trained.history`; at least one.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    _require("matplotlib")
    from deep_ranking.reporting.drawing import LIGHT, curves, drawn

    names = dict.fromkeys(name for logs in history for name in logs)
    log = {name: [logs.get(name, nan) for logs in history] for name in names}
    charts = [
        drawn(curves(log, column, f"val_{column}", column.replace("_", " ")), LIGHT, dpi=120)
        for column in ("loss", "similarity_precision")
    ]
    width, height = charts[0].size
    both = Image.new("RGB", (2 * width, height))
    for number, chart in enumerate(charts):
        both.paste(chart, (number * width, 0))
    return both


def _require(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, "notebook", "drawing the curves")
