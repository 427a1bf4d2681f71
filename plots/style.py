"""What every figure looks like: style, colours, titles, legends, axes."""

import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from lib.analysis.display import kind_of, share_tick, spelled
from lib.markdown import visible
from lib.references.baselines import NAMES
from plots.fonts import drawable, give_fonts

STYLE = Path(__file__).with_name("style.mplstyle")
# Okabe and Ito's palette, safe for colour-blind readers; a method keeps its place across a study
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#767676"
WIDTH = 4.6  # inches of a figure: its text is read on a phone, too
SMALLEST = 10  # points of its text
MOST_LINES = 6  # in a panel
DARK = "#222222"  # text in a pale cell
LONGEST = 40  # characters of a name in a figure
REFERENCES = tuple(NAMES.values())  # grey: not trained here


def styled(make: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in this project's style without touching matplotlib's global state; `runs` of the
    figure are the keys of the runs that its tables were made from."""

    @wraps(make)
    def inside(*arguments, **options):
        with matplotlib.style.context(STYLE):
            figure = make(*arguments, **options)
            figure.set_linewidth(1)  # a frame, which a white picture wants on a dark page
            draw_literally(figure)
        keys = []
        for value in (*arguments, *options.values()):
            if isinstance(value, pd.DataFrame):
                keys += _runs_of(value)
        figure.runs = list(dict.fromkeys(keys))
        return figure

    return inside


def _runs_of(table: pd.DataFrame) -> list[str]:
    """The keys of the runs that a table was made from."""
    if "run" in table and "run" not in table.attrs.get("literal", ()):
        return table["run"].unique().tolist()
    return table.attrs.get("runs", [])


def colours(names) -> dict[str, str]:
    """A colour for each name, in order; grey for references."""
    names = list(dict.fromkeys(names))
    trained = [name for name in names if name not in REFERENCES]
    return {
        name: COLOURS[trained.index(name) % len(COLOURS)] if name in trained else GREY
        for name in names
    }


def scale(names) -> dict:
    """Colours for values in an order, dark to light."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(names)))
    return dict(zip(names, shades, strict=True))


def literal(name: str, longest: int = LONGEST) -> str:
    """A name of the user's data as a figure has room for it: on one line, its middle left out
    where it is long."""
    name = drawable(visible(name))
    start = 2 * longest // 3
    return name if len(name) <= longest else f"{name[:start]}…{name[start + 1 - longest :]}"


def draw_literally(figure: Figure) -> None:
    """Have all text drawn as it is written: a name is no mathematics, whatever dollars it has.

    Only the numbers along a logarithmic axis are set as powers.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]:
        ticks = axis.get_major_ticks(len(axis.get_majorticklocs()))
        ticks += axis.get_minor_ticks(len(axis.get_minorticklocs()))
        for tick in ticks:
            for label in (tick.label1, tick.label2):
                label.set_parse_math(axis.get_scale() == "log")
    give_fonts(figure.findobj(Text))


def add_title(figure: Figure, text: str) -> None:
    """A title at the left, on as many lines as the figure's width asks for."""
    most = int(11 * figure.get_figwidth())  # characters
    title = textwrap.fill(text, most)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold")


def write_beside(ax, text: str, place: tuple, offset: tuple, *, va: str = "center", **look):
    """Write a text so many points (x, y) from a place of a figure; returns the text."""
    look |= {"va": va, "textcoords": "offset points", "fontsize": SMALLEST}
    return ax.annotate(text, place, offset, **look)


def panel_title(ax, text: str) -> None:
    ax.set_title(text, fontweight="normal", fontsize=10)


def add_legend(figure: Figure, ax) -> None:
    """One legend below the figure, where it hides nothing; in as many rows as its width asks
    for."""
    handles, names = ax.get_legend_handles_labels()
    names = [spelled(name) for name in names]
    longest = max(0.6 + 0.085 * len(name) for name in names)  # inches
    columns = max(1, int(figure.get_figwidth() / longest))
    figure.legend(handles, names, loc="outside lower center", ncols=min(columns, len(names)))


def metric_axis(axis, metric: str = "share", *, most: int | None = None) -> None:
    """Ticks in percent, if the metric is a share: whole where they can be, and with at most so many
    steps between them that their labels do not meet; by default few on a horizontal axis."""
    if kind_of(metric) == "share":
        most = most or (5 if axis.axis_name == "x" else 8)
        axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10], min_n_ticks=3))
        axis.set_major_formatter(share_tick)


def log_axis(axis, multiples: tuple[int, ...] = (1, 3)) -> None:
    """Ticks of a logarithmic axis at these multiples of the powers of ten, as plain numbers: the
    exponents of powers would be too small to read."""
    axis.set_major_locator(LogLocator(subs=multiples))
    axis.set_major_formatter(plain_tick)
    axis.set_minor_formatter(NullFormatter())


def plain_tick(value: float, _position=None) -> str:
    """A positive number at a tick: `1e-5`, `0.001`, `2,000`."""
    text = f"{value:,g}" if value >= 0.001 else f"{value:.0e}"
    return text.replace("e-0", "e-")


def epoch_axis(ax) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")


def bare_grid(ax) -> None:
    """No lines and no frame around a grid of cells."""
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
