"""A real server over a small real index, and a browser that complains before it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from chromium import require, started
from proxies import free_port
from waiting import PATIENCE

from deep_ranking.cli import main

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

ROOT = Path(__file__).parents[3]
sync_api.expect.set_options(
    timeout=1000 * PATIENCE
)  # for machines that are busy; nothing waits longer than it must


@dataclass(frozen=True)
class Served:
    """What is served, and where: directly, and where a proxy is to show it."""

    address: str
    dataset: Path
    index: Path
    public: str


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Served]:
    """`deep-ranking serve` over drawn images and an untrained network."""
    require()
    folder = tmp_path_factory.mktemp("served")
    dataset, model, index = folder / "shapes", folder / "model.h5", folder / "index"
    make_model(model)
    size = ["--images_per_class", "10", "--size", "96"]
    for command in (
        ["prepare", "demo", "--output", dataset, *size],
        ["index", "--index", index, "--images", dataset, "--model", model, "--labels", "folders"],
    ):
        assert main([*map(str, command), "--quiet"]) == 0
    log, public = folder / "log", f"https://images.example:{free_port()}/similar"
    serve = ["serve", "--index", str(index), "--port", "0", "--public_url", public]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "deep_ranking", *serve],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as server,
    ):
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert " at http://" in line, (line, log.read_text())
            yield Served(line.split(" at ")[1].split()[0].rstrip("/"), dataset, index, public)
        finally:
            server.terminate()
    assert "Traceback" not in log.read_text()


def make_model(path: Path) -> None:
    import keras

    from deep_ranking.network.file import save_network
    from deep_ranking.network.network import NetworkSettings, build_network

    keras.utils.set_random_seed(0)
    settings = NetworkSettings(backbone="simple", image_size=32, embedding_size=16, low_resolution="none")
    save_network(build_network(settings), path, {})


# Not for the session: while Playwright runs, no other test can run an event loop of its own.
@pytest.fixture(scope="module")
def browser(served) -> "Iterator[sync_api.Browser]":
    with started() as browser:
        yield browser


@dataclass
class Watch:
    """What a browser complained about; `expected` are parts of addresses whose refusal the test is about."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def on_console(self, message) -> None:
        where = message.location.get("url", "")
        if message.type in ("error", "warning") and not any(part in where for part in self.expected):
            self.complaints.append(f"{message.type}: {message.text} ({where})")

    def on_request(self, request) -> None:
        if not request.url.startswith((f"{self.origin}/", "blob:", "data:")):
            self.complaints.append(f"asked for {request.url}")


@pytest.fixture
def watch(served) -> Iterator[Watch]:
    """Fails the test on an error or warning in the console, an error of the page, or an outside request."""
    watch = Watch(served.address)
    yield watch
    assert watch.complaints == []


@pytest.fixture
def public_watch(served) -> Iterator[Watch]:
    """As `watch`, of the page as a proxy shows it; the first answer asks for the login, given then."""
    watch = Watch(served.public)
    yield watch
    assert [told for told in watch.complaints if "401" not in told] == []


@pytest.fixture
def open_page(browser, served, watch) -> "Iterator[Callable[..., sync_api.Page]]":
    """Give a function that opens a page in a window of its own."""
    contexts = []

    def open_page(path: str = "/", width: int = 1280, height: int = 900, scheme: str = "light", **more):
        viewport = {"width": width, "height": height}
        context = browser.new_context(
            viewport=viewport, color_scheme=scheme, reduced_motion="reduce", base_url=served.address, **more
        )
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        context.on("request", watch.on_request)
        page = context.new_page()
        page.on("console", watch.on_console)
        page.on("pageerror", lambda error: watch.complaints.append(f"page error: {error}"))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def a_picture(served) -> Path:
    """A picture that a user has; the index has it too."""
    return sorted((served.dataset / "star").iterdir())[0]
