"""The server: as an ASGI application, and run by Uvicorn."""

import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from threadpoolctl import threadpool_limits

from deep_ranking import __version__
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.web import problems, schema
from deep_ranking.web.behind import Later
from deep_ranking.web.connections import LONGEST_HEADER, MOST_SENT, give_back_what_is_freed, limited
from deep_ranking.web.public import WithoutPath
from deep_ranking.web.routes import duplicates, images, lessons, pages, ratings, search
from deep_ranking.web.safety import Guard
from deep_ranking.web.site import ImageEmbedder, Settings, Site

_PROBLEM = {"model": schema.Problem, "content": {problems.MEDIA_TYPE: {}}, "description": "A problem."}


def create_app(settings: Settings, embedder: ImageEmbedder | Later | None = None) -> FastAPI:
    """Return the application that serves an index.

    Args:
        settings: what is served, and its limits.
        embedder: of the index's model, so that uploads can be searched by; `Later`: once it is loaded;
            None for none.

    Raises:
        DeepRankingError: there is no such index, it is of another model, or the ratings cannot be opened.
    """
    site = Site(settings, embedder)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(
        title="Deep Ranking",
        version=__version__,
        docs_url=None,  # its script would come from outside
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        servers=[{"url": settings.public.address.rstrip("/")}] if settings.public else None,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.site = site
    problems.install(app, pages.error_page)
    for router in (
        pages.router,
        images.router,
        images.uploads,
        search.router,
        ratings.router,
        lessons.router,
        duplicates.router,
    ):
        app.include_router(router, prefix="/api")
    app.include_router(pages.pages)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static"), check_dir=False))
    app.add_middleware(Guard, settings=settings, page=pages.error_page)
    if settings.public and settings.public.path:
        app.add_middleware(WithoutPath, path=settings.public.path)
    return app


def check_port(port: int) -> None:
    """Raise DeepRankingError unless it is a port's number, or 0."""
    expect("port", 0 <= port <= 65535, "a number of 0 to 65535", port)


def serve(app: FastAPI, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        app: of `create_app`.
        host: address to listen on.
        port: 0 for any that is free.
        started: called with the page's address once it answers.

    Raises:
        DeepRankingError: the address cannot be listened on.
    """
    check_port(port)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
        # What the system keeps of an answer is bounded too, so that it is soon known whether it is taken.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_SENT)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        told = "another program has it, perhaps this page already" if taken else str(error)
        free = (
            "--port 0 takes any that is free" if taken or port < 1024 else "choose another --host or --port"
        )
        raise DeepRankingError(f"{host}, port {port}: cannot listen there ({told}); {free}") from error
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}/"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        http=limited(app.state.site.settings.request_seconds),
        h11_max_incomplete_event_size=LONGEST_HEADER,
        backlog=128,  # taken at once; with the connections there are, fewer than the files one may have open
        timeout_graceful_shutdown=3,
    )
    give_back_what_is_freed()
    # Requests are served side by side, a thread each; BLAS's own threads would only wait for each other.
    with listener, threadpool_limits(1, "blas"):
        _Server(config, lambda: started(address), app.state.site.workers.stop).run([listener])


class _Server(uvicorn.Server):
    """Says when it has started, and when it is to stop."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], stopping: Callable[[], None]):
        super().__init__(config)
        self._tell, self._stop = started, stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop()
        await super().shutdown(sockets)
