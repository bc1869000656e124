"""Indexing, searching and rating at once for long: memory stays flat, no handle is leaked, nothing fails.

    python tests/reliability/soak.py [MINUTES] [--beset]

One process changes a folder of images and brings its index up to date, again and again; the server's process
answers four clients that search, ask for thumbnails and rate. Each five seconds both processes' memory and
open files are read. The first third of the time is for warming; the most of the last third is compared
with the most of the second. Ends with 1 if memory grew by over 5%, if files did by more than one a client,
or if a request failed. A client rates in one of twenty turns: the server's memory grows with the questions
that were asked, by half a kilobyte each, up to two an image.

With `--beset` there are others beside: who connect and say nothing, who send and who read without end, who
upload more than there is room for, and who ask for the map of every version. Then it ends with 1 if the
server ever took a gigabyte, if one of a hundred searches took a second, if an answer to the four clients
failed, or if one of their ratings is not there at the end.
"""

import contextlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "web")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from served import PixelEmbedder, make_images, make_index, picture  # noqa: E402

GROWTH = 1.05
IMAGES = 300
RATED = 0.05
RATERS = ("Ann", "Bo", "Cy", "Di")
MOST_MEMORY, SLOWEST = 1e9, 1.0


def keep_indexing(folder: Path) -> None:
    """Add, change, rename and remove images, and index them, until the process is killed."""
    draw = random.Random(0)
    for number in range(10**9):
        images = sorted(path for path in (folder / "images").rglob("*.png") if path.name != "large.png")
        images[draw.randrange(len(images))].unlink()
        picture(f"new {number}").save(folder / f"images/cats/new {number}.png")
        moved = images[draw.randrange(len(images) // 2)]
        if moved.exists():
            moved.rename(moved.with_name(f"moved {number}.png"))
        make_index(folder / "index", folder / "images", PixelEmbedder())
        (folder / "runs").write_text(str(number + 1))
        time.sleep(0.2)


def ask(address: str, **more: object) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, **more), timeout=60) as answer:
        return answer.read()


def client(
    address: str, name: str, stop: threading.Event, took: list[float], rated: list[str], failures: list[str]
) -> None:
    """Search, look and rate; an image may have gone since it was listed, which is a 404 and no failure."""
    draw = random.Random(name)
    while not stop.is_set():
        try:
            images = json.loads(ask(f"{address}/api/images?limit=200"))["items"]
            image = draw.choice(images)["id"]
            started = time.monotonic()
            json.loads(ask(f"{address}/api/search?image={image}&top=24"))
            took.append(time.monotonic() - started)
            ask(f"{address}/api/images/{image}/thumbnail?size=160")
            if draw.random() < RATED:
                question = json.loads(ask(f"{address}/api/ratings/question?rater={name}"))
                answer = {"rater": name, "answer": draw.choice(["a", "b", "both_similar"])}
                answer |= {part: question[part]["id"] for part in ("query", "a", "b")}
                headers = {"Content-Type": "application/json"}
                ask(f"{address}/api/ratings", data=json.dumps(answer).encode(), headers=headers)
                rated.append(name)
            time.sleep(0.2)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                failures.append(f"{error.code} {error.url}")
        except (OSError, ValueError) as error:
            failures.append(repr(error))


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
UPLOAD = b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"


def held(address: str, number: int, stop: threading.Event, data: bytes, then: bytes = b"") -> None:
    """Keep so many connections open on which something was sent and a byte comes at times; read nothing."""
    split = urlsplit(address)
    while not stop.is_set():
        connections = []
        for _ in range(number):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(1)
            connections.append(connection)
            with contextlib.suppress(OSError):  # it is closed, or refused: so it should be
                connection.connect((split.hostname, split.port))
                connection.sendall(data)
        for _ in range(40):
            stop.wait(1)
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(then)
        for connection in connections:
            connection.close()


def watch(address: str, folder: Path, stop: threading.Event, seen: dict[str, int]) -> None:
    """Ask for the map, and upload an image of the index and one of 88 million pixels to search by.

    What is answered is counted, by status.
    """
    pixels = io.BytesIO()
    Image.new("RGB", (9400, 9400)).save(pixels, "PNG")
    while not stop.is_set():
        image = random.choice(sorted((folder / "images").rglob("[0-9n]*.png")))
        try:
            headers = {"Content-Type": "multipart/form-data; boundary=b"}
            known, large = (
                {"data": PART + data + b"\r\n--b--\r\n", "headers": headers}
                for data in (image.read_bytes(), pixels.getvalue())
            )
            for path, more in (("map", {}), ("uploads", known), ("uploads", large)):
                try:
                    ask(f"{address}/api/{path}", **more)
                    status = "200"
                except urllib.error.HTTPError as error:
                    status = str(error.code)
                seen[f"{path} {status}"] = seen.get(f"{path} {status}", 0) + 1
        except OSError as error:
            seen[repr(error)] = seen.get(repr(error), 0) + 1
        stop.wait(1)


def beset(address: str, folder: Path, stop: threading.Event) -> dict[str, int]:
    """Start what nobody wants as clients, and return what two are answered who only ask for much."""
    images = json.loads(ask(f"{address}/api/images?limit=500"))["items"]
    large = next(image["id"] for image in images if image["path"] == "cats/large.png")
    header = b"GET /api/images/%d/file HTTP/1.1\r\nHost: localhost\r\n" % large
    upload = UPLOAD + b"Content-Length: %d\r\n\r\n" % (31 << 20) + PART
    seen: dict[str, int] = {}
    for number, data, then in (
        (300, b"", b""),
        (100, header + b"X: ", b"x"),
        (60, header + b"\r\n", b""),
        (100, 20 * (header + b"\r\n"), b""),
        (50, upload, b"x"),
        (30, upload + bytes(30 << 20), b"x"),
    ):
        more = (address, number, stop, data, then)
        threading.Thread(target=held, args=more, daemon=True).start()
    for _ in range(2):
        threading.Thread(target=watch, args=(address, folder, stop, seen), daemon=True).start()
    return seen


def used(process: int) -> tuple[int, int]:
    """Return the resident memory in bytes and the open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{process}/fd").iterdir()))


def main(minutes: float, with_others: bool) -> int:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    stop, took, rated, failures = threading.Event(), [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "images", IMAGES)
        if with_others:
            noise = np.random.default_rng(0).integers(0, 256, (2600, 2600, 3), np.uint8)
            Image.fromarray(noise).save(folder / "images/cats/large.png", compress_level=0)
        make_index(folder / "index", folder / "images", PixelEmbedder())
        serve = [sys.executable, "-m", "deep_ranking", "serve", "--index", folder / "index", "--port", "0"]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment)
        indexer = subprocess.Popen([sys.executable, __file__, "--index", folder], env=environment)
        try:
            line = server.stdout.readline()
            address = next(word for word in line.split() if word.startswith("http")).rstrip("/")
            told = beset(address, folder, stop) if with_others else {}
            clients = [
                threading.Thread(
                    target=client, args=(address, rater, stop, took, rated, failures), daemon=True
                )
                for rater in RATERS
            ]
            for thread in clients:
                thread.start()
            samples: list[tuple[tuple[int, int], tuple[int, int]]] = []
            end = time.monotonic() + 60 * minutes
            while time.monotonic() < end:
                time.sleep(5)
                samples.append((used(server.pid), used(indexer.pid)))
                shown = [f"{size / 1e6:.0f} MB, {files} files" for size, files in samples[-1]]
                print(f"{len(samples) * 5:>6} s  server {shown[0]}; indexer {shown[1]}", flush=True)
            stop.set()
            for thread in clients:
                thread.join()
            kept = json.loads(ask(f"{address}/api/ratings/summary"))["ratings"]
            runs = int((folder / "runs").read_text())
        finally:
            server.kill()
            indexer.kill()
            server.wait()
            indexer.wait()
    took.sort()
    slowest = took[int(0.99 * len(took))]
    print(f"{minutes:g} minutes: {runs} index runs, {len(took)} turns of the clients, {len(failures)} failed")
    print(f"searches: median {took[len(took) // 2] * 1000:.0f} ms, 99th percentile {slowest * 1000:.0f} ms")
    print(f"ratings: {len(rated)} acknowledged, {kept} kept; of the others: {told}")
    print(*failures[:5], sep="\n")
    lost = bool(failures) or kept < len(rated)
    if with_others:
        most = max(server for (server, _), _ in samples)
        print(f"server: {most / 1e6:.0f} MB at most")
        return int(lost or most > MOST_MEMORY or slowest > SLOWEST)
    return int(lost or grew(samples))


def grew(samples: list[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    """Compare what the last third of the time took with what the second did, and say so."""
    third = len(samples) // 3
    more = False
    for number, who in enumerate(("server", "indexer")):
        middle, last = (
            [max(sample[number][what] for sample in some) for what in (0, 1)]
            for some in (samples[third : 2 * third], samples[2 * third :])
        )
        more |= last[0] > GROWTH * middle[0] or last[1] > middle[1] + len(RATERS)
        print(f"{who}: {middle[0] / 1e6:.0f} then {last[0] / 1e6:.0f} MB; {middle[1]} then {last[1]} files")
    return more


if __name__ == "__main__":
    if sys.argv[1:2] == ["--index"]:
        keep_indexing(Path(sys.argv[2]))
    else:
        times = [float(argument) for argument in sys.argv[1:] if argument != "--beset"]
        sys.exit(main(times[0] if times else 120, "--beset" in sys.argv))
