"""The page behind nginx and Caddy, by the examples of docs/web.md: login, writes, sub-path, other origins."""

import base64
import contextlib
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from proxies import LOGIN, caddy, free_port, nginx
from served import make_images, make_index
from test_server_process import running
from waiting import wait_until

ROOT = Path(__file__).parents[2]


class Visitor:
    """A browser at https://images.example, as far as the proxy can tell."""

    def __init__(self, port, login=LOGIN):
        self.port, self.login = port, login

    def ask(self, method, path, body=None, **headers):
        """Return status, headers and content of an answer."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        # By name, so that the proxy knows which of its sites is meant.
        connection = http.client.HTTPSConnection("images.example", self.port, timeout=60, context=context)
        here = ("127.0.0.1", self.port)
        connection._create_connection = lambda address, *more: socket.create_connection(here, *more)
        told = {"Host": f"images.example:{self.port}"}
        if self.login:
            told["Authorization"] = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        try:
            connection.request(method, path, body, {**told, **headers})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def is_answered(self):
        """Whether the page is there: Caddy listens before it has a certificate, and ends each handshake."""
        with contextlib.suppress(OSError):
            return self.ask("GET", "/similar/api/health")[0] == 200

    def read(self, path):
        status, _, content = self.ask("GET", path)
        assert status == 200, content
        return json.loads(content)


@pytest.fixture(scope="module")
def place(tmp_path_factory, embedder):
    folder = tmp_path_factory.mktemp("behind")
    make_index(folder / "index", make_images(folder / "images"), embedder)
    return folder


@pytest.fixture(scope="module", params=[nginx, caddy], ids=lambda proxy: proxy.__name__)
def visitor(request, place):
    """Serve behind a proxy, and give a visitor of it."""
    port = free_port()
    public = f"https://images.example:{port}/similar"
    ratings = place / f"{request.param.__name__}.sqlite"
    with (
        running(place / "index", "--public_url", public, "--ratings", ratings) as (address, _),
        request.param(place / request.param.__name__, port, address),
    ):
        made = Visitor(port)
        wait_until(made.is_answered, "the proxy has its certificate")
        yield made


def multipart(data):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
        + data
        + b"\r\n--b--\r\n"
    )
    return body, {"Content-Type": "multipart/form-data; boundary=b"}


def own(visitor):
    return {"Origin": f"https://images.example:{visitor.port}", "Sec-Fetch-Site": "same-origin"}


def test_without_the_login_nothing_is_seen(visitor):
    stranger = Visitor(visitor.port, None)
    for path in ("/similar/", "/similar/api/images", "/similar/static/search.js"):
        assert stranger.ask("GET", path)[0] == 401
    assert Visitor(visitor.port, ("ann", "wrong")).ask("GET", "/similar/")[0] == 401


def test_the_page_is_at_its_path(visitor):
    status, headers, _ = visitor.ask("GET", "/similar")
    assert status in (301, 302, 308)
    assert headers["Location"].endswith("/similar/")
    status, _, page = visitor.ask("GET", "/similar/rate")
    assert (status, b'src="static/rate.js"' in page) == (200, True)
    assert visitor.ask("GET", "/similar/static/rate.js")[0] == 200
    assert visitor.ask("GET", "/similar/nowhere")[0] == 404
    assert visitor.ask("GET", "/")[0] != 500


def test_uploads_and_ratings_are_taken(visitor, place):
    image = visitor.read("/similar/api/images?limit=1")["items"][0]
    body, headers = multipart((place / "images" / image["path"]).read_bytes())
    status, _, content = visitor.ask("POST", "/similar/api/uploads", body, **headers, **own(visitor))
    assert status == 201, content
    name = json.loads(content)["upload"]
    assert visitor.read(f"/similar/api/search?upload={name}")["results"][0]["image"]["id"] == image["id"]
    asked = visitor.read("/similar/api/ratings/question?rater=Ann")
    answer = {"rater": "Ann", **{k: asked[k]["id"] for k in ("query", "a", "b")}, "answer": "a"}
    headers = {"Content-Type": "application/json", **own(visitor)}
    assert visitor.ask("POST", "/similar/api/ratings", json.dumps(answer), **headers)[0] == 201
    assert visitor.read("/similar/api/ratings")["total"] == 1


def test_a_large_picture_passes_the_proxy(visitor):
    body, headers = multipart(b"\x89PNG" + bytes(20 << 20))
    status, _, content = visitor.ask("POST", "/similar/api/uploads", body, **headers, **own(visitor))
    assert (status, json.loads(content)["status"]) == (415, 415)


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
        {"Origin": "null"},
        {"Origin": "http://images.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_foreign_origin_is_refused_behind_it_too(visitor, foreign):
    body, headers = multipart(b"x")
    status, _, content = visitor.ask("POST", "/similar/api/uploads", body, **headers, **foreign)
    assert (status, json.loads(content)["status"]) == (403, 403)
    assert visitor.ask("DELETE", "/similar/api/ratings/last?rater=Ann", **foreign)[0] == 403


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("needs systemd-analyze")
    unit = (ROOT / "deploy/deep-ranking.service").read_text()
    program = "/opt/deep-ranking/bin/deep-ranking"
    assert f"ExecStart={program} serve --index " in unit
    (tmp_path / "deep-ranking.service").write_text(unit.replace(program, sys.executable))
    checked = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / "deep-ranking.service"], capture_output=True, text=True
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_is_deployed_is_called_as_the_command_takes_it():
    """The flags in the unit and in the container's file are those of `serve`."""
    import argparse

    from deep_ranking.cli import serve

    parser = argparse.ArgumentParser(exit_on_error=False)
    serve.add_arguments(parser)
    unit = (ROOT / "deploy/deep-ranking.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert parser.parse_args(line.split()[2:]).public_url == "https://images.example/similar"
    container = (ROOT / "deploy/Containerfile").read_text()
    entry = json.loads(next(line for line in container.splitlines() if "ENTRYPOINT" in line).split(" ", 1)[1])
    assert parser.parse_args([*entry[2:], "--index", "x"]).host == "0.0.0.0"
    for source in ("pyproject.toml", "README.md", "LICENSE", "deep_ranking"):
        assert source in container
        assert (ROOT / source).exists()
