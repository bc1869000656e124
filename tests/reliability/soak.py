"""Indexing, searching and rating at once for long: memory stays flat, no handle is leaked, nothing fails.

    python tests/reliability/soak.py [MINUTES]

One process changes a folder of images and brings its index up to date, again and again; the server's process
answers four clients that search, ask for thumbnails and rate. Each five seconds both processes' memory and
open files are read. The first third of the time is for warming; the most of the last third is compared
with the most of the second. Ends with 1 if memory grew by over 5%, if files did by more than one a client,
or if a request failed. A client rates in one of twenty turns: the server's memory grows with the questions
that were asked, by half a kilobyte each, up to two an image.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "web")]

from served import PixelEmbedder, make_images, make_index, picture  # noqa: E402

GROWTH = 1.05
IMAGES = 300
RATED = 0.05
RATERS = ("Ann", "Bo", "Cy", "Di")


def keep_indexing(folder: Path) -> None:
    """Add, change, rename and remove images, and index them, until the process is killed."""
    draw = random.Random(0)
    for number in range(10**9):
        images = sorted((folder / "images").rglob("*.png"))
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


def client(address: str, name: str, stop: threading.Event, done: list[str], failures: list[str]) -> None:
    """Search, look and rate; an image may have gone since it was listed, which is a 404 and no failure."""
    draw = random.Random(name)
    while not stop.is_set():
        try:
            images = json.loads(ask(f"{address}/api/images?limit=200"))["items"]
            image = draw.choice(images)["id"]
            json.loads(ask(f"{address}/api/search?image={image}&top=24"))
            ask(f"{address}/api/images/{image}/thumbnail?size=160")
            if draw.random() < RATED:
                question = json.loads(ask(f"{address}/api/ratings/question?rater={name}"))
                answer = {"rater": name, "answer": draw.choice(["a", "b", "both_similar"])}
                answer |= {part: question[part]["id"] for part in ("query", "a", "b")}
                headers = {"Content-Type": "application/json"}
                ask(f"{address}/api/ratings", data=json.dumps(answer).encode(), headers=headers)
            done.append(image)
            time.sleep(0.2)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                failures.append(f"{error.code} {error.url}")
        except (OSError, ValueError) as error:
            failures.append(repr(error))


def used(process: int) -> tuple[int, int]:
    """Return the resident memory in bytes and the open files of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{process}/fd").iterdir()))


def main(minutes: float) -> int:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    stop, done, failures = threading.Event(), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_index(folder / "index", make_images(folder / "images", IMAGES), PixelEmbedder())
        serve = [sys.executable, "-m", "deep_ranking", "serve", "--index", folder / "index", "--port", "0"]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment)
        indexer = subprocess.Popen([sys.executable, __file__, "--index", folder], env=environment)
        try:
            line = server.stdout.readline()
            address = next(word for word in line.split() if word.startswith("http")).rstrip("/")
            clients = [
                threading.Thread(target=client, args=(address, rater, stop, done, failures), daemon=True)
                for rater in RATERS
            ]
            for thread in clients:
                thread.start()
            samples: list[tuple[tuple[int, int], tuple[int, int]]] = []
            end = time.monotonic() + 60 * minutes
            while time.monotonic() < end:
                time.sleep(5)
                samples.append((used(server.pid), used(indexer.pid)))
                told = [f"{size / 1e6:.0f} MB, {files} files" for size, files in samples[-1]]
                print(f"{len(samples) * 5:>6} s  server {told[0]}; indexer {told[1]}", flush=True)
            stop.set()
            for thread in clients:
                thread.join()
            runs = int((folder / "runs").read_text())
        finally:
            server.kill()
            indexer.kill()
            server.wait()
            indexer.wait()
    third = len(samples) // 3
    grew = False
    for number, who in enumerate(("server", "indexer")):
        middle, last = (
            [max(sample[number][what] for sample in some) for what in (0, 1)]
            for some in (samples[third : 2 * third], samples[2 * third :])
        )
        grew |= last[0] > GROWTH * middle[0] or last[1] > middle[1] + len(RATERS)
        print(f"{who}: {middle[0] / 1e6:.0f} then {last[0] / 1e6:.0f} MB; {middle[1]} then {last[1]} files")
    print(f"{minutes:g} minutes: {runs} index runs, {len(done)} turns of the clients, {len(failures)} failed")
    print(*failures[:5], sep="\n")
    return int(grew or bool(failures))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--index"]:
        keep_indexing(Path(sys.argv[2]))
    else:
        sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 120))
