"""Whatever is killed, nothing stands half-written under its name, and the next run ends well."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killing.py")
LIGHT = ["demo", "rate", "reindex", "sample", "sample compressed"]
HEAVIER = ["export", "report"]  # they import more, each time


def kill_again_and_again(task, folder, times, seed):
    process = subprocess.run(
        [sys.executable, SCRIPT, task, folder, str(times), str(seed)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert process.returncode == 0, process.stderr
    told = json.loads(process.stdout.splitlines()[-1])
    assert told["killed"] >= times // 3, told
    assert told["acknowledged"] or task not in ("rate", "reindex"), told
    return told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize("task", [*LIGHT, *(pytest.param(task, marks=pytest.mark.long) for task in HEAVIER)])
def test_killed_before_random_lines(task, tmp_path):
    kill_again_and_again(task, tmp_path, times=6, seed=0)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", [*LIGHT, *HEAVIER, "train"])
def test_killed_a_hundred_times(task, tmp_path):
    kill_again_and_again(task, tmp_path, times=100, seed=1)


@pytest.mark.long
def test_training_killed_a_few_times_ends_with_the_same_weights(tmp_path):
    kill_again_and_again("train", tmp_path, times=4, seed=2)
