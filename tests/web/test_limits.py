"""What a client may hold: a connection, a body, an answer, each for a time; memory and threads together."""

import asyncio
import contextlib
import gc
import json
import os
import re
import socket
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from PIL import Image
from served import make_images, make_index
from uvicorn.protocols.http.h11_impl import H11Protocol
from waiting import PATIENCE, wait_until

from deep_ranking.search import Index
from deep_ranking.web import Settings, create_app
from deep_ranking.web import app as apps
from deep_ranking.web.connections import Connection
from deep_ranking.web.problems import Problem
from deep_ranking.web.workers import Workers

SECONDS = 0.7
"""That each phase of a request has in these tests."""


class Server:
    """A server in a thread of this process."""

    def __init__(self, monkeypatch, settings, embedder=None):
        servers, told = [], threading.Event()

        class Caught(apps._Server):
            def __init__(self, config, *more):
                super().__init__(config, *more)
                servers.append(self)

        monkeypatch.setattr(apps, "_Server", Caught)
        self.app = create_app(settings, embedder)
        self._thread = threading.Thread(
            target=apps.serve, args=(self.app, "127.0.0.1", 0, lambda address: self._started(address, told))
        )
        self._thread.start()
        assert told.wait(PATIENCE)
        self.server, self._opened = servers[0], []

    def _started(self, address, told):
        self.port = int(address.rstrip("/").rpartition(":")[2])
        told.set()

    def stop(self):
        for connection in self._opened:
            connection.close()
        self.server.should_exit = True
        self._thread.join(PATIENCE)

    @property
    def connections(self):
        return len(self.server.server_state.connections)

    def connect(self, data=b"", receive=None):
        """Open a connection, and send something."""
        connection = socket.socket()
        self._opened.append(connection)
        connection.settimeout(PATIENCE)
        if receive:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(data)
        return connection

    def ask(self, path, **headers):
        """Ask on a connection of one's own, and return the status, the headers and the body."""
        with self.connect(get(path, Connection="close", **headers)) as connection:
            return parsed(everything(connection))


def get(path, **headers):
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        *(f"{name}: {text}" for name, text in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def everything(connection):
    """Return what comes until the server closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 20):
            received += part
    return bytes(received)


def parsed(received):
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def is_problem(answer, status):
    assert answer[0] == status, answer
    assert answer[1]["content-type"] == "application/problem+json"
    assert json.loads(answer[2])["status"] == status
    return True


@pytest.fixture
def serve(monkeypatch, tmp_path, embedder):
    """Give a function that serves an index of some small images, and one of 3 megabytes."""
    servers = []
    images = make_images(tmp_path / "images", 6)
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    Image.fromarray(noise).save(images / "large.png", compress_level=0)
    make_index(tmp_path / "index", images, embedder)

    def start(embedder=embedder, index=tmp_path / "index", **settings):
        servers.append(Server(monkeypatch, Settings(index=index, **settings), embedder))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def large(server):
    """Return the address of the large image's file."""
    listed = json.loads(server.ask("/api/images")[2])["items"]
    return f"/api/images/{next(image['id'] for image in listed if image['path'] == 'large.png')}/file"


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


def upload(size, sent=None):
    """Return an upload of so many bytes, of which so many are there."""
    body = PART + bytes(size) + b"\r\n--b--\r\n"
    head = (
        "POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    )
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) if sent is None else sent]


def chunked(body):
    """Return an upload that does not say how long it is, and how it begins."""
    return re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", upload(0, sent=0)) + body


RATING = b"POST /api/ratings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALF = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX-Long: "


@pytest.mark.parametrize(
    ("begin", "more", "statuses"),
    [
        (b"", b"", []),
        (b"G", b"", [408]),
        (HALF, b"", [408]),
        (HALF, b"x", [408]),  # byte after byte
        (get("/api/health") + HALF, b"", [200, 408]),
        (get("/api/health") + HALF, b"x", [200, 408]),
        (get("/api/health"), b"", [200]),
        (upload(1000, sent=0), b"", [408]),
        (upload(1000, sent=100), b"x", [408]),
        (chunked(b"ffff\r\n" + PART), b"x", [408]),  # a chunk that does not end
        (
            chunked(b"%x\r\n%b\r\n" % (len(PART), PART)),
            b"1\r\nx\r\n",
            [408],
        ),  # chunks without end, a byte each
        (
            upload(1000, sent=0).replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length"),
            b"",
            [100, 408],
        ),
        (RATING + b"Content-Length: 100\r\n\r\n{", b" ", [408]),
    ],
    ids=range(13),
)
def test_no_phase_of_a_request_is_waited_for_longer_than_allowed(serve, begin, more, statuses):
    server = serve(request_seconds=SECONDS)
    started, stop = time.monotonic(), threading.Event()
    with server.connect(begin) as connection:

        def send_slowly():
            with contextlib.suppress(OSError):
                while more and not stop.wait(0.05):
                    connection.sendall(more)

        sending = threading.Thread(target=send_slowly)
        sending.start()
        received = everything(connection)
        took = time.monotonic() - started
        stop.set()
        sending.join()
    answers = [b"HTTP/1.1 " + part for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [parsed(answer)[0] for answer in answers] == statuses
    assert not answers or statuses == [200] or is_problem(parsed(answers[-1]), 408)
    assert took > SECONDS * 0.9
    wait_until(lambda: server.connections == 0, "the server forgets the connection")
    assert server.ask("/api/health")[0] == 200


@pytest.mark.parametrize("how", ["one", "close", "some read", "pipelined", "half-closed"])
def test_an_answer_that_nobody_takes_is_let_go(serve, how):
    server = serve(request_seconds=SECONDS)
    address = large(server)
    asked = {"close": get(address, Connection="close"), "pipelined": 50 * get(address)}.get(how, get(address))
    with server.connect(asked, receive=4096) as connection:
        if how == "some read":
            assert connection.recv(1000)
        if how == "half-closed":
            connection.shutdown(socket.SHUT_WR)
        wait_until(lambda: server.connections == 0, "the server lets go of the answer")
    assert server.app.state.site.workers  # and goes on
    assert len(server.ask(address)[2]) > 3e6


def test_who_reads_slowly_but_steadily_gets_the_whole(serve):
    """Longer than a phase may last, since each part of an answer is one."""
    server = serve(request_seconds=1.5)
    started, received = time.monotonic(), bytearray()
    with server.connect(get(large(server), Connection="close"), receive=1 << 16) as connection:
        while part := connection.recv(1 << 16):
            received += part
            time.sleep(0.6 * len(part) / 1e6)
    assert time.monotonic() - started > 1.6
    assert len(parsed(bytes(received))[2]) == int(parsed(bytes(received))[1]["content-length"])


def test_uploads_under_way_have_one_limit_together(serve, monkeypatch):
    monkeypatch.setattr("deep_ranking.web.safety._SILENCE", 0.2)
    server = serve(bytes_together=4_000_000, request_seconds=PATIENCE)
    held = [server.connect(upload(1_500_000, sent=1_400_000)) for _ in range(8)]
    refused = []
    for connection in held:
        connection.settimeout(0.2)
    wait_until(
        lambda: refused.extend(answered(held, refused)) or len(refused) >= 6, "what is too much is refused"
    )
    assert all(is_problem(parsed(answer), 503) for _, answer in refused)
    assert all("retry-after" in parsed(answer)[1] for _, answer in refused)
    assert len(refused) == 6  # two of 1.4 MB stay: 2.8 of 4
    for connection in held:
        connection.close()
    # What they held is free again, for one that is whole: of zeros, which are no image.
    wait_until(lambda: server.connections == 0, "the uploads are forgotten")
    whole = [server.connect(upload(3_900_000))]
    assert is_problem(parsed(answered(whole, [])[0][1]), 415)


def answered(connections, known):
    """Return, with what came, the connections that were answered and are not known yet."""
    found = []
    for connection in connections:
        if connection in [one for one, _ in known]:
            continue
        with contextlib.suppress(TimeoutError):
            received = connection.recv(65536)
            while received and b"}" not in received:
                received += connection.recv(65536)
            found.append((connection, received))
    return found


def test_answers_that_are_not_taken_have_one_limit_together(serve):
    server = serve(bytes_together=7_000_000, request_seconds=PATIENCE)
    address = large(server)
    slow = [server.connect(get(address), receive=4096) for _ in range(2)]
    assert [connection.recv(12) for connection in slow] == [b"HTTP/1.1 200"] * 2
    assert is_problem(server.ask(address), 503)
    assert server.ask("/api/images")[0] == server.ask(address.replace("file", "thumbnail"))[0] == 200
    with server.connect(get(address).replace(b"GET", b"HEAD")) as head:
        assert parsed(head.recv(65536))[0] == 200  # nothing is held for it
    for connection in slow:
        connection.close()
    wait_until(lambda: server.ask(address)[0] == 200, "there is room again")


def test_an_answer_that_is_larger_than_all_together_may_be_is_sent_alone(serve):
    server = serve(bytes_together=1_000_000)
    assert len(server.ask(large(server))[2]) > 3e6


@pytest.mark.parametrize(
    "held",
    [
        b"",
        HALF,
        upload(1000, sent=10),
        get("/api/health"),
        pytest.param("answers", marks=pytest.mark.long),
    ],
    ids=range(5),
)
def test_who_makes_the_server_wait_shuts_nobody_out(serve, monkeypatch, held):
    monkeypatch.setattr(Connection, "most", 8)
    server = serve()
    held = get(large(server)) if held == "answers" else held
    connections = [server.connect(held, receive=4096) for _ in range(30)]
    assert server.ask("/api/health")[0] == 200
    wait_until(lambda: server.connections <= 8, "the others were closed")
    for connection in connections:
        connection.close()


class Blocked:
    """An embedder, or whatever else is called, that works until it is told to end."""

    def __init__(self, embedder, result=None):
        self.dimension, self.fingerprint, self._result = embedder.dimension, embedder.fingerprint, result
        self.begun, self.end = threading.Semaphore(0), threading.Event()

    def embed_image(self, image):
        self()
        return np.ones(self.dimension, np.float32)

    def __call__(self, *args):
        self.begun.release()
        assert self.end.wait(PATIENCE)
        return self._result


def png():
    from io import BytesIO

    file = BytesIO()
    Image.new("RGB", (8, 8), (9, 8, 7)).save(file, "PNG")
    return file.getvalue()


def whole_upload(data):
    zeros = bytes(len(data))
    return upload(len(data)).replace(zeros, data)


def test_whose_request_is_worked_on_is_not_the_one_that_is_closed(serve, monkeypatch, embedder):
    monkeypatch.setattr(Connection, "most", 8)
    blocked = Blocked(embedder)
    server = serve(blocked)
    with server.connect(whole_upload(png())) as working:
        assert blocked.begun.acquire(timeout=PATIENCE)
        silent = [server.connect() for _ in range(20)]
        assert server.ask("/api/health")[0] == 200
        blocked.end.set()
        assert parsed(working.recv(65536))[0] == 201
    for connection in silent:
        connection.close()


def test_more_requests_than_can_be_kept_are_refused_in_the_form_of_the_api(serve, monkeypatch, embedder):
    monkeypatch.setattr("deep_ranking.web.safety.MOST_CONNECTIONS", 2)
    blocked = Blocked(embedder)
    server = serve(blocked)
    with server.connect(whole_upload(png())) as one, server.connect(whole_upload(png())) as other:
        assert blocked.begun.acquire(timeout=PATIENCE)
        wait_until(lambda: server.ask("/api/health")[0] == 503, "both are worked on")
        assert is_problem(server.ask("/api/health"), 503)
        blocked.end.set()
        assert parsed(one.recv(65536))[0] == parsed(other.recv(65536))[0] == 201
    wait_until(lambda: server.ask("/api/health")[0] == 200, "they are done")


@pytest.mark.parametrize("sent", [b"GET /" + b"a" * 70_000, b"\x16\x03\x01\r\n\r\n"], ids=len)
def test_what_is_no_http_is_answered_in_the_form_of_the_api(serve, sent):
    server = serve()
    with server.connect(sent) as connection:
        assert is_problem(parsed(everything(connection)), 400)


def test_what_breaks_off_in_the_midst_of_its_body_is_answered_and_logged_without_a_traceback(serve, caplog):
    server = serve()
    with server.connect(chunked(b"zz\r\n")) as connection:
        assert is_problem(parsed(everything(connection)), 400)
    wait_until(lambda: server.connections == 0, "the connection is forgotten")
    assert "Traceback" not in caplog.text


def test_the_parser_of_http_is_chosen_whatever_is_installed(serve):
    config = serve().server.config
    assert issubclass(config.http_protocol_class, H11Protocol)
    assert config.h11_max_incomplete_event_size == 16_384


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own here")
def test_what_takes_long_leaves_the_processors_to_searches():
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def main():
        workers = Workers(PATIENCE)
        found = {kind: await workers(kind, priority) for kind in workers._pools}
        workers.stop()
        return found

    own = priority()
    behind = ["decode", "original", "map", "pairs", "duplicates", "clusters", "learn"]
    lower = dict.fromkeys(behind, min(own + 5, 19))
    assert asyncio.run(main()) == lower | dict.fromkeys(["search", "embed", "disk"], own)


def test_no_more_files_are_read_than_are_taken():
    """Of an event loop that is late; else what was read, and is not counted yet, piles up before it."""
    read = []

    async def main():
        workers = Workers(PATIENCE)
        asked = [asyncio.create_task(workers("original", lambda: read.append(1))) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.2)
        assert 0 < len(read) <= workers._pools["original"]._max_workers
        await asyncio.gather(*asked)
        workers.stop()

    asyncio.run(main())
    assert len(read) == 20


def test_a_place_among_the_workers_is_free_only_when_its_thread_has_ended(embedder):
    """Also of work that was given up, and what had not begun by then never does."""
    lock, end, now, peak, begun = threading.Lock(), threading.Event(), 0, 0, 0

    def work(data):
        nonlocal now, peak, begun
        with lock:
            now, begun = now + 1, begun + 1
            peak = max(peak, now)
        assert end.wait(PATIENCE)
        with lock:
            now -= 1

    async def ask(workers, kind):
        with pytest.raises(Problem, match="busy"):
            await workers(kind, work, data := Data())
        return weakref.ref(data)

    async def answered(workers, kind):
        """Ask again where a busy machine takes longer than the workers wait."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            with contextlib.suppress(Problem):
                return await workers(kind, lambda: 7)

    async def main():
        workers = Workers(0.05)
        places = {kind: pool._max_workers for kind, pool in workers._pools.items()}
        for kind, most in places.items():
            nonlocal peak, begun
            peak = begun = 0
            end.clear()
            left = await asyncio.gather(*(ask(workers, kind) for _ in range(3 * most)))
            left += await asyncio.gather(*(ask(workers, kind) for _ in range(3 * most)))
            assert begun == peak == most
            gc.collect()
            assert sum(data() is not None for data in left) == most  # of the others nothing is kept
            end.set()
            while now:
                await asyncio.sleep(0.01)
            assert await answered(workers, kind) == 7
            assert begun == most
        workers.stop()
        with pytest.raises(Problem, match="stopped"):
            await workers("search", print)

    class Data:
        pass

    asyncio.run(main())


def test_searches_are_answered_while_the_map_is_computed_and_it_is_computed_once(
    serve, monkeypatch, embedder
):
    from deep_ranking.web.map import Map

    nothing = np.arange(0)
    made = Blocked(embedder, Map("PCA", nothing, np.zeros((0, 2)), nothing, nothing))
    monkeypatch.setattr("deep_ranking.web.map.make_map", made)
    server = serve()
    ids = [image["id"] for image in json.loads(server.ask("/api/images")[2])["items"]]
    asking = [server.ask("/api/map") for _ in range(6)]
    assert {json.loads(answer)["done"] for _, _, answer in asking} == {False}
    assert made.begun.acquire(timeout=PATIENCE)
    for address in (
        f"search?image={ids[0]}",
        f"search?image={ids[0]}&exact=false",
        f"compare?a={ids[0]}&b={ids[1]}",
    ):
        assert server.ask(f"/api/{address}")[0] == 200
    made.end.set()
    wait_until(lambda: json.loads(server.ask("/api/map")[2])["done"], "the map is made")
    assert not made.begun.acquire(blocking=False)


def test_thumbnails_are_answered_while_originals_are_read(serve, monkeypatch, embedder):
    read = Blocked(embedder, (b"", "image/png"))
    monkeypatch.setattr("deep_ranking.web.routes.images._read", read)
    server = serve()
    address = large(server)
    asking = [server.connect(get(address, Connection="close")) for _ in range(6)]
    assert read.begun.acquire(timeout=PATIENCE)
    assert server.ask(address.replace("file", "thumbnail"))[0] == 200
    read.end.set()
    assert [parsed(everything(connection))[0] for connection in asking] == [200] * 6


def test_searches_are_answered_while_clusters_are_made(serve, monkeypatch, embedder, tmp_path):
    with Index.create(tmp_path / "many", 12, "pixels") as index:
        index.add([f"{i:03}.jpg" for i in range(300)], np.random.default_rng(0).standard_normal((300, 12)))
    monkeypatch.setattr("deep_ranking.web.gallery.APPROXIMATE_FROM", 100)
    built = Blocked(embedder)
    monkeypatch.setattr("deep_ranking.search.snapshot.Snapshot.probes", built)
    server = serve(index=tmp_path / "many")
    number = json.loads(server.ask("/api/images?limit=1")[2])["items"][0]["id"]
    asking = [server.connect(get(f"/api/search?image={number}&exact=false")) for _ in range(6)]
    assert built.begun.acquire(timeout=PATIENCE)
    assert json.loads(server.ask(f"/api/search?image={number}")[2])["exact"] is True
    assert server.ask(f"/api/compare?a={number}&b={number}")[0] == 200
    built.end.set()
    for connection in asking:
        assert connection.recv(10)
        connection.close()
