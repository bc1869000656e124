"""What clients may hold: connections, each phase of one for a time, and memory together, not only each.

The HTTP parser is h11, on purpose and whatever else is installed: it bounds the header of a request, which
Uvicorn's other parsers do not. Uvicorn itself bounds the silence between two requests; the rest is here.
"""

import asyncio
import contextlib
import ctypes
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from deep_ranking.web.problems import Problem, response

MOST_CONNECTIONS = 512
LONGEST_HEADER = 16 << 10
"""Bytes of the header of a request, its address included."""

MOST_SENT = 128 << 10
"""Bytes of an answer that the system may keep for its reader; Linux takes it twice."""

_MMAP_THRESHOLD, _LARGE_BLOCK = -3, 1 << 20  # of mallopt, and bytes


class Budget:
    """An amount that many share. Who would pass it is refused and does not wait: who waits holds what he has.

    Args:
        most: that may be taken at a time; by one alone, more.

    Example:
        >>> bytes_left = Budget(10)
        >>> bytes_left.take(6), bytes_left.take(6)
        (True, False)
        >>> bytes_left.give(6)
        >>> bytes_left.take(16)
        True
    """

    def __init__(self, most: int):
        self.most, self.taken = most, 0

    def take(self, amount: int) -> bool:
        """Take some, and tell whether it was to be had."""
        had = not self.taken or self.taken + amount <= self.most
        self.taken += amount * had
        return had

    def give(self, amount: int) -> None:
        """Give some back."""
        self.taken -= amount


class Connection(H11Protocol):
    """A connection of which no phase lasts for longer than `seconds` by its client's doing.

    So long may a header take to arrive, and each part of an answer, some ten kilobytes, to be taken; the body
    is timed where it is read (`safety.LimitedBody`). Of more connections than `most`, that one is closed
    whose client has kept the server waiting for longest, so that nobody shuts others out by doing nothing.

    Attributes:
        seconds, most: set by `limited`.
    """

    seconds: float
    most = MOST_CONNECTIONS

    _since = 0.0
    _until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for this one, and wait for its first request."""
        super().connection_made(transport)
        self._wait()
        # Later by two turns of the loop: by then has been read what those have sent that came just before.
        self.loop.call_soon(self.loop.call_soon, self._make_room)

    def _make_room(self) -> None:
        if len(self.connections) > self.most:
            others = (one for one in self.connections if isinstance(one, Connection) and one is not self)
            longest = min((one for one in others if one.waits()), key=lambda one: one._since, default=None)
            if longest is not None:
                self.connections.discard(longest)  # now: many may come before it is told that it is lost
                longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Begin with a request whose header is there."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and not self.cycle.response_complete:
            self._stop_waiting()
            self._since = time.monotonic()  # for its body, if it has one

    def on_response_complete(self) -> None:
        """Wait for the answer to be taken and the next request to come."""
        self._wait()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to take what is written."""
        self._wait()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the form of the API; whoever works on an earlier part of it is told."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._refuse(Problem(400, "This is no HTTP request, or one too long; check it, and send it again."))

    def waits(self) -> bool:
        """Tell whether the client is to do something, not the server."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self.flow.write_paused

    def _wait(self) -> None:
        self._stop_waiting()
        self._since = time.monotonic()
        self._until = self.loop.call_later(self.seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._until is not None:
            self._until.cancel()

    def _too_slow(self) -> None:
        if self.conn.trailing_data[0] and not self.transport.get_write_buffer_size():
            self._refuse(Problem(408, "The request took too long to arrive; try again."))
        else:  # what was written may never be taken
            self.transport.abort()

    def _refuse(self, problem: Problem) -> None:
        answer = response(problem)
        headers: list[tuple[bytes, bytes]] = [*answer.raw_headers, (b"connection", b"close")]
        told: list[Any] = [
            h11.Response(
                status_code=answer.status_code, headers=headers, reason=STATUS_PHRASES[answer.status_code]
            ),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in told:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._wait()


def give_back_what_is_freed() -> None:
    """Let glibc return large blocks to the system when they are freed, as other libraries do by themselves.

    Left alone it keeps more for later the larger the blocks are that come and go, for each thread apart.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # it is not that library
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)


def limited(seconds: float) -> type[Connection]:
    """Return the connections of a server, each phase of which has so long."""
    return type("LimitedConnection", (Connection,), {"seconds": seconds})
