"""The body of a request, counted and timed as it comes: a stated length may be wrong, or missing."""

import asyncio
import contextlib

from starlette.types import Message, Receive

from deep_ranking.web.problems import Problem

_DRAINED = 4  # times the limit; a client that sends more has its connection closed
_SILENCE = 2.0  # seconds; one that announced a body and sends none gets its answer


class LimitedBody:
    """Stands in for ASGI's `receive`.

    Args:
        receive: the server's.
        most: bytes that are let through.
        seconds: in which all of it has to come.
        too_large: raised beyond `most`.
    """

    def __init__(self, receive: Receive, most: int, seconds: float, too_large: Problem):
        self._receive, self._most, self._too_large = receive, most, too_large
        self._now = asyncio.get_running_loop().time
        self._until = self._now() + seconds
        self._received = 0
        self._complete = False

    async def __call__(self) -> Message:
        """Receive the next part.

        Raises:
            Problem: 413, too much; 408, too slow.
        """
        if self._complete:  # what comes now is the client's leaving, for which there is no hurry
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise Problem(408, "The request took too long to arrive; try again.") from None
        self._count(message)
        if self._received > self._most:
            raise self._too_large
        return message

    async def drain(self) -> None:
        """Receive the rest and forget it, within limits.

        A browser reads the answer only when it has sent everything; to close while it sends is a network
        error to it, and the reason is lost.
        """
        with contextlib.suppress(TimeoutError):
            while not self._complete and self._received < _DRAINED * self._most:
                async with asyncio.timeout_at(min(self._until, self._now() + _SILENCE)):
                    self._count(await self._receive())

    def _count(self, message: Message) -> None:
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
