"""Processes of one command end together, also when the one that started them is killed."""

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import pytest
from waiting import PATIENCE, wait_until

from deep_ranking.cli.train import run_processes
from deep_ranking.errors import DeepRankingError


def work(args):
    """Note the process; the last one fails if told so, the others would go on for an hour."""
    (Path(args.folder) / str(args.process)).write_text(f"{os.getpid()} {args.coordinator}")
    if args.fails and args.process == args.processes - 1:
        raise DeepRankingError("no more")
    time.sleep(3600 if args.waits else 0)


def test_each_is_told_its_number_and_one_place_to_meet(tmp_path):
    run_processes(work, Namespace(processes=3, folder=tmp_path, fails=False, waits=False))
    noted = [(tmp_path / str(number)).read_text().split() for number in range(3)]
    assert len({pid for pid, _ in noted}) == 3
    assert len({place for _, place in noted}) == 1


def test_one_that_fails_ends_the_others(tmp_path, capfd):
    begun = time.monotonic()
    with pytest.raises(DeepRankingError, match="a process failed"):
        run_processes(work, Namespace(processes=2, folder=tmp_path, fails=True, waits=True))
    assert time.monotonic() - begun < PATIENCE
    assert "process 1: error: no more" in capfd.readouterr().err


PARENT = """
import sys
from argparse import Namespace
from test_together import work
from deep_ranking.cli.train import run_processes
if __name__ == "__main__":
    run_processes(work, Namespace(processes=2, folder=sys.argv[1], fails=False, waits=True))
"""


def test_none_outlives_a_parent_that_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [here, here.parent, here.parents[1]])),
    }
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", tmp_path], env=environment)
    notes = [tmp_path / "0", tmp_path / "1"]
    wait_until(lambda: all(note.exists() and note.read_text() for note in notes), "both work", parent)
    parent.kill()
    assert parent.wait() == -signal.SIGKILL
    places = [Path(f"/proc/{note.read_text().split()[0]}") for note in notes]
    wait_until(lambda: not any(place.exists() for place in places), "both end")
