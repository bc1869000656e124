"""Charts drawn by Matplotlib, once for light pages and once for dark ones."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from deep_ranking.styles import colours

WIDTH, HEIGHT, DPI = 4.4, 3.3, 240


@dataclass(frozen=True)
class Ink:
    """Colours that can be told apart on one background, in grey too."""

    paper: str
    text: str
    faint: str
    first: str
    second: str
    cells: str


def _ink(dark: bool, second: str, cells: str) -> Ink:
    names = colours(dark)
    return Ink(names["paper"], names["text"], names["line"], names["first"], second, cells)


LIGHT, DARK = _ink(False, "#bc4c00", "Blues"), _ink(True, "#f0883e", "Blues_r")

Draw = Callable[[Any, Ink], None]


def drawn(draw: Draw, ink: Ink, dpi: int = DPI) -> Image.Image:
    """Return a chart; `draw` gets the axes and the colours."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {
        "font.size": 9,
        "figure.facecolor": ink.paper,
        "axes.facecolor": ink.paper,
        "axes.edgecolor": ink.faint,
        "axes.labelcolor": ink.text,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": ink.text,
        "text.parse_math": False,  # a class may be named $
        "xtick.color": ink.text,
        "ytick.color": ink.text,
        "legend.frameon": False,
    }
    # A class name in a script that the font lacks is drawn as boxes; the page has it in full.
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(WIDTH, HEIGHT), dpi=dpi, layout="constrained")
        draw(figure.add_subplot(), ink)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def curves(log: Mapping[str, Sequence[float]], training: str, validation: str, label: str) -> Draw:
    """Return what draws two columns of a training log over the epochs, as far as they are there."""

    def draw(axes: Any, ink: Ink) -> None:
        ways = ("training", training, ink.first, "-"), ("validation", validation, ink.second, "--")
        for name, column, colour, style in ways:
            if column in log:
                axes.plot(log["epoch"], log[column], f"o{style}", color=colour, markersize=3, label=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color=ink.faint, linewidth=0.5)
        _told(axes, "epoch", label)

    return draw


def histograms(positive: np.ndarray, negative: np.ndarray) -> Draw:
    """Return what draws the distances of positive and negative pairs, (t,) each."""

    def draw(axes: Any, ink: Ink) -> None:
        largest = float(max(positive.max(), negative.max())) or 1.0
        bins = np.linspace(0, largest, 51)
        for distances, name, colour, style in (
            (positive, "positive: same class", ink.first, "-"),
            (negative, "negative: another class", ink.second, "--"),
        ):
            weights = np.full(len(distances), 100 / len(distances))
            axes.hist(distances, bins, weights=weights, color=colour, alpha=0.25)
            line: Any = {"histtype": "step", "color": colour, "linestyle": style, "label": name}
            axes.hist(distances, bins, weights=weights, **line)
        _told(axes, "Euclidean distance to the query", "share of the pairs, %")

    return draw


def _told(axes: Any, x: str, y: str) -> None:
    """Name the axes and the lines, these above the chart, where they hide no data."""
    axes.set(xlabel=x, ylabel=y)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def confusion(names: Sequence[str], shares: np.ndarray) -> Draw:
    """Return what draws a matrix of classes, (n, n) shares, NaN where there is nothing to draw."""
    names = [name if len(name) <= 18 else name[:17] + "\N{HORIZONTAL ELLIPSIS}" for name in names]

    def draw(axes: Any, ink: Ink) -> None:
        most = float(np.nanmax(shares))
        axes.imshow(np.where(shares > 0, shares, np.nan), cmap=ink.cells, vmin=0, vmax=most)
        ticks = range(len(names))
        axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(ticks, names)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set(xlabel="class of the nearest image", ylabel="class of the query")
        for row, column in zip(*np.nonzero(shares > 0), strict=True):
            share = shares[row, column]
            colour = "white" if (share > 0.6 * most) == (ink is LIGHT) else "black"
            text = f"{100 * share:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)

    return draw
