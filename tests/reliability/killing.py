"""Run by the tests as a process of its own: `python killing.py TASK FOLDER TIMES SEED`.

Does a task again and again, each time in a child that is killed before a random line of the package, counted
over all its threads; after each kill it looks at what is there, and at last lets the task end. What a kill
leaves is there for the next, as in life. Prints how many children were killed before they had ended.
"""

import importlib
import itertools
import json
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tasks import TASKS, Task

PACKAGE = str(Path(__file__).parents[2] / "deep_ranking")


def in_child(work: Callable[[], object]) -> tuple[int, bytes]:
    """Do the work in a forked process; return how it ended, and what it wrote to file 3."""
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.close(reader)
            os.dup2(writer, 3)
            work()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), told


def counting(work: Callable[[], object], last: float) -> int:
    """Do the work and return the lines of the package that ran; killed before line number `last`."""
    lines = itertools.count()
    reached = 0

    def each_line(frame, event, argument):
        nonlocal reached
        if event == "line":
            reached = next(lines)
            if reached >= last:
                os.kill(os.getpid(), signal.SIGKILL)
        return each_line

    def each_call(frame, event, argument):
        return each_line if frame.f_code.co_filename.startswith(PACKAGE) else None

    threading.settrace(each_call)
    sys.settrace(each_call)
    work()
    sys.settrace(None)
    return reached


def main(name: str, folder: str, times: str, seed: str) -> None:
    task: Task = TASKS[name](Path(folder))
    chance = random.Random(int(seed))
    task.prepare()
    for module in task.modules:
        importlib.import_module(module)

    def sound(work: Callable[[], object]) -> bytes:
        status, told = in_child(work)
        if status:
            sys.exit(f"{name}: ended with {status}")
        return told

    whole = sound(lambda: os.write(3, str(counting(lambda: task.work(0), float("inf"))).encode()))
    total = int(whole.splitlines()[-1])
    sound(lambda: task.finished(0))
    task.clear()
    killed, acknowledged = 0, set()
    slices = chance.sample(
        range(int(times)), int(times)
    )  # early and late, else what is acknowledged is not tested
    for attempt, part in enumerate(slices, start=1):
        last = int((part + chance.random()) / int(times) * total)
        status, told = in_child(lambda last=last, attempt=attempt: counting(lambda: task.work(attempt), last))
        if status not in (0, -signal.SIGKILL):
            sys.exit(f"{name}: attempt {attempt} ended with {status}")
        killed += status == -signal.SIGKILL
        acknowledged |= set(told.decode().split("\n")[:-1])
        sound(partial(task.check, acknowledged))
        if status == 0:  # it had ended before that line
            sound(partial(task.finished, attempt))
    sound(lambda: task.work(int(times) + 1))
    sound(lambda: task.finished(int(times) + 1))
    print(json.dumps({"killed": killed, "lines": total, "acknowledged": len(acknowledged)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
