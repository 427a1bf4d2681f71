"""Figures of the study of batch sizes and learning rates: its cells, and what a search costs."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.analysis.display import kind_of, words
from lib.analysis.display import title as metric_title
from plots.grids import cells_of
from plots.style import (
    COLOURS,
    DARK,
    add_legend,
    add_title,
    bare_grid,
    epoch_axis,
    metric_axis,
    panel_title,
    scale,
    styled,
)


@styled
def search_grid(table: pd.DataFrame, *, rows: str, columns: str, metric: str) -> Figure:
    """A heat map of a score over two fields; the best cell, of equal ones the table's first, is
    framed; a cell without a score says how it ended."""
    across = sorted(table[columns].unique(), key=float)
    down = sorted(table[rows].unique(), key=float)
    cells, values = cells_of(
        table, rows=rows, columns=columns, metric=metric, down=down, across=across
    )
    figure = Figure(figsize=(1.4 + 0.72 * len(across), 1.5 + 0.55 * len(down)))
    ax = figure.subplots()
    low = np.nanquantile(values, 0.1)  # a few failed cells do not take all the colours
    high = np.nanmax(values)
    ax.imshow(values, cmap="Blues", vmin=low, vmax=high, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if (down[y], across[x]) not in cells:
            continue
        text = cells[down[y], across[x]]["outcome"]
        if not np.isnan(value):
            text = f"{100 * value:.1f}" if kind_of(metric) == "share" else f"{value:.3g}"
        colour = "white" if value > low + 0.55 * (high - low) else DARK
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color=colour)
    best = table.loc[table[metric].idxmax()]
    corner = across.index(best[columns]) - 0.5, down.index(best[rows]) - 0.5
    frame = {"fill": False, "edgecolor": COLOURS[1], "linewidth": 2.5, "clip_on": False}
    ax.add_patch(Rectangle(corner, 1, 1, **frame))
    ax.set_xticks(range(len(across)), across)
    ax.set_yticks(range(len(down)), down)
    ax.set_xlabel(words(columns))
    ax.set_ylabel(words(rows))
    bare_grid(ax)
    add_title(figure, f"Best dev {metric_title(metric)} of each cell")
    return figure


@styled
def cell_curves(history: pd.DataFrame, *, panels: str, lines: str, score: str) -> Figure:
    """A dev score by epoch, a panel for each value of one field, a line for each value of
    another, light to dark."""
    values = sorted(history[panels].unique())
    names = sorted(history[lines].unique(), reverse=True)
    palette = scale(names)
    figure = Figure(figsize=(9.6, 3.8))
    axes = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for ax, value in zip(axes, values, strict=True):
        for name in names[::-1]:
            cell = history[(history[panels] == value) & (history[lines] == name)]
            ax.plot(
                cell["epoch"],
                cell[f"dev_{score}"],
                color=palette[name],
                marker="o",
                markersize=3,
                label=f"{name:g}",
            )
        panel_title(ax, f"{words(panels)} {value}")
        epoch_axis(ax)
    axes[0].set_ylabel(f"dev {metric_title(score)}")
    metric_axis(axes[0].yaxis, score)
    add_legend(figure, axes[0])
    add_title(figure, "How the cells learn")
    return figure


@styled
def search_cost(expected: pd.DataFrame, halved: pd.DataFrame, *, metric: str) -> Figure:
    """The expected best dev score by the epochs that a random search trains, and the path of
    successive halving."""
    figure = Figure(figsize=(7.2, 3.6))
    ax = figure.subplots()
    for table, style, colour, name in (
        (expected, "-", COLOURS[0], "random search, expected best"),
        (halved, "o-", COLOURS[1], "successive halving"),
    ):
        ax.plot(table["epochs trained"], table[metric], style, color=colour, label=name)
    ax.set_xlabel("epochs trained")
    ax.set_ylabel(f"best dev {metric_title(metric)}")
    metric_axis(ax.yaxis, metric)
    add_legend(figure, ax)
    add_title(figure, "What a search reaches, by what it trains")
    return figure
