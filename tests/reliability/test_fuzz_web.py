"""The page's API, asked what nobody would: no server error, and every answer as its schema says."""

import contextlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

pytest.importorskip("fastapi", reason="needs the extra web")
schemathesis = pytest.importorskip("schemathesis", reason="needs the extra fuzz")

from schemathesis import GenerationMode  # noqa: E402

sys.path.append(str(Path(__file__).parents[1] / "web"))
from served import PixelEmbedder, make_images, make_index  # noqa: E402

from deep_ranking.web import Settings, create_app  # noqa: E402

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"


@pytest.fixture
def api(tmp_path):
    index = make_index(tmp_path / "index", make_images(tmp_path / "images"), PixelEmbedder())
    app = create_app(Settings(index=index), PixelEmbedder())
    yield schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"host": "localhost"})
    app.state.site.close()


@pytest.mark.parametrize("mode", GenerationMode)
def test_any_request(api, mode):
    """Requests as the schema has them, and others."""
    asked = set()
    for found in api.get_all_operations():

        @given(found.ok().as_strategy(generation_mode=mode))
        @settings(max_examples=200 if LONG else 6, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case):
            response = case.call(headers={"host": "localhost"}, timeout=120)
            assert response.status_code < 500, (case.operation.label, response.text)
            asked.add(case.operation.label)

        with contextlib.suppress(Unsatisfiable):  # nothing about it can be wrong
            ask()
    assert len(asked) >= 10
