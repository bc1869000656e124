"""What each defect costs, drawn: points with their intervals."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deep_ranking import CHART_COLOURS


def draw(results: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """Draw how many points each way ranks right more than the right way, a column for each table, as a PNG.

    Args:
        results: title -> way -> figures, as `table.compared` gives them.
        path: of the PNG.
    """
    gained = {
        title: {name: row["precision gained"] for name, row in rows.items() if "precision gained" in row}
        for title, rows in results.items()
    }
    names = list(dict.fromkeys(name for rows in gained.values() for name in rows))
    names.sort(key=_is_of_measuring)
    figure = Figure((2.6 + 2.8 * len(gained), 1 + 0.24 * len(names)), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(gained), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (title, rows) in zip(panels, gained.items(), strict=True):
        for name, found in rows.items():
            value, low, high = (100 * found[key] for key in ("value", "low", "high"))
            place = names.index(name)
            colour = CHART_COLOURS.second if _is_of_measuring(name) else CHART_COLOURS.first
            panel.plot((low, high), (place, place), color=colour, linewidth=1.5)
            panel.plot(value, place, "o", color=colour, markersize=4)
        panel.axvline(0, color=CHART_COLOURS.text, linewidth=0.8)
        panel.grid(axis="x", color=CHART_COLOURS.faint, linewidth=0.5)
        panel.set_title(title.replace(", ", "\n"), fontsize=10)
        panel.tick_params(axis="y", length=0)
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.supxlabel("triplets ranked right: points against the right way", fontsize=10)
    figure.savefig(path, format="png")


def _is_of_measuring(name: str) -> bool:
    return name.startswith("measured")
