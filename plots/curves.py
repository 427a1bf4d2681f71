"""Figures of what changes with an epoch, a position, a cost or a confidence."""

import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import spelled
from lib.analysis.display import title as metric_title
from lib.metrics import METRICS
from plots.style import (
    COLOURS,
    GREY,
    MOST_LINES,
    WIDTH,
    add_legend,
    add_title,
    colours,
    epoch_axis,
    metric_axis,
    panel_title,
    styled,
)

ALIKE = 0.02  # of what a panel's means span: lines so near lie on each other
DASH = 3  # widths of a line


def seed_lines(ax, history: pd.DataFrame, column: str, by: str) -> None:
    """The mean of each group, its seeds pale behind it: each of them, or where all runs are more
    than `MOST_LINES` their range. Of more groups than that, quantiles of all runs."""
    groups = history[by].unique()
    if len(groups) > MOST_LINES:
        quantile_bands(ax, history, column)
        return
    runs = len(history[[by, "seed"]].drop_duplicates())
    styles = dashes(
        {name: rows.groupby("epoch")[column].mean() for name, rows in history.groupby(by)}
    )
    for name, colour in colours(groups).items():
        of_group = history[history[by] == name]
        by_epoch = of_group.groupby("epoch")[column]
        seeds = of_group["seed"].nunique()
        if seeds > 1 and runs > MOST_LINES:
            low = by_epoch.min()
            ax.fill_between(low.index, low, by_epoch.max(), color=colour, alpha=0.18, linewidth=0)
        elif seeds > 1:
            for _, run in of_group.groupby("seed"):
                ax.plot(run["epoch"], run[column], color=colour, alpha=0.3, linewidth=1)
        mean = by_epoch.mean()
        label = f"{spelled(str(name))} (n = {seeds})"
        line = {"color": colour, "linestyle": styles[name], "marker": "o", "label": label}
        ax.plot(mean.index, mean, **line)


def alike(lines: dict[str, pd.Series]) -> list[list[str]]:
    """The names of lines that lie on each other, together; a line on no other is alone."""
    ends = pd.concat(lines.values())
    near = ALIKE * (ends.max() - ends.min())
    together: list[list[str]] = []
    for name, line in lines.items():
        of_first = (names for names in together if (lines[names[0]] - line).abs().max() <= near)
        names = next(of_first, None)
        if names is None:
            together.append([name])
        else:
            names.append(name)
    return together


def dashes(lines: dict[str, pd.Series]) -> dict[str, str | tuple]:
    """The style of each line: of those that lie on each other, each has a dash in turn."""
    styles = {}
    for names in alike(lines):
        for place, name in enumerate(names):
            pattern = (place * DASH, (DASH, (len(names) - 1) * DASH))
            styles[name] = pattern if len(names) > 1 else "-"
    return styles


def quantile_bands(ax, history: pd.DataFrame, column: str) -> None:
    """The median of all runs after each epoch, the middle half of them and the middle 80 %."""
    shares = [0.1, 0.25, 0.5, 0.75, 0.9]
    quantiles = history.groupby("epoch")[column].quantile(shares).unstack()
    epochs = quantiles.index
    for low, high, alpha, label in ((0.1, 0.9, 0.15, "middle 80 %"), (0.25, 0.75, 0.3, "half")):
        band = {"color": COLOURS[0], "alpha": alpha, "linewidth": 0, "label": label}
        ax.fill_between(epochs, quantiles[low], quantiles[high], **band)
    ax.plot(epochs, quantiles[0.5], color=COLOURS[0], marker="o", label="median of all runs")


@styled
def score_curves(history: pd.DataFrame, *, by: str, title: str, score: str = "accuracy") -> Figure:
    """A score on dev by epoch, and below it train loss."""
    unit = " (of train's variance)" if "numbers" in METRICS[score].functions else " (nats)"
    figure = Figure(figsize=(WIDTH, 5.6))
    upper, lower = figure.subplots(2, 1, sharex=True)
    for ax, column, text in (
        (upper, f"dev_{score}", f"dev {metric_title(score)}"),
        (lower, "train_loss", f"train loss{unit}"),
    ):
        seed_lines(ax, history, column, by)
        panel_title(ax, text)
    epoch_axis(lower)
    metric_axis(upper.yaxis, score)
    add_legend(figure, upper)
    add_title(figure, title)
    return figure


@styled
def risk_coverage(curve: pd.DataFrame, thresholds: pd.DataFrame) -> Figure:
    """The share right by the share answered (`lib.analysis.abstain.risk_coverage`), and where the
    `thresholds` that dev chose come out on test (`lib.analysis.abstain.kept_right`)."""
    figure = Figure(figsize=(WIDTH, 3.8))
    ax = figure.subplots()
    colour = COLOURS[0]
    band = {"color": colour, "alpha": 0.2, "linewidth": 0}
    ax.fill_between(curve["answered"], curve["right_low"], curve["right_high"], **band)
    ax.plot(curve["answered"], curve["right"], color=colour, label="the surest texts")
    chosen = thresholds.dropna(subset="right")
    ax.hlines(
        chosen["right on dev"],
        xmin=0,
        xmax=1,
        transform=ax.get_yaxis_transform(),
        color=GREY,
        linewidth=1,
        linestyle="--",
        label="asked for on dev",
    )
    for row in chosen.to_dict("records"):
        ax.vlines(row["answered"], row["right_low"], row["right_high"], color=COLOURS[1])
    ax.plot(
        chosen["answered"], chosen["right"], "o", color=COLOURS[1], label="thresholds chosen on dev"
    )
    for axis in (ax.xaxis, ax.yaxis):
        metric_axis(axis)
    ax.set_xlabel("share of test texts that are answered")
    ax.set_ylabel("share of these that is right")
    add_legend(figure, ax)
    add_title(figure, "How much is right, by how much is answered")
    return figure
