"""Threads for what takes processor time, so that the event loop stays free and memory stays bounded."""

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal, ParamSpec, TypeVar

import anyio

from deep_ranking.web.problems import Problem, busy

P = ParamSpec("P")
T = TypeVar("T")
Kind = Literal[
    "search", "decode", "original", "embed", "disk", "map", "pairs", "clusters", "learn", "duplicates"
]

logger = logging.getLogger(__name__)

_STEP = 5
"""By how much a thread steps back that works for longer than a search does, as `nice` counts."""


def _step_back() -> None:
    if sys.platform == "linux":  # where each thread has a priority of its own
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _STEP)


class Workers:
    """Kinds of work, each with a number of threads of its own.

    Searches do not wait behind decoding, nor behind what is computed once of a whole index; thumbnails not
    behind originals; and all these leave the processors to searches. No more images are decoded at a time
    than there are cores (each may take hundreds of megabytes). The network runs one image at a time.

    Args:
        seconds: after which the client is told to try again. What has not begun by then never does; what has
            keeps its place until it ends by itself, since pixels and results are limited.

    Attributes:
        stopped: the server ends.
    """

    def __init__(self, seconds: float):
        cores = os.cpu_count() or 1
        self._seconds, self.stopped = seconds, False
        self._running: set[anyio.CancelScope] = set()
        threads = {"search": cores, "decode": cores, "original": 2, "embed": 1, "disk": 4}
        threads |= {"map": 1, "pairs": 1, "clusters": 1, "learn": 1, "duplicates": 1}
        # Where the event loop is late, files that were read would wait for it, each of up to a gigabyte.
        self._files = asyncio.Semaphore(threads["original"])
        at_once = "search", "embed", "disk"  # what somebody waits for, and does not take long
        self._pools = {
            kind: ThreadPoolExecutor(number, kind, None if kind in at_once else _step_back)
            for kind, number in threads.items()
        }

    async def __call__(self, kind: Kind, work: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """Run what reads vectors, decodes images, runs the network, waits for files, or sees all images."""
        # What is given up before it begins stands in the queue still: without what it was to work on.
        waiting = [partial(work, *args, **keywords)]
        if not self.stopped:
            with anyio.move_on_after(self._seconds) as scope:
                self._running.add(scope)
                try:
                    loop = asyncio.get_running_loop()
                    async with self._files if kind == "original" else contextlib.nullcontext():
                        return await loop.run_in_executor(self._pools[kind], lambda: waiting.pop()())
                finally:
                    self._running.discard(scope)
                    waiting.clear()
        raise self.ended() if self.stopped else busy()

    def begin(self, kind: Kind, work: Callable[[], object]) -> None:
        """Run what nobody waits for; the last things begun may wait for the first."""

        def logged() -> None:
            try:
                work()
            except Exception:
                if not self.stopped:  # else the process is about to end under it
                    logger.exception("%s could not be made", kind)

        if not self.stopped:
            self._pools[kind].submit(logged)

    def ended(self) -> Problem:
        """Return what is said to whom waits when the server ends."""
        return Problem(503, "The server was stopped; start it again.")

    def stop(self) -> None:
        """Answer now whoever waits, with 503; their threads end by themselves, and nobody waits for them."""
        self.stopped = True
        for scope in self._running:
            scope.cancel()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
