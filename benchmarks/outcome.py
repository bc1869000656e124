"""How every benchmark reports: a table for people, then one line of JSON for programs."""

import json
import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass
class Outcome:
    """Collects ratios and shares measured in one run.

    Args:
        benchmark: its name.
    """

    benchmark: str
    results: list[dict] = field(default_factory=list)

    def add(self, case: str, metric: str, value: float, goal: float | None = None) -> None:
        """Add a figure; without a goal it is there to be read only. Higher is better."""
        ok = None if goal is None else bool(value >= goal)
        self.results.append({"case": case, "metric": metric, "value": value, "goal": goal, "ok": ok})

    def show(self) -> None:
        """Print all of it."""
        rows = [("case", "metric", "value", "goal", "")]
        for result in self.results:
            goal = "" if result["goal"] is None else f"{result['goal']:g}"
            mark = {True: "reached", False: "MISSED", None: ""}[result["ok"]]
            rows.append((result["case"], result["metric"], f"{result['value']:,.3g}", goal, mark))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        for row in rows:
            cells = [
                cell.rjust(w) if i in (2, 3) else cell.ljust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            print("  ".join(cells).rstrip())
        print_json(self.benchmark, self.results)


def print_json(benchmark: str, results: list[dict]) -> None:
    """Print the last line: what was measured, and on what."""
    print(json.dumps({"benchmark": benchmark, "machine": machine(), "results": results}))


def machine() -> dict[str, str | int]:
    """Return the processor, its cores, and the versions of what was measured with."""
    found: dict[str, str | int] = {"processor": platform.processor() or platform.machine()}
    with suppress(OSError):  # only on Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        found["processor"] = next(line for line in lines if "model name" in line).partition(": ")[2]
    found |= {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    if "jax" in sys.modules:
        found["device"] = sys.modules["jax"].devices()[0].device_kind
    for package in ("keras", "tensorflow", "jax", "numpy", "pillow", "simplejpeg", "openvino", "faiss-cpu"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
