"""Times of rivals, taken in turns, and what a process costs."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


def least_seconds(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least seconds of each task over some rounds, in each of which every task runs once.

    What else the machine does only adds time, so the least is nearest to the task's own; in turns, all
    rivals meet the same weather.
    """
    least = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            begin = time.perf_counter()
            task()
            least[name] = min(least[name], time.perf_counter() - begin)
    return least


class Cost(NamedTuple):
    """Of a process: seconds of processor time, its peak memory, and what it said."""

    seconds: float
    megabytes: float
    said: str


def cost(*command: str, fails: bool = False) -> Cost:
    """Run Python with these arguments, to its end, which has to be a failure or none."""
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=errors)
        assert child.stdout is not None
        with child.stdout as said:
            text = said.read().decode()
        _, ended, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(ended)
        if bool(child.returncode) != fails:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)}: {errors.read().decode()}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text)


def cost_so_far(process: int) -> Cost:
    """Return the cost of a process that runs (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    peak = Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]
    ticks = int(fields[11]) + int(fields[12])
    return Cost(ticks / os.sysconf("SC_CLK_TCK"), int(peak) / 1024, "")
