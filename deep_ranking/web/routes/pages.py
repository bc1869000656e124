"""The four pages; everything on them comes from the API."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader

from deep_ranking import __version__

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

TITLES = {"search": "Search", "compare": "Compare", "rate": "Rate", "map": "Map"}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "templates"), autoescape=True, auto_reload=False
)


@router.get("/")
async def search() -> str:
    """Search by an image."""
    return _page("search")


@router.get("/compare")
async def compare() -> str:
    """Compare two images."""
    return _page("compare")


@router.get("/rate")
async def rate() -> str:
    """Rate triplets."""
    return _page("rate")


@router.get("/map")
async def plane() -> str:
    """See the index on a plane."""
    return _page("map")


def _page(name: str) -> str:
    return _templates.get_template(f"{name}.html").render(page=name, title=TITLES[name], version=__version__)
