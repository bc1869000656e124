"""Threads for what takes processor time, so that the event loop stays free and memory stays bounded."""

import os
from collections.abc import Callable
from functools import partial
from typing import Literal, ParamSpec, TypeVar

import anyio
from anyio import CapacityLimiter

from deep_ranking.web.problems import Problem

P = ParamSpec("P")
T = TypeVar("T")
Kind = Literal["search", "decode", "embed", "disk"]


class Workers:
    """Four kinds of work, each with a number of threads of its own.

    Searches do not wait behind decoding, and no more images are decoded at a time than there are cores (each
    may take hundreds of megabytes). The network runs one image at a time.

    Args:
        seconds: after which the client is told to try again; the thread ends by itself, since pixels and
            results are limited.
    """

    def __init__(self, seconds: float):
        cores = os.cpu_count() or 1
        self._seconds, self._stopped = seconds, False
        self._running: set[anyio.CancelScope] = set()
        threads = {"search": cores, "decode": cores, "embed": 1, "disk": 4}
        self._limiters = {kind: CapacityLimiter(number) for kind, number in threads.items()}

    async def __call__(self, kind: Kind, work: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """Run what reads the vectors, decodes images, runs the network, or waits for files."""
        limiter, call = self._limiters[kind], partial(work, *args, **keywords)
        with anyio.move_on_after(0 if self._stopped else self._seconds) as scope:
            self._running.add(scope)
            try:
                return await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
            finally:
                self._running.discard(scope)
        if self._stopped:
            raise Problem(503, "The server was stopped; start it again.")
        raise Problem(503, "The server is busy; try again in a moment.")

    def stop(self) -> None:
        """Answer now whoever waits, with 503; their threads end by themselves, and nobody waits for them."""
        self._stopped = True
        for scope in self._running:
            scope.cancel()
