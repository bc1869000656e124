"""Errors as problem+json (RFC 9457): what went wrong and what to do, and never a stack trace."""

import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from deep_ranking.sqlite import StoreError

MEDIA_TYPE = "application/problem+json"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What browsers are told with every answer."""

logger = logging.getLogger(__name__)

_PLAIN = {
    400: "The request cannot be read; check it, and send it again.",
    404: "Nothing is at this address; /api/openapi.json lists what there is.",
    405: "This address does not take this method; /api/openapi.json lists what there is.",
}


_NO_PAGES = "/api/", "/static/"
_PAGE = "No page is at this address. It may have been mistyped, or the page may have moved."


class Problem(HTTPException):
    """An error for the client.

    Args:
        status: HTTP status.
        detail: a sentence for people, which says what to do.
        kind: last part of the problem's type, where programs tell it from others of its status.
        headers: which go with it.
    """

    def __init__(
        self, status: int, detail: str, kind: str | None = None, headers: Mapping[str, str] | None = None
    ):
        super().__init__(status, detail, headers)
        self.kind = kind


def busy() -> Problem:
    """Return what is told where there is no room or no time now."""
    return Problem(503, "The server is busy; try again in a moment.", headers={"Retry-After": "5"})


def response(problem: Problem) -> Response:
    """Return a problem as JSON."""
    content = {
        "type": f"/problems/{problem.kind}" if problem.kind else "about:blank",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": problem.detail,
    }
    # Escaped to ASCII: the text may quote what no encoding can carry.
    return Response(json.dumps(content), problem.status_code, problem.headers, MEDIA_TYPE)


def reads_page(scope: Scope) -> bool:
    """Tell whether a browser asks for an address of its own, so that it is to get a page."""
    accepts, path = Headers(scope=scope).get("accept", ""), scope["path"]
    return scope["method"] in ("GET", "HEAD") and "text/html" in accepts and not path.startswith(_NO_PAGES)


def install(app: FastAPI, page: Callable[[Problem, str], Response]) -> None:
    """Let every error of the app be answered so; by `page` where a browser asks for an address of its own."""

    @app.exception_handler(HTTPException)
    async def told(request: Request, error: HTTPException) -> Response:
        if isinstance(error, Problem):
            return response(error)
        # The framework's say no more than the title; in the headers, which methods an address takes.
        if reads_page(request.scope):
            return page(Problem(error.status_code, _PAGE, headers=error.headers), request.url.path)
        detail = _PLAIN.get(error.status_code, error.detail)
        return response(Problem(error.status_code, detail, headers=error.headers))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: Exception) -> Response:
        return response(Problem(400, "The request ended before it was whole; send it again."))

    @app.exception_handler(StoreError)
    async def without_ratings(request: Request, error: Exception) -> Response:
        logger.error("%s %s: %s", request.method, request.url.path, error)
        detail = (
            "The file of ratings was deleted or replaced, or cannot be used; nothing was kept. "
            "The server's log says more; start the server again."
        )
        return response(Problem(503, detail, "ratings-unusable"))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = [
            f"{' '.join(str(part)[:50] for part in one['loc'])}: {one['msg'][:200]}"
            for one in error.errors()[:3]
        ]
        return response(Problem(422, "; ".join(found)))
