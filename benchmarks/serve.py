"""The page's server under load: 32 clients search for 30 seconds, beside the search time alone.

    python benchmarks/serve.py [--quick]

One server process and one process of clients share the machine. Each client asks for the 24 nearest images of
a random image of the index, as the page does, and asks again once it has the answer; so the time of an answer
is mostly the wait for the 31 others, and the rate tells what the server can do. Measured in the same run:

- the search alone, in a loop without a server, 24 results;
- one client alone, which has no one to wait for;
- 32 clients; every answer has to be right (status 200, 24 results, those that the search itself finds first).

The goal of the rate is a fifth of that of the search alone on one core, since an answer also costs HTTP, JSON
and a thread's turn in one Python process, and the clients' share of the cores.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
from outcome import Outcome
from search import like_embeddings

from deep_ranking import Index, Options, page_image_id

CLIENTS, SECONDS, TOP = 32, 30, 24
CHECKED = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer vectors, 5 seconds; goals are not held")
    quick = parser.parse_args().quick
    count, seconds = (20_000, 5) if quick else (100_000, SECONDS)
    outcome = Outcome("serve")
    for dimension in (128,) if quick else (128, 512):
        case = f"{count} x {dimension}"
        with tempfile.TemporaryDirectory() as folder:
            expected, alone = make_index(folder, count, dimension)
            with server(folder) as (host, port):
                asyncio.run(load(host, port, expected, 1, 1))  # warms
                one = asyncio.run(load(host, port, expected, 1, seconds / 6))
                many = asyncio.run(load(host, port, expected, CLIENTS, seconds))
        print(f"{case}: search alone, median {alone * 1e3:.2f} ms")
        for name, (times, failures) in (("1 client", one), (f"{CLIENTS} clients", many)):
            p50, p99 = np.percentile(times, [50, 99]) * 1e3
            rate = len(times) / (seconds if name != "1 client" else seconds / 6)
            print(
                f"  {name:<12}{len(times):>7} answers, {failures} wrong, {rate:,.0f}/s, p50 {p50:.2f} ms, "
                f"p99 {p99:.2f} ms"
            )
        (times, failures), goal = many, None if quick else 0.2
        outcome.add(case, "share of answers right, 32 clients", 1 - failures / len(times), 1)
        outcome.add(case, "rate over search alone, 32 clients", len(times) / seconds * alone, goal)
        outcome.add(case, "search alone over p50, 1 client", alone / float(np.median(one[0])))
        outcome.add(case, "p50 over p99, 32 clients", float(np.divide(*np.percentile(times, [50, 99]))))
    outcome.show()


def make_index(folder: str, count: int, dimension: int) -> tuple[dict[int, set[int]], float]:
    """Return for some images by number the numbers of the nearest, and the median time of a search."""
    vectors = like_embeddings(count, dimension, np.random.default_rng(0))
    with Index.create(folder, dimension, "benchmark") as index:
        index.add([f"{i:08}.jpg" for i in range(count)], vectors, [f"class {i % 200}" for i in range(count)])
        images = index.snapshot.images
        numbers = {image.path: page_image_id(image) for image in images}
        expected, times = {}, []
        for row in np.random.default_rng(1).choice(count, CHECKED, replace=False).tolist():
            start = time.perf_counter()
            hits = index.search(images[row].path, TOP, Options(leave_self_out=True))
            times.append(time.perf_counter() - start)
            expected[numbers[images[row].path]] = {numbers[hit.path] for hit in hits}
    return expected, float(np.median(times))


@contextmanager
def server(folder: str) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "deep_ranking", "serve", "--index", folder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            address = urlsplit(next(word for word in words if word.startswith("http")))
            yield str(address.hostname), int(address.port or 80)
        finally:
            process.terminate()


async def load(
    host: str, port: int, expected: dict[int, set[int]], clients: int, seconds: float
) -> tuple[np.ndarray, int]:
    """Return the seconds of each answer, and how many answers were wrong."""
    times: list[float] = []
    wrong = 0
    until = time.perf_counter() + seconds

    async def client(seed: int) -> None:
        nonlocal wrong
        numbers = np.random.default_rng(seed).permutation(list(expected)).tolist()
        reader, writer = await asyncio.open_connection(host, port)
        turn = 0
        while time.perf_counter() < until:
            number = numbers[turn % len(numbers)]
            turn += 1
            start = time.perf_counter()
            writer.write(
                f"GET /api/search?image={number}&top={TOP} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            body = await reader.readexactly(length)
            times.append(time.perf_counter() - start)
            if turn % 20 == 1:  # to check all would make the clients the slower side
                found = {result["image"]["id"] for result in json.loads(body).get("results", ())}
                wrong += found != expected[number]
            else:
                wrong += not (lines[0].startswith(b"http/1.1 200") and body.count(b'"rank"') == TOP)
        writer.close()

    outcomes = await asyncio.gather(*map(client, range(clients)), return_exceptions=True)
    return np.array(times), wrong + sum(isinstance(outcome, BaseException) for outcome in outcomes)


if __name__ == "__main__":
    main()
