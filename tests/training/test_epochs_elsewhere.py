"""Each epoch has its own batches, on whichever backend Keras runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deep_ranking.triplets import Triplet, write_triplets

ROOT = Path(__file__).parents[2]

TRAIN = """
import json, sys
import deep_ranking.images.batches as batches
read = []
def batch(self, epoch, index, before=batches.ImageBatches.batch):
    read.append((epoch, index))
    return before(self, epoch, index)
batches.ImageBatches.batch = batch
from deep_ranking.cli import run_command
flags = "--backbone simple --weights none --image_size 32 --embedding_size 8 --epochs 3 --batch_size 12"
assert run_command("train", [*flags.split(), "--quiet", "--json"], "train.py") == 0
print(json.dumps(sorted(set(read))))
"""


@pytest.mark.parametrize("backend", ["jax"])
def test_every_batch_of_every_epoch_is_read(striped_classes, tmp_path, backend):
    """Keras begins a data set without an end anew with each epoch there, as it does not on TensorFlow."""
    pytest.importorskip(backend, reason="needs the extra 'cluster'")
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
    logs, read = map(json.loads, done.stdout.splitlines())
    assert [epoch["epoch"] for epoch in logs["history"]] == [0, 1, 2, 3]
    assert {(epoch, index) for epoch in range(3) for index in range(3)} <= {tuple(pair) for pair in read}
