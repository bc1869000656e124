"""Every benchmark runs, and its last line is the JSON that programs read; the times are not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("*.py") if "from scale import" in path.read_text("utf-8")
)
QUICKEST = {"online_sampler"}


@pytest.mark.parametrize(
    "script", [name if name in QUICKEST else pytest.param(name, marks=pytest.mark.long) for name in SCRIPTS]
)
def test_a_benchmark_runs_and_reports(script):
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", "--tiny"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["benchmark"] == script
    assert last["results"]
    for result in last["results"]:
        assert set(result) == {"case", "metric", "value", "goal", "ok"}
        assert result["value"] > 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_results_are_kept(script):
    kept = json.loads((ROOT / "benchmarks/results" / f"{script}.json").read_text("utf-8"))
    assert kept["benchmark"] == script
    assert kept["results"]
