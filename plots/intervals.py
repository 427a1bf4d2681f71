"""Figures of scores with their 95 % intervals."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.comparisons import SIGNIFICANT
from lib.analysis.display import axis_label, count, score, spelled
from lib.analysis.numbers import number
from lib.metrics import METRICS
from lib.references.baselines import NAMES, NO_MODEL
from plots.style import (
    COLOURS,
    GREY,
    REFERENCES,
    WIDTH,
    add_legend,
    add_title,
    colours,
    literal,
    metric_axis,
    styled,
    write_beside,
)

NAME_WIDTH = 22  # characters on a line of a name beside an axis
BELOW = 0.26  # of a row's height, from a mean to the scores of its seeds
LABEL_ROOM = 0.17  # of the width of the data, at each end: so that values stay off the axis
BESIDE = 8  # points from the end of an interval to its value: off its dot, which may be wider
BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # of a value: no line strikes it


def dots(ax, places, table: pd.DataFrame, metric: str, colour: str, name: str) -> None:
    """A dot for each row of a table, and a bar for its interval."""
    low = table[f"{metric}_low"]
    high = table[f"{metric}_high"]
    ax.vlines(places, low, high, color=colour, linewidth=3, alpha=0.45)
    ax.plot(places, table[metric], "o", color=colour, label=name)
    ax.grid(axis="x", visible=False)
    metric_axis(ax.yaxis, metric)


def interval_rows(
    ax,
    table: pd.DataFrame,
    by: str,
    metric: str,
    names: list[str],
    palette: dict | None = None,
    seeds: dict[str, list[float]] | None = None,
):
    """Dots with 95 % intervals, a row each from above, in a colour for each of `by` (None: in the
    table's order); hollow where the table says that it is not significant. Below, small, the scores
    of the seeds, by `by`. Gives each row's place and colour."""
    palette = palette or colours(table[by])
    rows = table.to_dict("records")
    places = list(range(len(rows)))[::-1]
    drawn = [(place, row, palette[row[by]]) for place, row in zip(places, rows, strict=True)]
    for place, row, colour in drawn:
        bounds = [row[f"{metric}_low"], row[f"{metric}_high"]]
        ax.plot(bounds, [place, place], color=colour, linewidth=3, alpha=0.45)
        inside = colour if row.get("verdict", SIGNIFICANT) == SIGNIFICANT else "white"
        ax.plot(row[metric], place, "o", color=colour, markersize=8, markerfacecolor=inside)
        of_seeds = (seeds or {}).get(row[by], [])
        below = [place - BELOW] * len(of_seeds)
        ax.plot(of_seeds, below, "o", color=colour, markersize=4, alpha=0.5, markeredgewidth=0)
    ax.set_yticks(places, names)
    ax.set_ylim(-0.6, len(table) - 0.3)
    ax.margins(x=LABEL_ROOM)
    ax.grid(axis="y", visible=False)
    return drawn


@styled
def score_intervals(table: pd.DataFrame, *, by: str, metric: str, title: str) -> Figure:
    """Dots with 95 % intervals, a row a group, the best above, each above those of its seeds where
    `table` is that of `lib.analysis.tables.by_group`; references are grey, and a line goes through
    the best of them."""
    worst_last = METRICS[metric].higher_is_better
    palette = colours(table[by])  # before sorting: a group has its colour in all figures of a page
    table = table.sort_values(metric, ascending=not worst_last, kind="stable", ignore_index=True)
    figure = Figure(figsize=(WIDTH, 1.2 + 0.52 * len(table)))
    ax = figure.subplots()
    names = [textwrap.fill(literal(spelled(name)), NAME_WIDTH) for name in table[by]]
    of_seeds = table.attrs.get("seed_scores", {}).get(metric)
    for place, row, colour in interval_rows(ax, table, by, metric, names, palette, of_seeds):
        label_dot(ax, score(row[metric], metric), row[metric], place, colour)
    references = table[table[by].isin({*REFERENCES} - {NAMES[name] for name in NO_MODEL})]
    if len(references):
        ax.axvline(references[metric].iloc[0], color=GREY, linestyle=":", linewidth=1.2, zorder=0)
    metric_axis(ax.xaxis, metric)
    seeds = table["seeds"].max()
    ax.set_xlabel(f"{axis_label(metric)}; {count(seeds, 'seed')}", loc="right")
    add_title(figure, title)
    return figure


def label_dot(ax, text: str, value: float, place: float, colour: str) -> None:
    """A value above its dot, on white: a reference's line passes behind it."""
    write_beside(ax, text, (value, place), (0, 5), va="bottom", ha="center", color=colour, bbox=BOX)


def label_end(ax, row: dict, metric: str, place: float, colour: str) -> None:
    """A score beside the upper end of its interval; nothing where there is none."""
    if np.isnan(row[metric]):
        return
    end = np.nanmax([row[metric], row[f"{metric}_high"]])
    offset = (BESIDE, 0)
    write_beside(ax, number(row[metric], metric), (end, place), offset, color=colour, bbox=BOX)


@styled
def class_intervals(
    table: pd.DataFrame, *, by: str, metric: str, title: str, within: str = "class", text: str = ""
) -> Figure:
    """A score with its 95 % interval, a row a group within each class, or another column's
    values; beside it the score, in percent where it is a share."""
    names = list(dict.fromkeys(table[by]))
    values = list(dict.fromkeys(table[within]))
    step = 0.8 / max(len(names), 2)
    figure = Figure(figsize=(WIDTH, 1.3 + 0.22 * len(values) * max(len(names), 2)))
    ax = figure.subplots()
    for i, (name, colour) in enumerate(colours(names).items()):
        of_group = table[table[by] == name].set_index(within).reindex(values)
        places = np.arange(len(values)) + (i - (len(names) - 1) / 2) * step
        bounds = [of_group[f"{metric}{end}"] for end in ("_low", "_high")]
        ax.hlines(places, *bounds, color=colour, linewidth=3, alpha=0.45)
        ax.plot(of_group[metric], places, "o", color=colour, label=name)
        for place, row in zip(places, of_group.to_dict("records"), strict=True):
            label_end(ax, row, metric, place, colour)
    labels = [textwrap.fill(literal(str(value)), NAME_WIDTH) for value in values]
    ax.set_yticks(range(len(values)), labels)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.margins(x=LABEL_ROOM)
    metric_axis(ax.xaxis, metric)
    ax.set_ylabel(text)
    ax.set_xlabel(axis_label(metric), loc="right")
    add_legend(figure, ax)
    add_title(figure, title)
    return figure


@styled
def speeds(table: pd.DataFrame, *, versus: str, title: str) -> Figure:
    """Documents a second with intervals, a bar a configuration; beside it the ratio (middle,
    low, high) in `versus`."""
    figure = Figure(figsize=(WIDTH, 1.2 + 0.42 * len(table)))
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
        write_beside(ax, f"{ratio[0]:.1f}×", (end, place), (5, 0))
    names = [textwrap.fill(name, NAME_WIDTH) for name in table["configuration"]]
    ax.set_yticks(places, names)
    ax.set_xlim(0, 1.2 * high.max())
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"documents a second, with 95 % interval\n{versus} beside the bars")
    add_title(figure, title)
    return figure
