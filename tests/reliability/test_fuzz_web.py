"""The page's API, asked what nobody would: no server error, and every answer as its schema says."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.importorskip("fastapi", reason="needs the extra web")
schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis, of the extra dev")

sys.path.append(str(Path(__file__).parents[1] / "web"))
from served import PixelEmbedder, make_images, make_index  # noqa: E402

from deep_ranking.web import Settings, create_app  # noqa: E402

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    index = make_index(folder / "index", make_images(folder / "images"), PixelEmbedder())
    app = create_app(Settings(index=index), PixelEmbedder())
    yield schemathesis.openapi.from_asgi("/api/openapi.json", app)
    app.state.site.close()


@schemathesis.pytest.from_fixture("api").parametrize()
@settings(max_examples=200 if LONG else 8, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_request(case):
    response = case.call(base_url="http://localhost")
    assert response.status_code < 500, response.text
    case.validate_response(response, checks=[schemathesis.checks.not_a_server_error])
