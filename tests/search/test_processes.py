"""Killed at any moment, and searched while it is written."""

import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from samples import PixelEmbedder, write_image
from waiting import wait_until

from deep_ranking.images.decode import read_image
from deep_ranking.images.find import find_images
from deep_ranking.search import Index

SCRIPT = Path(__file__).with_name("indexing.py")
ROOT = Path(__file__).parents[2]


def start(images, index, log, delay):
    """Start to index in another process, and return once it has imported what it needs."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, images, index, log, str(delay)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: log.exists() or process.poll() is not None, "it begins", every=0.002)
    return process


def check(index_folder, images, acknowledged):
    """Assert that what was acknowledged is there, once, and right; and that a search works."""
    with Index.open(index_folder) as index:
        snapshot = index.snapshot
        paths = [image.path for image in snapshot.images]
        assert len(paths) == len(set(paths))
        assert acknowledged <= set(paths)
        for image, vector in zip(snapshot.images, snapshot.matrix, strict=True):
            assert np.array_equal(vector, read_image(images / image.path, (2, 2)).ravel() / np.float32(255))
        if paths:
            assert index.search(paths[-1], 1)[0].distance == 0
        return len(paths)


def kill_again_and_again(tmp_path, images, times, seed):
    """Kill an indexing process `times` times, each when it has acknowledged a random share of its work.

    The moment is counted in images and not in seconds, so that it is midway on a busy machine too.
    """
    chance = random.Random(seed)
    index, total = tmp_path / "index", len(find_images(images))
    interrupted = midway = held = 0
    for attempt in range(times):
        log = tmp_path / f"log {attempt}"
        process = start(images, index, log, delay=0.03)
        wanted = chance.randrange(total - held)
        while process.poll() is None and log.read_bytes().count(b"\n") < wanted:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        interrupted += process.wait() == -signal.SIGKILL
        error = process.stderr.read().decode()
        process.stderr.close()
        assert not error
        lines = log.read_text().splitlines()
        if Index.exists(index):
            held = check(index, images, {Path(line).relative_to(images).as_posix() for line in lines})
            midway += 0 < held < total
            if held == total:  # all done: give the next run work
                with Index.open(index) as whole:
                    assert whole.remove(chance.sample(find_images(images), total // 2)) == total // 2
                held = total - total // 2
    assert interrupted >= times // 3
    assert midway >= times // 3
    process = start(images, index, tmp_path / "last", delay=0)
    error = process.communicate()[1].decode()
    assert (process.returncode, error) == (0, "")
    assert check(index, images, set()) == total


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path):
    for i in range(160):
        write_image(tmp_path / "images" / f"{i:03}.png", str(i))
    kill_again_and_again(tmp_path, tmp_path / "images", times=4, seed=0)


@pytest.mark.long
def test_nothing_acknowledged_is_lost_by_thirty_kills_over_photographs(tmp_path, shared):
    import zipfile

    with zipfile.ZipFile(shared / "data/tiny-imagenet-200-subset.zip") as archive:
        photographs = [name for name in archive.namelist() if name.endswith(".JPEG")][:400]
        archive.extractall(tmp_path / "images", photographs)
    kill_again_and_again(tmp_path, tmp_path / "images", times=30, seed=1)


def test_one_process_searches_while_another_indexes(tmp_path):
    images, folder = tmp_path / "images", tmp_path / "index"
    for i in range(120):
        write_image(images / f"{i:03}.png", str(i))
    vectors = dict(
        zip(
            find_images(images),
            PixelEmbedder().embed([images / p for p in find_images(images)])[0],
            strict=True,
        )
    )
    process = start(images, folder, tmp_path / "log", delay=0.1)
    query, seen = vectors["000.png"], set()
    while process.poll() is None:
        if not Index.exists(folder):
            time.sleep(0.005)
            continue
        time.sleep(0.01)
        with Index.open(folder) as index:
            hits = index.search(query, None)
            seen.add(len(hits))
            assert len({hit.path for hit in hits}) == len(hits) == len(index)
            for hit in hits:
                assert hit.distance == pytest.approx(np.linalg.norm(vectors[hit.path] - query), abs=1e-6)
    assert process.wait() == 0, process.stderr.read()
    process.stderr.close()
    assert len(seen) >= 5  # it did see the index grow
    with Index.open(folder) as index:
        assert len(index.search(query, None)) == 120


BACKUPS = re.findall(
    r"^    ((?:sqlite3|python) .*\.backup.*)$", (ROOT / "docs/search.md").read_text("utf-8"), re.MULTILINE
)


@pytest.mark.parametrize("command", BACKUPS, ids=["sqlite3", "python"])
def test_the_backup_of_an_index_that_is_being_written_is_one_of_its_states(tmp_path, command):
    """By the commands of docs/search.md, as they stand there."""
    program, *arguments = shlex.split(command)
    program = sys.executable if program == "python" else shutil.which(program)
    if program is None:
        pytest.skip("SQLite's command line is not installed")
    images, index, log = tmp_path / "images", tmp_path / "photos.index", tmp_path / "log"
    for number in range(400):
        write_image(images / f"{number:03}.png", str(number))
    process = start(images, index, log, delay=0.1)
    try:
        wait_until(lambda: log.read_bytes().count(b"\n") >= 5, "some are indexed", process)
        lines = log.read_text().splitlines()[:-1]
        acknowledged = {Path(line).relative_to(images).as_posix() for line in lines}
        subprocess.run([program, *arguments], cwd=tmp_path, check=True)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    for left in index.glob("store.sqlite*"):
        left.unlink()
    shutil.move(tmp_path / "saved.sqlite", index / "store.sqlite")
    assert len(acknowledged) <= check(index, images, acknowledged) < 400
