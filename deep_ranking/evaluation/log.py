"""The training log that lies beside a model."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import written_whole


def read_log(model: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Return the columns of `MODEL.csv`, as training writes it; `{}` where there is none.

    Epoch 0 is the network before training; what was not measured is NaN.

    Raises:
        DeepRankingError: the file is something else.
    """
    path = Path(model).with_suffix(".csv")
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = csv.reader(file, strict=True)
        cells = zip(*rows, strict=True)
        columns = {
            name: [float(cell or math.nan) for cell in column]
            for name, column in zip(names, cells, strict=True)
        }
        if "epoch" not in columns:
            raise ValueError("no column 'epoch'")
    except (ValueError, csv.Error) as error:
        raise DeepRankingError(
            f"{path}: expected the log of a training, a number in each cell; found {error}. Move it away"
        ) from error
    return columns


def check_log(path: Path) -> None:
    """Refuse to write over a table that is not the log of an earlier training."""
    if path.exists() and not path.read_bytes()[:6].startswith(b"epoch"):
        raise DeepRankingError(
            f"{path}: the training's log goes there, found another table; move it, or rename the model"
        )


def write_log(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write the logs of the epochs, a row each, whole or not at all."""
    columns = list(dict.fromkeys(name for logs in history for name in logs))
    with written_whole(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
