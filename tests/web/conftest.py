"""What the tests of the page's server share."""

from pathlib import Path

import pytest
from served import PixelEmbedder, make_images, make_index

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from deep_ranking.web import Settings, create_app


@pytest.fixture(scope="session")
def embedder():
    return PixelEmbedder()


@pytest.fixture
def images(tmp_path):
    return make_images(tmp_path / "images")


@pytest.fixture
def index(tmp_path, images, embedder):
    return make_index(tmp_path / "index", images, embedder)


@pytest.fixture
def make_client():
    """Give a function that serves an index to a client, by default as a browser at http://localhost."""
    clients = []

    def make(index: Path, embedder: PixelEmbedder | None = None, **settings: object) -> TestClient:
        app = create_app(Settings(index=index, **settings), embedder)
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        clients.append(client)
        return client.__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client, index, embedder):
    return make_client(index, embedder)
