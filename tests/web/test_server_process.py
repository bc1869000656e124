"""The commands `serve` and `ratings`, and the server as a process that many use at once."""

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from served import make_images, make_index
from waiting import PATIENCE, wait_until

from deep_ranking.cli import main
from deep_ranking.ratings import RatingStore
from deep_ranking.search import Index
from deep_ranking.triplets.table import Triplets

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(index, *more):
    """Serve an index in a process, and give its address and the process."""
    command = [sys.executable, "-m", "deep_ranking", "serve", "--index", str(index), "--port", "0", *more]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # A shell starts its background jobs with SIGINT ignored, and so may whoever runs the tests.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            line = process.stdout.readline()
            assert "serving" in line, process.stderr.read()
            yield next(word for word in line.split() if word.startswith("http")).rstrip("/"), process
        finally:
            process.kill()


def fetch(address, **more):
    with urllib.request.urlopen(urllib.request.Request(address, **more), timeout=PATIENCE) as answer:
        return json.load(answer)


def raw(address, data, wait=30.0):
    """Send bytes as they are, and return what comes back until the server closes or is silent."""
    split = urlsplit(address)
    with socket.create_connection((split.hostname, split.port), timeout=wait) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while part := connection.recv(65536):
                received += part
    return received


@pytest.fixture(scope="module")
def place(tmp_path_factory, embedder):
    folder = tmp_path_factory.mktemp("served")
    make_index(folder / "index", make_images(folder / "images"), embedder)
    return folder


@pytest.fixture(scope="module")
def server(place):
    with running(place / "index") as (address, process):
        yield address, process


def test_many_clients_at_once_get_what_one_gets(server):
    address, _ = server
    images = fetch(f"{address}/api/images")["items"]

    def found_by(image):
        results = fetch(f"{address}/api/search?image={image['id']}")["results"]
        return [(result["image"]["id"], result["distance"]) for result in results]

    expected = [found_by(image) for image in images]
    wrong = []

    def client(number):
        for image, right in [*zip(images, expected, strict=True)][number:]:
            if found_by(image) != right:
                wrong.append(image)
            thumbnail = f"{address}/api/images/{image['id']}/thumbnail?size=160"
            with urllib.request.urlopen(thumbnail, timeout=PATIENCE) as answer:
                if answer.read(4) != b"RIFF":
                    wrong.append(image)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_no_http_or_breaks_off_leaves_the_server_alive(server):
    address, process = server
    upload = (
        b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    )
    for data, status in [
        (b"GET / HTTP/9.9\r\n\r\n", b"4"),
        (b"\x16\x03\x01\x02\0" + bytes(200), b"400"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"4"),
        (b"GET /api/health HTTP/1.1\r\n\r\n", b"4"),
        (b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b"4"),
        (b"GET /api/health HTTP/1.0\r\nHost: evil.example\r\n\r\n", b"421"),
        (upload + b"Content-Length: 99999999999\r\n\r\n", b"413"),
        (upload + b"Content-Length: -1\r\n\r\n", b"400"),
        (upload + b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n", b"4"),
        (upload + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"4"),
    ]:
        received = raw(address, data)
        assert b"200 OK" not in received
        assert not received or received.split(b" ")[1].startswith(status), received[:200]
        assert b"Traceback" not in received
    for cut in (b"", b"GET", upload, upload + b"Content-Length: 100\r\n\r\n--b\r\n"):
        raw(address, cut, wait=5)
    assert fetch(f"{address}/api/health")["status"] == "ok"
    assert process.poll() is None


def test_the_index_may_grow_while_it_is_served(place, embedder, tmp_path):
    images = make_images(tmp_path / "images", 6)
    index = make_index(tmp_path / "index", images, embedder)
    with running(index) as (address, _):
        assert fetch(f"{address}/api/health")["images"] == 6
        make_images(images, 9)
        make_index(index, images, embedder)
        wait_until(lambda: fetch(f"{address}/api/health")["images"] == 9, "9 images are served")
        assert len(fetch(f"{address}/api/images")["items"]) == 9


def test_rating_on_the_page_ends_as_a_triplet_file(server, place, tmp_path, capsys):
    address, _ = server
    for rater in ("Ann", "Bob"):
        for _ in range(4):
            asked = fetch(f"{address}/api/ratings/question?rater={rater}")
            roles = {role: asked[role]["id"] for role in ("query", "a", "b")}
            better = min(asked["a"]["path"], asked["b"]["path"])
            answer = {"rater": rater, **roles, "answer": "a" if asked["a"]["path"] == better else "b"}
            headers = {"Content-Type": "application/json"}
            fetch(f"{address}/api/ratings", data=json.dumps(answer).encode(), headers=headers)
    output = tmp_path / "triplets.txt"
    arguments = ["ratings", "export", "--index", str(place / "index"), "--output", str(output)]
    assert main([*arguments, "--min_raters", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["ratings"], result["raters"], result["triplets"]) == (8, 2, 4)
    assert result["dataset"] == str(place / "images")
    assert len(Triplets.load(output, result["dataset"])) == 4
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"deep-ranking learn {place / 'index'} --triplets {output}" in printed
    assert main([*arguments, "--min_raters", "3"]) == 1
    assert "none has 3 or more raters" in capsys.readouterr().err
    with urllib.request.urlopen(f"{address}/api/ratings/export?min_raters=2") as exported:
        assert exported.read() == output.read_bytes()
    assert main(["ratings", "summary", "--index", str(place / "index")]) == 0
    assert capsys.readouterr().out.startswith("8 ratings by 2 raters of 4 questions: 4 unanimous, 0 disputed")


def test_triplets_of_images_no_longer_indexed_are_left_out_and_counted(place, embedder, tmp_path, capsys):
    images = make_images(tmp_path / "images", 6)
    index = make_index(tmp_path / "index", images, embedder)
    with Index.open(index) as opened:
        paths = [image.path for image in opened.snapshot.images]
    with RatingStore(index / "ratings.sqlite") as store:
        store.add("Ann", *paths[:3], "a")
        store.add("Ann", *paths[3:], "b")
    (images / paths[5]).unlink()
    make_index(index, images, embedder)
    assert (
        main(["ratings", "export", "--index", str(index), "--output", str(tmp_path / "t.txt"), "--json"]) == 0
    )
    told = capsys.readouterr()
    assert json.loads(told.out)["triplets"] == 1
    assert "1 triplet named images no longer in the index" in told.err


def processor_seconds(process):
    """Return what a process has computed so far, in seconds of a processor."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def of_children():
    """Return what the processes that were started here and have ended computed, in seconds of a processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent otherwise there")
@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_stopped_it_ends_at_once_also_while_a_map_is_computed(tmp_path, number, status, word):
    """The map of so many images takes seconds, in a thread that cannot be stopped."""
    count = 20_000
    with Index.create(tmp_path / "index", 16, "by hand") as index:
        vectors = np.random.default_rng(0).normal(size=(count, 16))
        index.add([f"{row:05}.jpg" for row in range(count)], vectors)
    answers = []
    with running(tmp_path / "index") as (address, process):

        def ask():
            try:
                answers.append(fetch(f"{address}/api/map"))
            except urllib.error.HTTPError as error:
                answers.append(error.code)

        idle = processor_seconds(process)
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join()
        wait_until(lambda: processor_seconds(process) > idle + 0.5, "the map is being computed", process)
        assert fetch(f"{address}/api/health")
        begun, others = processor_seconds(process), of_children()
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    assert [answer["done"] for answer in answers] == [False]
    assert of_children() - others - begun < 10
    assert error.splitlines()[1:] == ["", f"deep-ranking serve: {word}; every answer that was given is kept"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "--index", "{tmp}"], "expected an index, found no store.sqlite"),
        (["serve", "--index", "{index}", "--port", "70000"], "port: expected a number of 0 to 65535"),
        (["serve", "--index", "{index}", "--host", "no.such.host.invalid"], "cannot listen there"),
        (
            ["serve", "--index", "{index}", "--ratings", "{tmp}/none/r.sqlite"],
            "expected a folder to keep it in",
        ),
        (["serve", "--index", "{index}", "--seed", "-1"], "seed: expected 0 or more"),
        (["ratings", "export", "--index", "{tmp}"], "expected an index, found no store.sqlite"),
        (
            ["ratings", "export", "--index", "{index}", "--ratings", "{tmp}/none"],
            "no ratings there; rate some",
        ),
        (["ratings", "export", "--index", "{index}", "--min_raters", "0"], "min_raters: expected 1 or more"),
        (
            ["ratings", "export", "--index", "{index}", "--ratings", "{tmp}/none", "--min_raters", "0"],
            "min_raters: expected 1 or more",
        ),
    ],
)
def test_mistakes_are_explained(place, tmp_path, capsys, arguments, message):
    RatingStore(place / "index" / "ratings.sqlite").close()
    assert main([a.format(tmp=tmp_path, index=place / "index") for a in arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_port_that_is_taken_is_explained(place, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--index", str(place / "index"), "--port", str(port)]) == 1
    assert "--port 0 takes any that is free" in capsys.readouterr().err


def test_a_model_of_another_index_is_refused(place, embedder):
    from deep_ranking.errors import DeepRankingError
    from deep_ranking.web import Settings, create_app

    class Other(type(embedder)):
        fingerprint = "other"

    with pytest.raises(DeepRankingError, match="their distances cannot be compared"):
        create_app(Settings(place / "index"), Other())


def test_without_its_packages_the_extra_is_named(monkeypatch):
    import importlib.util

    from deep_ranking.errors import MissingExtraError

    for name in [name for name in sys.modules if name.startswith("deep_ranking.web")]:
        monkeypatch.delitem(sys.modules, name)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "uvicorn" else find(name, *a)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'deep-ranking\[web\]'"):
        importlib.import_module("deep_ranking.web")
