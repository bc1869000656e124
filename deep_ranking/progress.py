"""Progress of long work, on standard error, with rate and time left."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")

_is_quiet: ContextVar[bool] = ContextVar("_is_quiet", default=False)


def progress(
    items: Iterable[T], description: str, unit: str, total: int | None = None, quiet: bool = False
) -> "tqdm[T]":
    """Show a bar on standard error while `items` are consumed; standard output stays for results.

    Where standard error is no terminal (a log file), a line every 30 seconds, and one at the end. Nothing is
    shown where it is made `quiet`, or within `quietly`.

    Example:
        >>> list(progress([1, 2], "counting", "numbers", quiet=True))
        [1, 2]
    """
    from tqdm import tqdm  # here, so that commands refuse at once

    terminal = sys.stderr.isatty()
    kind: Any = tqdm if terminal else _lines()
    bar: tqdm[T] = kind(
        items,
        desc=description,
        unit=f" {unit}",
        total=total,
        disable=quiet or _is_quiet.get(),
        file=sys.stderr if terminal else _Log(),
        mininterval=0.2 if terminal else 30,
        miniters=None if terminal else 1,  # else a thread of tqdm's looks every ten seconds
        dynamic_ncols=terminal,
    )
    return bar


@contextmanager
def quietly(wanted: bool = True) -> Iterator[None]:
    """Show no progress of what is done in the block, however deep it is called; unless that is not wanted.

    Example:
        >>> with quietly(), quietly(False):  # the inner block changes nothing
        ...     list(progress([1, 2], "counting", "numbers"))
        [1, 2]
    """
    before = _is_quiet.set(wanted or _is_quiet.get())
    try:
        yield
    finally:
        _is_quiet.reset(before)


def is_quiet() -> bool:
    """Tell whether this is within `quietly`."""
    return _is_quiet.get()


class _Log:
    """Standard error for `tqdm`, which moves to and fro in a line: here each look is a line of its own."""

    def write(self, text: str) -> None:
        if text := text.strip():
            sys.stderr.write(f"{text}\n")

    def flush(self) -> None:
        sys.stderr.flush()


@cache
def _lines() -> "type[tqdm[Any]]":
    from tqdm import tqdm

    class Lines(tqdm):
        """Says nothing before anything is done, and nothing twice."""

        told: tuple[float, str | None] = 0, None

        def display(self, *args: Any, **kwargs: Any) -> None:
            now = self.n, self.postfix
            if self.n and now != self.told:
                self.told = now
                super().display(*args, **kwargs)

    return Lines
