"""Images embedded by two Ray workers: the same index as on one machine, whoever is killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from samples import PixelEmbedder, write_image
from waiting import wait_until

from deep_ranking.extras.ray.shards import from_parquet
from deep_ranking.images.find import find_images
from deep_ranking.search import Index, Report, update_index

COUNT = 240


@pytest.fixture
def images(tmp_path):
    """Some images in three folders; three are the same, one is broken, one lies at the top."""
    folder = tmp_path / "images"
    for i in range(COUNT):
        write_image(folder / f"class {i % 3}" / f"{i:03}.png", str(max(2, i)))
    (folder / "class 0/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    write_image(folder / "top.png", "top")
    return folder


@pytest.fixture
def drive(tmp_path, images, environment, ray_address):
    """Give a function that starts a driver on the session's Ray, with a log of its own."""

    def drive(number, delay=0.0):
        places = images, tmp_path / "index", tmp_path / "shards", tmp_path / f"log {number}"
        return subprocess.Popen(
            [sys.executable, Path(__file__).with_name("telling.py"), *places, ray_address, str(delay)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )

    return drive


def reported(driver):
    """Wait for a driver, and return its report."""
    output, errors = driver.communicate()
    assert driver.returncode == 0, errors
    return Report(**json.loads(output))


def told(tmp_path, number):
    """Return (process, hash) of each image that was embedded for a driver."""
    log = tmp_path / f"log {number}"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(pid), content) for pid, content in map(str.split, lines)]


def indexed_here(tmp_path, images):
    """Index the images in this process, as without Ray."""
    folder = tmp_path / "expected"
    exists = Index.exists(folder)
    with Index.open(folder) if exists else Index.create(folder, 12, "pixels") as index:
        return update_index(index, images, find_images(images), PixelEmbedder(), quiet=True)


def assert_same(tmp_path):
    """Assert that both indexes hold the same: paths, contents, sizes, times, labels, vectors."""
    with Index.open(tmp_path / "index") as found, Index.open(tmp_path / "expected") as expected:
        assert found.snapshot.images == expected.snapshot.images
        np.testing.assert_allclose(found.snapshot.matrix, expected.snapshot.matrix, rtol=1e-6)
        assert found.metadata["images"] == expected.metadata["images"]


def test_a_worker_is_killed_and_nothing_is_missing_or_twice(tmp_path, images, drive):
    driver = drive(0, delay=0.2)
    wait_until(lambda: len(told(tmp_path, 0)) > COUNT // 4, "a quarter is embedded", driver)
    killed = told(tmp_path, 0)[-1][0]
    os.kill(killed, signal.SIGKILL)
    report = reported(driver)
    assert report == indexed_here(tmp_path, images)
    assert_same(tmp_path)
    # Only what the killed worker was at was embedded again.
    lines = told(tmp_path, 0)
    copies = {hashlib.sha256((images / "class 0/000.png").read_bytes()).hexdigest()}
    times = Counter(content for _, content in lines)
    again = {content for content, count in times.items() if count > 1} - copies
    assert 0 < len(again) < COUNT // 3
    assert again <= {content for pid, content in lines if pid == killed}
    assert len({pid for pid, _ in lines}) == 3


def test_the_driver_is_killed_and_finished_shards_are_not_repeated(tmp_path, images, drive):
    driver, shards = drive(0, delay=0.3), tmp_path / "shards"
    wait_until(lambda: len(list(shards.glob("*.parquet"))) > 2, "three shards are written", driver)
    driver.kill()
    driver.communicate()
    assert driver.returncode == -signal.SIGKILL
    workers = {pid for pid, _ in told(tmp_path, 0)}
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers end")
    finished = list(shards.glob("*.parquet"))
    known = {image.hash.hex() for path in finished for image in from_parquet(path.read_bytes()).images}
    assert 0 < len(known) < COUNT

    report = reported(drive(1))
    copies = {hashlib.sha256((images / "class 0/000.png").read_bytes()).hexdigest()}
    assert not (known - copies) & {content for _, content in told(tmp_path, 1)}
    assert report.skipped == indexed_here(tmp_path, images).skipped
    assert_same(tmp_path)

    finished = set(shards.glob("*.parquet"))
    reported(drive(2))
    # Only the broken one is looked at again, unless it has a shard to itself from the second run.
    broken = hashlib.sha256((images / "class 0/broken.png").read_bytes()).hexdigest()
    assert {content for _, content in told(tmp_path, 2)} <= {broken}
    assert len(set(shards.glob("*.parquet")) - finished) == len(told(tmp_path, 2))


def test_an_index_follows_changes_as_without_ray(tmp_path, images, drive):
    indexed_here(tmp_path, images)
    with Index.open(tmp_path / "expected") as index:
        index.store._database.execute("VACUUM INTO ?", (str(tmp_path / "store.sqlite"),))
    (tmp_path / "index").mkdir()
    (tmp_path / "store.sqlite").rename(tmp_path / "index/store.sqlite")
    (images / "class 1/001.png").unlink()
    (images / "class 1/004.png").rename(images / "class 2/moved.png")
    write_image(images / "class 0/new.png", "new")
    write_image(images / "class 0/broken.png", "mended")
    report = reported(drive(0))
    assert report == indexed_here(tmp_path, images)
    assert (report.embedded, report.renamed, report.removed) == (2, 1, 1)
    assert_same(tmp_path)
    assert len(told(tmp_path, 0)) == 3  # also what was renamed: workers know no index


def test_an_error_in_a_worker_is_told(drive):
    driver = drive(0, delay=-1)
    _, errors = driver.communicate()
    assert driver.returncode == 1
    assert "a worker failed (the network is made of wood); finished shards stay" in errors
    assert "Traceback" not in errors
