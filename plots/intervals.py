"""Figures of scores with their 95 % intervals."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.comparisons import SIGNIFICANT
from lib.analysis.display import axis_label, score
from plots.style import (
    COLOURS,
    add_legend,
    add_title,
    colours,
    literal,
    metric_axis,
    styled,
)


def dots(ax, places, table: pd.DataFrame, metric: str, colour: str, name: str) -> None:
    """A dot for each row of a table, and a bar for its interval."""
    low = table[f"{metric}_low"]
    high = table[f"{metric}_high"]
    ax.vlines(places, low, high, color=colour, linewidth=3, alpha=0.45)
    ax.plot(places, table[metric], "o", color=colour, label=name)
    ax.grid(axis="x", visible=False)
    metric_axis(ax.yaxis, metric)


def grouped_dots(
    ax, table: pd.DataFrame, metric: str, *, by: str, within: str, step: float = 0.13
) -> list[str]:
    """The groups side by side at each value of `within`; returns these values."""
    names = list(dict.fromkeys(table[by]))
    values = list(dict.fromkeys(table[within]))
    for i, (name, colour) in enumerate(colours(names).items()):
        of_group = table[table[by] == name].set_index(within).loc[values]
        places = np.arange(len(values)) + (i - (len(names) - 1) / 2) * step
        dots(ax, places, of_group, metric, colour, name)
    return values


def interval_rows(ax, table: pd.DataFrame, by: str, metric: str, names: list[str]):
    """Dots with 95 % intervals, a row each from above, in a colour for each of `by`; hollow
    where the table says that it is not significant. Gives each row's place and colour."""
    palette = colours(table[by])
    rows = table.to_dict("records")
    places = list(range(len(rows)))[::-1]
    drawn = [(place, row, palette[row[by]]) for place, row in zip(places, rows, strict=True)]
    for place, row, colour in drawn:
        bounds = [row[f"{metric}_low"], row[f"{metric}_high"]]
        ax.plot(bounds, [place, place], color=colour, linewidth=3, alpha=0.45)
        inside = colour if row.get("verdict", SIGNIFICANT) == SIGNIFICANT else "white"
        ax.plot(row[metric], place, "o", color=colour, markersize=8, markerfacecolor=inside)
    ax.set_yticks(places, names)
    ax.set_ylim(-0.6, len(table) - 0.3)
    ax.grid(axis="y", visible=False)
    return drawn


@styled
def score_intervals(table: pd.DataFrame, *, by: str, metric: str, title: str) -> Figure:
    """Dots with 95 % intervals, a row a group; references are grey."""
    figure = Figure(figsize=(7.2, 0.9 + 0.42 * len(table)))
    ax = figure.subplots()
    names = [f"{row[by]} (n = {row['seeds']})" for row in table.to_dict("records")]
    for place, row, colour in interval_rows(ax, table, by, metric, names):
        ax.annotate(
            score(row[metric], metric),
            (row[metric], place),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=colour,
        )
    metric_axis(ax.xaxis, metric)
    ax.set_xlabel(axis_label(metric))
    add_title(figure, title)
    return figure


@styled
def class_intervals(
    table: pd.DataFrame, *, by: str, metric: str, title: str, within: str = "class", text: str = ""
) -> Figure:
    """A score with its 95 % interval, the groups side by side within each class, or another
    column's values."""
    figure = Figure(figsize=(7.2, 3.6))
    ax = figure.subplots()
    values = grouped_dots(ax, table, metric, by=by, within=within)
    ax.set_xticks(range(len(values)), map(literal, values))
    ax.set_xlabel(text)
    ax.set_ylabel(axis_label(metric))
    add_legend(figure, ax)
    add_title(figure, title)
    return figure


@styled
def speeds(table: pd.DataFrame, *, versus: str, title: str) -> Figure:
    """Documents a second with intervals, a bar a configuration; beside it the ratio (middle,
    low, high) in `versus`."""
    figure = Figure(figsize=(7.2, 1.0 + 0.38 * len(table)))
    ax = figure.subplots()
    places = np.arange(len(table))[::-1]
    speed = table["samples_per_second"]
    low = table["samples_per_second_low"]
    high = table["samples_per_second_high"]
    ax.barh(
        places,
        speed,
        xerr=[speed - low, high - speed],
        height=0.62,
        color=[COLOURS[0] if by == "ours" else COLOURS[1] for by in table["by"]],
        error_kw={"linewidth": 1.2, "ecolor": "#333333"},
    )
    for place, end, ratio in zip(places, high, table[versus], strict=True):
        ax.annotate(
            f"{ratio[0]:.1f}×",
            (end, place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.set_yticks(places, table["configuration"])
    ax.set_xlim(0, 1.12 * high.max())
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"documents a second, with 95 % interval; {versus} beside the bars")
    add_title(figure, title)
    return figure
