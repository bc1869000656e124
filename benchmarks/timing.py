"""Times of rivals, taken in turns."""

import time
from collections.abc import Callable, Mapping


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
