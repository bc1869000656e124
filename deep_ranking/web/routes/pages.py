"""The four pages, whose content comes from the API, and what the API says of the index itself."""

import time
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader

from deep_ranking import __version__
from deep_ranking.search.stores.registry import place_name
from deep_ranking.web import schema
from deep_ranking.web.gallery import shown
from deep_ranking.web.site import At

router = APIRouter(tags=["index"])
pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

TITLES = {"search": "Search", "compare": "Compare", "rate": "Rate", "map": "Map"}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "templates"), autoescape=True, auto_reload=False
)


@pages.get("/")
@pages.get("/compare")
@pages.get("/rate")
@pages.get("/map")
async def page(request: Request) -> str:
    """Show a page."""
    name = request.url.path.strip("/") or "search"
    return _templates.get_template(f"{name}.html").render(page=name, title=TITLES[name], version=__version__)


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
    return schema.About(
        name=shown(Path(gallery.folder or place_name(site.settings.index)).name),
        images=len(gallery),
        dimension=gallery.snapshot.matrix.shape[1],
        labels=[schema.LabelCount(label=text, count=count) for text, count in counts.items()],
        uploads=site.embedder is not None,
        approximate=find_spec("faiss") is not None,
        model=shown(Path(model).name) if model else None,
        largest_upload=site.settings.max_upload_bytes,
    )
