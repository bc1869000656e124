"""The server as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from deep_ranking import __version__
from deep_ranking.web import problems, schema
from deep_ranking.web.routes import about, images, pages, ratings, search, uploads
from deep_ranking.web.safety import Guard
from deep_ranking.web.settings import Settings
from deep_ranking.web.site import ImageEmbedder, Site

_PROBLEM = {"model": schema.Problem, "content": {problems.MEDIA_TYPE: {}}, "description": "A problem."}


def create_app(settings: Settings, embedder: ImageEmbedder | None = None) -> FastAPI:
    """Return the application that serves an index.

    Args:
        settings: what is served, and its limits.
        embedder: of the index's model, so that uploads can be searched by; None for none.

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
        lifespan=lifespan,
        generate_unique_id_function=_operation,
        responses={"4XX": _PROBLEM, "5XX": _PROBLEM},
    )
    app.state.site = site
    problems.install(app)
    for routes in (about, images, uploads, search, ratings):
        app.include_router(routes.router, prefix="/api")
    app.include_router(pages.router)
    static = Path(__file__).parent / "static"
    app.mount("/static", StaticFiles(directory=static, check_dir=False), name="static")
    app.add_middleware(Guard, settings=settings)
    return app


def _operation(route: APIRoute) -> str:
    return route.name
