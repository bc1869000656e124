"""The five pages, whose content comes from the API, and what the API says of the index itself."""

import time
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader

from deep_ranking import __version__
from deep_ranking.search.stores.registry import place_name
from deep_ranking.web import schema
from deep_ranking.web.behind import Later
from deep_ranking.web.gallery import shown
from deep_ranking.web.problems import Problem
from deep_ranking.web.site import At

router = APIRouter(tags=["index"])
pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

TITLES = {
    "search": "Search",
    "duplicates": "Duplicates",
    "compare": "Compare",
    "rate": "Rate",
    "map": "Map",
}

_TITLES = {404: "Not found", 414: "The address is too long", 421: "Another address", 503: "Busy"}
_MORE_STYLES = {"search": ("look",), "duplicates": ("look",)}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "templates"), autoescape=True, auto_reload=False
)


@pages.get("/")
@pages.get("/compare")
@pages.get("/duplicates")
@pages.get("/rate")
@pages.get("/map")
async def page(request: Request) -> str:
    """Show a page."""
    name = request.url.path.strip("/") or "search"
    return _drawn(name, page=name, title=TITLES[name], styles=(*_MORE_STYLES.get(name, ()), name))


def _drawn(template: str, **values: object) -> str:
    values = {"up": "", "version": __version__, **values}
    return _templates.get_template(f"{template}.html").render(values)


def error_page(problem: Problem, path: str) -> Response:
    """Return a problem as a page, for who came by an address; with the way up from there."""
    title = _TITLES.get(problem.status_code, "This cannot be shown")
    template = "refused" if problem.status_code == 421 else "error"  # there styles are refused too
    text = _drawn(template, title=title, problem=problem, up="../" * (path.count("/") - 1), styles=())
    return HTMLResponse(text, problem.status_code, problem.headers)


@router.get("/health")
async def health(site: At) -> schema.Health:
    """Tell that the server is alive."""
    gallery = site.gallery
    return schema.Health(
        version=__version__,
        images=len(gallery),
        dimension=gallery.snapshot.matrix.shape[1],
        uptime_s=round(time.monotonic() - site.started, 3),
    )


@router.get("/index")
async def about(site: At) -> schema.About:
    """Tell what is in the index, and what can be asked."""
    gallery = site.gallery
    counts = {text: len(gallery.rows_with([text])) for text in gallery.labels}
    model = gallery.metadata.get("model")
    own = site.settings.public is None and site.settings.host in ("127.0.0.1", "localhost", "::1")
    return schema.About(
        name=shown(Path(gallery.folder or place_name(site.settings.index)).name),
        folder=shown(str(Path(gallery.folder).resolve())) if own and gallery.folder else None,
        folder_there=gallery.folder is None or Path(gallery.folder).is_dir(),
        images=len(gallery),
        dimension=gallery.snapshot.matrix.shape[1],
        labels=[schema.LabelCount(label=text, count=count) for text, count in counts.items()],
        folders=[schema.Folder(folder=text, count=number) for text, (_, number) in gallery.folders.items()],
        uploads=site.embedder is not None and not (isinstance(site.embedder, Later) and site.embedder.failed),
        loading=isinstance(site.embedder, Later) and site.embedder.loading,
        approximate=gallery.approximates,
        model=shown(Path(model).name) if model else None,
        largest_upload=site.settings.max_upload_bytes,
    )
