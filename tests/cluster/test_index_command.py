"""`deep-ranking index --ray`, with a network."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_until

from deep_ranking.cli import run_command
from deep_ranking.images.find import find_images
from deep_ranking.network.file import save_network
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.search import Index

pytest.importorskip("ray", reason="needs the extra 'cluster'")


@pytest.fixture
def model(tmp_path):
    import keras

    keras.utils.set_random_seed(1)
    settings = NetworkSettings("simple", image_size=32, embedding_size=16)
    save_network(build_network(settings), tmp_path / "model.h5", {})
    return tmp_path / "model.h5"


@pytest.fixture
def index(tmp_path, environment, model):
    """Give a function that starts the command; its report comes as JSON."""

    def index(images, name, *flags):
        command = [sys.executable, "-m", "deep_ranking", "index", "--model", model, "--images", images]
        return subprocess.Popen(
            [*map(str, command), "--index", str(tmp_path / name), "--json", "--quiet", *map(str, flags)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tmp_path,
        )

    return index


def reported(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output)


def assert_same(tmp_path, count):
    with Index.open(tmp_path / "there") as found, Index.open(tmp_path / "here") as expected:
        assert len(expected.snapshot.images) == count
        assert found.snapshot.images == expected.snapshot.images
        np.testing.assert_allclose(found.snapshot.matrix, expected.snapshot.matrix, atol=1e-5)
        assert found.metadata["fingerprint"] == expected.metadata["fingerprint"]


def workers_of(holder):
    """Return the processes of Ray's workers that embed, below the one that holds Ray; not their children."""
    parents, workers = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if b"ShardEmbedder" in (folder / "cmdline").read_bytes():
                workers.append(int(folder.name))
        except OSError:  # it has ended
            continue

    def below(pid):
        return pid == holder or (pid in parents and below(parents[pid]))

    return {pid for pid in workers if parents[pid] not in workers and below(pid)}


@pytest.mark.long
def test_the_command_gives_the_index_of_one_process(tmp_path, striped_classes, index, ray_address):
    (striped_classes / "across/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing more")
    here = reported(index(striped_classes, "here"))
    there = reported(
        index(striped_classes, "there", "--ray", ray_address, "--ray_workers", 2, "--shard_size", 4)
    )
    assert {**there, "index": here["index"]} == here
    assert list(here["skipped"]) == ["across/broken.png"]
    assert_same(tmp_path, 18)


def test_what_an_index_cannot_take_is_refused(tmp_path, striped_classes, model, monkeypatch, capsys):
    """Vectors of another network."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("deep_ranking.extras.ray.ray_cluster.join_cluster", lambda address: None)
    with Index.create(tmp_path / "other", 16, "other") as index:
        index.add(["a.tar/1.png"], [[0] * 16])
    command = ["--index", str(tmp_path / "other"), "--model", str(model), "--images", str(striped_classes)]
    assert run_command("index", [*command, "--ray", "local"], "index") == 1
    assert "made with the model other" in capsys.readouterr().err


@pytest.mark.long
def test_ten_thousand_photographs_and_a_killed_worker(tmp_path, shared, index, ray_holder):
    with zipfile.ZipFile(shared / "data/tiny-imagenet-200-subset.zip") as archive:
        names = [name for name in archive.namelist() if "/val/images/" in name and name.endswith(".JPEG")]
        archive.extractall(tmp_path, names)
    images, shards = tmp_path / "tiny-imagenet-200/val/images", tmp_path / "there/shards"
    assert len(find_images(images)) == 10_000
    earlier = workers_of(ray_holder[0])  # of another test; they may not have ended yet
    process = index(images, "there", "--ray", ray_holder[1], "--ray_workers", 2, "--shard_size", 256)
    wait_until(lambda: len(list(shards.glob("*.parquet"))) >= 5, "five shards are written", process)
    ours = workers_of(ray_holder[0]) - earlier
    assert len(ours) == 2
    os.kill(min(ours), signal.SIGKILL)
    assert len(list(shards.glob("*.parquet"))) < 30
    there, here = reported(process), reported(index(images, "here"))
    assert {**there, "index": here["index"]} == here
    assert_same(tmp_path, 10_000)
