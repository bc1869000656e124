"""How every benchmark reports: a table for people, then one line of JSON for programs."""

import json
from dataclasses import dataclass, field


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
        print(json.dumps({"benchmark": self.benchmark, "results": self.results}))
