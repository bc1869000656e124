"""Progress of long work, on standard error, with rate and time left."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(
    items: Iterable[T], description: str, unit: str, total: int | None = None, quiet: bool = False
) -> "tqdm[T]":
    """Show a bar on standard error while `items` are consumed; standard output stays for results.

    Where standard error is no terminal (a log file), a line every 30 seconds at most.

    Example:
        >>> list(progress([1, 2], "counting", "numbers", quiet=True))
        [1, 2]
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        items,
        desc=description,
        unit=f" {unit}",
        total=total,
        disable=quiet,
        file=sys.stderr,
        mininterval=0.2 if terminal else 30,
        dynamic_ncols=terminal,
    )
