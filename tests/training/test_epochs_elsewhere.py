"""Each epoch has its own batches, on whichever backend Keras runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from deep_ranking.triplets import Triplet, write_triplets

ROOT = Path(__file__).parents[2]

TRAIN = """
import keras
import deep_ranking.images.batches as batches
import deep_ranking.training.model as model
def batch(self, epoch, index, before=batches.ImageBatches.batch):
    inputs, targets = before(self, epoch, index)
    return inputs, targets + 4.0 ** (epoch * len(self) + index)
batches.ImageBatches.batch = batch
def metrics(gap, distance, before=model.ranking_metrics):
    return [*before(gap, distance), keras.metrics.MeanMetricWrapper(lambda y, _: y, name="steps")]
model.ranking_metrics = metrics
from deep_ranking.cli import run_command
flags = "--backbone simple --weights none --image_size 32 --embedding_size 8 --epochs 3 --batch_size 12"
assert run_command("train", [*flags.split(), "--quiet", "--json"], "train.py") == 0
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_each_epoch_trains_on_its_own_batches(striped_classes, tmp_path, backend):
    """A batch's targets, which the loss does not read, are a power of four by its step: an epoch's mean of
    them tells which batches it was trained on, and how often.
    """
    pytest.importorskip(backend, reason="of an extra, or not installed")
    if keras.backend.backend() != "jax":
        pytest.skip("half a minute of another backend: run by `make test-jax`")
    names = [f"{name}/{number}.png" for number in range(6) for name in ("across", "down")]
    triplets = (Triplet(names[i], names[(i + 2) % 12], names[(i + 1) % 12]) for i in range(12))
    write_triplets(tmp_path / "triplets.txt", triplets)
    done = subprocess.run(
        [sys.executable, "-c", TRAIN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    before, *history = json.loads(done.stdout)["history"]
    assert [epoch["epoch"] for epoch in (before, *history)] == [0, 1, 2, 3]
    steps = [[3 * epoch + index for index in range(3)] for epoch in range(3)]
    assert [epoch["steps"] * 3 for epoch in history] == [sum(4**step for step in own) for own in steps]
