"""The page's API, asked what nobody would: no server error, and every answer as its schema says."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

pytest.importorskip("fastapi", reason="needs the extra web")
schemathesis = pytest.importorskip("schemathesis", reason="needs the extra fuzz")

sys.path.append(str(Path(__file__).parents[1] / "web"))
from served import PixelEmbedder, make_images, make_index  # noqa: E402

from deep_ranking.web import Settings, create_app  # noqa: E402

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    index = make_index(folder / "index", make_images(folder / "images"), PixelEmbedder())
    app = create_app(Settings(index=index), PixelEmbedder())
    yield schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"host": "localhost"})
    app.state.site.close()


def test_any_request(api):
    asked = set()
    for found in api.get_all_operations():

        @given(found.ok().as_strategy())
        @settings(max_examples=200 if LONG else 6, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case):
            response = case.call(headers={"host": "localhost"}, timeout=120)
            assert response.status_code < 500, (case.operation.label, response.text)
            asked.add(case.operation.label)

        ask()
    assert len(asked) >= 10
