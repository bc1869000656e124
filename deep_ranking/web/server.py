"""Running the application by Uvicorn."""

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from threadpoolctl import threadpool_limits

from deep_ranking.errors import DeepRankingError, expect

_MOST_CONNECTIONS = 512


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
    expect("port", 0 <= port <= 65535, "a number of 0 to 65535", port)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise DeepRankingError(
            f"{host}, port {port}: cannot listen there ({error}); is it taken? choose another with --port"
        ) from error
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}/"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=3,
    )
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
