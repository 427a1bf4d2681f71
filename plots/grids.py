"""Figures of cells: confusions, and heat maps of a grid."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lib.analysis.display import percent
from lib.analysis.display import title as metric_title
from lib.analysis.numbers import kind_of, number
from plots.style import SMALLEST, WIDTH, add_title, bare_grid, literal, metric_axis, styled

NAME_WIDTH = 18  # characters of a class's name
FEW = 8  # classes whose every cell has room for a share


def luminance(colour) -> float:
    """The relative luminance of a colour, from 0 (black) to 1 (white): WCAG 2.1."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other) -> float:
    """The contrast ratio of two colours, from 1 to 21: WCAG 2.1."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def readable_on(colour) -> str:
    """Black or white, whichever is the easier to read on a colour: at least 4.5 to 1."""
    return max(("black", "white"), key=lambda text: contrast(text, colour))


def title_with_unit(metric: str) -> str:
    """A metric as the title of a grid names it, whose cells have its numbers alone."""
    return metric_title(metric) + (" (%)" if kind_of(metric) == "share" else "")


@styled
def confusion_matrix(table: pd.DataFrame, *, title: str) -> Figure:
    """Shares of each gold class (rows), the counts beside them; `table` from
    `lib.analysis.classes.confusion_table`, with the classes as index and columns."""
    names = [literal(name, NAME_WIDTH) for name in table.columns]
    side = max(1.0, 0.11 * len(names))
    longest = max(map(len, names))
    figure = Figure(figsize=(WIDTH * side, 4.0 * side + 0.03 * longest))
    ax = figure.subplots()
    counts = table.to_numpy(dtype=float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{counts[i, j]:,.0f}" if counts[i, j] or len(names) <= FEW else ""
        if len(names) <= FEW:
            text = f"{percent(share, 0)}\n{text}"
        colour = readable_on(image.to_rgba(share))
        ax.text(j, i, text, ha="center", va="center", fontsize=SMALLEST, color=colour)
    if len(names) * longest > 40 * side:  # characters, which would run into each other
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    else:
        ax.set_xticks(range(len(names)), names, rotation=0, ha="center")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("predicted")
    ax.set_ylabel("gold")
    bare_grid(ax)
    add_title(figure, title)
    return figure


def colour_bar(ax, metric: str) -> None:
    """What the colours of a heat map say, below it."""
    bar = ax.figure.colorbar(ax.images[0], ax=ax, location="bottom", aspect=40, pad=0.02)
    bar.outline.set_visible(False)
    metric_axis(bar.ax.xaxis, metric)


def heat_map(
    ax,
    table: pd.DataFrame,
    *,
    rows: tuple[str, list],
    columns: tuple[str, list],
    metric: str,
    write: Callable[[dict, str], str],
    low: float,
) -> dict:
    """A metric over two fields, each with its values in order, in colours from `low` up.

    `write` gives a cell's text from its row of the table and its score's. Returns the rows of the
    table by their place (row, column).
    """
    (down, down_values), (across, across_values) = rows, columns
    cells = {
        (down_values.index(row[down]), across_values.index(row[across])): row
        for row in table.to_dict("records")
    }
    values = np.full((len(down_values), len(across_values)), np.nan)
    for place, row in cells.items():
        values[place] = row[metric]
    high = np.nanmax(values)
    image = ax.imshow(values, cmap="Blues", vmin=low, vmax=high, aspect="auto")
    for (y, x), row in cells.items():
        value = values[y, x]
        text = write(row, "–" if np.isnan(value) else number(value, metric))
        colour = "black" if np.isnan(value) else readable_on(image.to_rgba(value))
        ax.text(x, y, text, ha="center", va="center", fontsize=SMALLEST, color=colour)
    ax.set_xticks(range(len(across_values)), across_values)
    ax.set_yticks(range(len(down_values)), down_values)
    bare_grid(ax)
    return cells
