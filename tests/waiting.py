"""Waiting for what threads, processes and servers do: by time, and long enough for a machine that is busy."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 300.0
"""Seconds to wait for what takes a moment on an idle machine."""


def wait_until(
    condition: Callable[[], Any], what: str, process: subprocess.Popen | None = None, every: float = 0.02
) -> Any:
    """Return the first answer of `condition` that is true.

    Args:
        condition: asked every so many seconds.
        what: what is waited for, for the message where it does not come.
        process: whoever brings it about; the wait ends when it does.
        every: seconds.
    """
    give_up = time.monotonic() + PATIENCE
    while True:
        ended = process is not None and process.poll() is not None
        if answer := condition():
            return answer
        if ended:
            error = process.stderr.read() if process.stderr else ""
            raise AssertionError(f"{what}: the process ended before, with {process.returncode}: {error}")
        if time.monotonic() > give_up:
            raise AssertionError(f"{what}: not within {PATIENCE:.0f} seconds")
        time.sleep(every)
