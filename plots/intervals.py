"""Figures of scores with their 95 % intervals."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import axis_label, score
from lib.analysis.display import title as metric_title
from plots.style import (
    COLOURS,
    GREY,
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


def _rows(ax, table: pd.DataFrame, by: str, metric: str, names: list[str]):
    """Dots with 95 % intervals, a row each from above, in a colour for each of `by`; hollow
    where the table says that it does not stand. Gives each row's place and colour."""
    palette = colours(table[by])
    rows = table.to_dict("records")
    places = list(range(len(rows)))[::-1]
    drawn = [(place, row, palette[row[by]]) for place, row in zip(places, rows, strict=True)]
    for place, row, colour in drawn:
        bounds = [row[f"{metric}_low"], row[f"{metric}_high"]]
        ax.plot(bounds, [place, place], color=colour, linewidth=3, alpha=0.45)
        inside = colour if row.get("stands", "yes") == "yes" else "white"
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
    for place, row, colour in _rows(ax, table, by, metric, names):
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
def effect_intervals(
    table: pd.DataFrame, *, by: str, within: str, metric: str, title: str
) -> Figure:
    """Differences of a score with 95 % intervals, a row each, in a colour for each of `by`;
    those that do not stand are hollow. `table` has the columns of
    `lib.analysis.comparisons.differences`, and names each row by `by` and `within`."""
    figure = Figure(figsize=(9.6, 1.1 + 0.36 * len(table)))
    ax = figure.subplots()
    names = [f"{row[by]}: {row[within]}" for row in table.to_dict("records")]
    _rows(ax, table, by, metric, names)
    ax.axvline(0, color=GREY, linewidth=1, zorder=1)
    ax.xaxis.set_major_formatter(
        lambda value, _: f"{100 * value:+.0f}".replace("-", "−").replace("+0", "0")
    )
    ax.set_xlabel(f"difference of test {metric_title(metric)} in points, with 95 % interval")
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
def averages(table: pd.DataFrame, *, title: str) -> Figure:
    """Micro and macro F1 of the same predictions, by majority class; `table` from
    `lib.analysis.classes.imbalance`."""
    figure = Figure(figsize=(7.2, 3.4))
    ax = figure.subplots()
    places = np.arange(len(table))
    for shift, metric, colour in ((-0.08, "micro_f1", COLOURS[3]), (0.08, "macro_f1", COLOURS[6])):
        dots(ax, places + shift, table, metric, colour, metric_title(metric))
    ax.set_xticks(places, table["majority class"].map(literal))
    ax.set_xlabel("class made the majority")
    ax.set_ylabel("score, with 95 % interval")
    add_legend(figure, ax)
    add_title(figure, title)
    return figure


@styled
def accuracy_by_length(table: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Accuracy with 95 % intervals by bin of document length; `table` from
    `lib.analysis.tables.by_length`."""
    figure = Figure(figsize=(7.2, 3.8))
    ax = figure.subplots()
    bins = grouped_dots(ax, table, "accuracy", by=by, within="tokens")
    truncated = table.drop_duplicates("tokens").set_index("tokens").loc[bins, "truncated"]
    names = [f"{bin_}\n{share} cut" for bin_, share in zip(bins, truncated, strict=True)]
    ax.set_xticks(range(len(bins)), names)
    ax.set_xlabel("tokens in the document, and the share of documents that are truncated")
    ax.set_ylabel(axis_label("accuracy"))
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
