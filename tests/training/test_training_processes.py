"""Two processes that train together end with the weights of one."""

import csv
import itertools
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from deep_ranking.network.file import load_network
from deep_ranking.triplets import Triplet, write_triplets

FLAGS = """--backbone simple --weights none --image_size 32 --embedding_size 8 --dropout 0
--augmentation none --batch_size 12 --triplets triplets.txt --quiet"""


@pytest.fixture
def triplets(striped_classes):
    """35 triplets: nine batches of four, of which the last has three, so one is left out by two processes."""
    pairs = itertools.cycle(itertools.permutations(range(6), 2))
    classes = itertools.cycle(itertools.permutations(["across", "down", "slant"], 2))
    some = [
        Triplet(f"{own}/{q}.png", f"{own}/{p}.png", f"{other}/{p}.png")
        for (q, p), (own, other), _ in zip(pairs, classes, range(35), strict=False)
    ]
    write_triplets(striped_classes.parent / "triplets.txt", some[:34])
    write_triplets(striped_classes.parent / "35.txt", some)


def weights(path):
    return load_network(path)[0].get_weights()


@pytest.mark.usefixtures("triplets")
def test_two_processes_end_with_the_weights_of_one(run, tmp_path):
    if keras.backend.backend() != "jax":
        pytest.skip("a minute of JAX: run by `make test-jax`")
    common = [*FLAGS.split(), "--epochs", "1", "--validation_triplets", "35.txt"]
    for processes in (1, 2):
        ended = run("train.py", *common, "--processes", processes, "--model", f"{processes}.h5")
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith(f"{processes}.h5: 1 epoch over"), ended.stdout  # and nothing of Gloo's
        assert ended.stdout.count(f"{processes}.h5: 1 epoch over") == 1
    one, two = weights(tmp_path / "1.h5"), weights(tmp_path / "2.h5")
    for single, shared in zip(one, two, strict=True):
        np.testing.assert_allclose(shared, single, rtol=0, atol=2e-6)
    biases = [array for array in one if array.ndim == 1]  # they began at 0
    assert max(np.abs(array).max() for array in biases) > 1e-3
    logs = [list(csv.DictReader((tmp_path / f"{n}.csv").read_text().splitlines())) for n in (1, 2)]
    for name in ("loss", "val_loss", "positive_distance", "similarity_precision", "val_similarity_precision"):
        np.testing.assert_allclose(*(float(rows[-1][name]) for rows in logs), rtol=1e-4)


MIRRORED = """
import sys
import tensorflow as tf
devices = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
from deep_ranking.cli import run_command
sys.exit(run_command("train", sys.argv[2:], "train.py"))
"""


@pytest.mark.usefixtures("triplets")
@pytest.mark.long
def test_two_devices_of_tensorflow_end_with_the_weights_of_one(tmp_path, monkeypatch):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own: run by `make test`")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for devices in (1, 2):
        common = [*FLAGS.split(), "--epochs", "1", "--validation_triplets", "35.txt", "--processes", "1"]
        command = [sys.executable, "-c", MIRRORED, str(devices), *common, "--model", f"{devices}.h5"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for single, shared in zip(weights(tmp_path / "1.h5"), weights(tmp_path / "2.h5"), strict=True):
        np.testing.assert_allclose(shared, single, rtol=0, atol=2e-6)
