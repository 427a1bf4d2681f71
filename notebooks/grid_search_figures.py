"""Figures of the study of batch sizes and learning rates: its cells, and what a search costs."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.analysis.display import title as metric_title
from lib.analysis.display import words
from plots.grids import heat_map, title_with_unit
from plots.style import COLOURS, GREY, WIDTH, add_legend, add_title, epoch_axis, metric_axis, styled

MOST_COLUMNS = 6  # for which a figure of the usual width has room
QUANTILES = {"best": 1.0, "upper quarter": 0.75, "median": 0.5, "lower quarter": 0.25}


@styled
def search_grid(table: pd.DataFrame, *, rows: str, columns: str, metric: str) -> Figure:
    """A heat map of a score over two fields; the best cell, of equal ones the table's first, is
    framed; a cell without a score says how it ended."""
    down = sorted(table[rows].unique(), key=float, reverse=True)
    across = sorted(table[columns].unique(), key=float)
    figure = Figure(figsize=(WIDTH * max(1.0, len(across) / MOST_COLUMNS), 1.5 + 0.38 * len(down)))
    ax = figure.subplots()
    heat_map(
        ax,
        table,
        rows=(rows, down),
        columns=(columns, across),
        metric=metric,
        write=_written_cell,
        low=float(np.nanquantile(table[metric], 0.1)),  # a few failed cells do not take all colours
    )
    best = table.loc[table[metric].idxmax()]
    corner = across.index(best[columns]) - 0.5, down.index(best[rows]) - 0.5
    frame = {"fill": False, "edgecolor": COLOURS[1], "linewidth": 2.5, "clip_on": False}
    ax.add_patch(Rectangle(corner, 1, 1, **frame))
    ax.set_xlabel(words(columns))
    ax.set_ylabel(words(rows))
    add_title(figure, f"Best dev {title_with_unit(metric)} of each cell")
    return figure


def _written_cell(cell: dict, text: str) -> str:
    return cell["outcome"] if text == "–" else text


@styled
def cell_curves(history: pd.DataFrame, *, score: str, constant: float | None) -> Figure:
    """Quantiles over all cells of a dev score by epoch, and what one class for every document
    scores."""
    figure = Figure(figsize=(WIDTH, 3.8))
    ax = figure.subplots()
    of_epoch = history.groupby("epoch")[f"dev_{score}"]
    for (name, share), colour in zip(QUANTILES.items(), COLOURS, strict=False):
        line = of_epoch.quantile(share)
        ax.plot(line.index, line, color=colour, marker="o", label=name)
    if constant is not None:
        ax.axhline(constant, color=GREY, linewidth=1.5, label="one class")
    epoch_axis(ax)
    ax.set_ylabel(f"dev {metric_title(score)}")
    metric_axis(ax.yaxis, score)
    add_legend(figure, ax)
    add_title(figure, f"How {history['run'].nunique()} cells learn")
    return figure


@styled
def search_cost(expected: pd.DataFrame, halved: pd.DataFrame, *, metric: str) -> Figure:
    """The expected best dev score by the epochs that a random search trains, and the path of
    successive halving."""
    figure = Figure(figsize=(WIDTH, 3.8))
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
