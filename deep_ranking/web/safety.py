"""What stands before every request: who may ask, how much may be sent, and what browsers are told.

Against other sites in the same browser: a foreign Host (DNS rebinding) and writes from another origin are
refused, and nothing may be embedded elsewhere. Against careless or hostile clients: long addresses, and large
or slow bodies, counted and timed as they come, since a stated length may be wrong or missing. All that is
sent has a limit together, and so have all answers that are not taken yet.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deep_ranking.web.connections import MOST_CONNECTIONS, Budget
from deep_ranking.web.problems import HEADERS, Problem, busy, reads_page, response
from deep_ranking.web.site import Settings

logger = logging.getLogger(__name__)

LONGEST_QUERY = 8192
LARGEST_BODY = 64 << 10
"""Bytes of a body that is no upload; and what an upload may have around its file."""

_DRAINED = 4  # times the limit; a client that sends more has its connection closed
_PART = 64 << 10  # bytes of an answer that are written at a time
_SILENCE = 2.0  # seconds; one that announced a body and sends none gets its answer

UPLOADS = "/api/uploads"
READING = {"GET", "HEAD", "OPTIONS"}


class Guard:
    """ASGI middleware around the whole app; `page` is what a browser gets whose page fails."""

    def __init__(self, app: ASGIApp, settings: Settings, page: Callable[[Problem, str], Response]):
        self.app, self.settings, self._page = app, settings, page
        self._requests = Budget(MOST_CONNECTIONS)
        self._received, self._answered = Budget(settings.bytes_together), Budget(settings.bytes_together)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with limits; whatever fails inside is logged, and answered without details."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = LARGEST_BODY + (self.settings.max_upload_bytes if scope["path"] == UPLOADS else 0)
        too_large = Problem(413, f"More than {most - LARGEST_BODY or most:,} bytes were sent; send less.")
        body = LimitedBody(receive, most, self.settings.request_seconds, too_large, self._received)
        answer = LimitedAnswer(send, scope["method"], body, self._answered)
        length = Headers(scope=scope).get("content-length", "")
        problem = self._refused(scope)
        if problem is None and length.isdecimal() and int(length[:20]) > most:
            problem = too_large
        had = self._requests.take(1)
        try:
            if problem is not None or not had:
                await self._told(problem or busy(), scope)(scope, receive, answer)
            else:
                await self._answer(scope, body, answer)
        finally:
            self._requests.give(int(had))
            body.forget()
            answer.forget()

    async def _answer(self, scope: Scope, body: "LimitedBody", answer: "LimitedAnswer") -> None:
        if scope["method"] == "HEAD":  # what GET would answer, without its body
            scope = {**scope, "method": "GET"}
        try:
            await self.app(scope, body, answer)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if answer.started:
                raise
            failed = Problem(500, "The server failed here; its log says more. Try again, or restart it.")
            await self._told(failed, scope)(scope, body, answer)

    def _told(self, problem: Problem, scope: Scope) -> Response:
        """Return a problem in the form that its client reads."""
        with contextlib.suppress(Exception):  # what failed may be what draws pages
            if reads_page(scope):
                return self._page(problem, scope["path"])
        return response(problem)

    def _refused(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        own, public = is_own_host(host, self.settings.host), self.settings.public
        where = public.address if public else "its own address, or serve with --public_url behind a proxy"
        if not own and not (public and host_name(host) == public.host):
            detail = f"This server does not answer for the host {host[:100]!r}; use {where}."
            return Problem(421, detail)
        origins = [f"{scope['scheme']}://{host}"] * own + ([public.origin] if public else [])
        if scope["method"] not in READING and not is_same_origin(headers, origins):
            return Problem(403, f"Another site may not write here; open the page at {where}.")
        if len(scope["query_string"]) > LONGEST_QUERY:
            return Problem(414, f"The address is too long; at most {LONGEST_QUERY} bytes after the '?'.")
        return None


class LimitedBody:
    """Stands in for ASGI's `receive`.

    Args:
        receive: the server's.
        most: bytes that are let through.
        seconds: in which all of it has to come.
        too_large: raised beyond `most`.
        together: of what all requests have sent whose work has not ended.
    """

    def __init__(self, receive: Receive, most: int, seconds: float, too_large: Problem, together: Budget):
        self._receive, self._most, self._too_large = receive, most, too_large
        self._now = asyncio.get_running_loop().time
        self._until = self._now() + seconds
        self._received, self._complete = 0, False
        self._together, self._held = together, 0

    async def __call__(self) -> Message:
        """Receive the next part.

        Raises:
            Problem: 413, too much; 408, too slow; 503, too much of all together.
        """
        if self._complete:  # what comes now is the client's leaving, for which there is no hurry
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise Problem(408, "The request took too long to arrive; try again.") from None
        came = self._count(message)
        if self._received > self._most:
            raise self._too_large
        if not self._together.take(came):
            self.forget()  # now: what it holds is what others wait for
            raise busy()
        self._held += came
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

    def forget(self) -> None:
        """Give back what the body took of all together."""
        self._together.give(self._held)
        self._held = 0

    def _count(self, message: Message) -> int:
        came = len(message.get("body", b""))
        self._received += came
        self._complete = not message.get("more_body", False)
        return came


class LimitedAnswer:
    """Stands in for ASGI's `send`: what browsers are told goes with every answer, and a large one in parts.

    Args:
        send: the server's, which waits while the client does not take what was sent.
        method: of the request; to HEAD, no body is sent.
        body: of the request, which is received before a browser reads an answer.
        together: of what all answers hold.

    Attributes:
        started: the headers are on their way.
    """

    def __init__(self, send: Send, method: str, body: LimitedBody, together: Budget):
        self._send, self._method, self._body = send, method, body
        self._together, self._held = together, 0
        self._start: Message = {}
        self.started = False

    async def __call__(self, message: Message) -> None:
        """Send the headers once the first of the body is there and has room, else that the server is busy."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        data = message.get("body", b"") if self._method != "HEAD" else b""
        if not self.started:
            if len(data) > _PART and self._together.take(len(data)):
                self._held = len(data)
            elif len(data) > _PART:
                refusal = response(busy())
                status, headers, data = refusal.status_code, refusal.raw_headers, bytes(refusal.body)
                self._start = {"type": "http.response.start", "status": status, "headers": headers}
            self.started = True
            told = MutableHeaders(scope=self._start)
            told.update(HEADERS)
            told.setdefault("Cache-Control", "no-cache")
            if self._method not in READING:
                await self._body.drain()
            await self._send(self._start)
        end = len(data)
        for start in range(0, end or 1, _PART):
            more = message.get("more_body", False) or start + _PART < end
            part = data[start : start + _PART]
            await self._send({"type": "http.response.body", "body": part, "more_body": more})
            if more:  # others go on meanwhile, and it is noticed where the client has gone
                await asyncio.sleep(0)

    def forget(self) -> None:
        """Give back what the answer took of all together."""
        self._together.give(self._held)
        self._held = 0


def host_name(host: str) -> str:
    """Return the name in a Host header, in small letters and without the port."""
    return (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()


def is_own_host(host: str, bound: str) -> bool:
    """Tell whether a Host header names this server, whatever the port.

    A page of another site that rebinds its name to this machine still sends its own name, so an address
    in digits is safe: any, or this machine's own if it is bound to that. The name it was bound to is
    its own as well, and the machine's.

    Example:
        >>> is_own_host("localhost:8000", "127.0.0.1"), is_own_host("evil.example:8000", "127.0.0.1")
        (True, False)
        >>> is_own_host("192.168.0.7", "127.0.0.1"), is_own_host("192.168.0.7", "0.0.0.0")
        (False, True)
    """
    name = host_name(host)
    if not name:
        return False
    if name in ("localhost", bound.lower()):
        return True
    local = _is_loopback(bound)
    try:
        return ipaddress.ip_address(name).is_loopback or not local
    except ValueError:
        return not local and name.partition(".")[0] == socket.gethostname().lower().partition(".")[0]


def is_same_origin(headers: Headers, origins: Collection[str]) -> bool:
    """Tell whether a write comes from a page of these origins, or from a program that is no browser."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.lower() in map(str.lower, origins)


def _is_loopback(bound: str) -> bool:
    try:
        return ipaddress.ip_address(bound).is_loopback
    except ValueError:
        return bound.lower() == "localhost"
