"""A local page to look, search and rate, and its JSON API. Never imports training."""

from importlib.util import find_spec

from deep_ranking.errors import MissingExtraError

for _package in ("fastapi", "uvicorn", "jinja2", "python_multipart"):
    if find_spec(_package) is None:
        raise MissingExtraError(_package, "web", "the page")

from deep_ranking.web.app import create_app  # noqa: E402 - the message above is clearer than its ImportError
from deep_ranking.web.site import Settings  # noqa: E402

__all__ = ["Settings", "create_app"]
