"""What stops a command from outside: Ctrl-C and SIGTERM, which both tidy up and are told in one line."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses: 128 and the number of the signal, as a shell reports them."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, so that all that tidies up after Ctrl-C does so after this too."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the block, in the main thread, where nobody else has taken it."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def told(prog: str, stop: KeyboardInterrupt) -> int:
    """Say in a line that a command was stopped and how to go on, and return its exit status.

    How to go on is a note of the exception (`add_note`), of whoever knows what is kept.
    """
    by_signal = isinstance(stop, Terminated)
    how = getattr(stop, "__notes__", None) or ["the same command begins anew"]
    print(f"\n{prog}: {'terminated' if by_signal else 'interrupted'}; {how[0]}", file=sys.stderr)
    return TERMINATED if by_signal else INTERRUPTED


def leave(status: int) -> NoReturn:
    """End the process now: not when a thread has computed to its end what nobody waits for any more."""
    others = {thread for thread in threading.enumerate() if not thread.daemon} - {threading.main_thread()}
    if others:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
