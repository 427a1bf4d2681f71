"""Figures of what changes with an epoch, a position, a cost or a confidence."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import title as metric_title
from lib.metrics import METRICS
from plots.style import (
    COLOURS,
    GREY,
    add_legend,
    add_title,
    colours,
    epoch_axis,
    metric_axis,
    panel_title,
    styled,
)


def _lines(ax, history: pd.DataFrame, column: str, by: str) -> None:
    """Every seed faint, the mean of each group on top."""
    for name, colour in colours(history[by]).items():
        of_group = history[history[by] == name]
        seeds = of_group["seed"].nunique()
        if seeds > 1:
            for _, run in of_group.groupby("seed"):
                ax.plot(run["epoch"], run[column], color=colour, alpha=0.25, linewidth=1)
        mean = of_group.groupby("epoch")[column].mean()
        ax.plot(mean.index, mean, color=colour, marker="o", label=f"{name} (n = {seeds})")


@styled
def score_curves(history: pd.DataFrame, *, by: str, title: str, score: str = "accuracy") -> Figure:
    """A score on dev by epoch, and train loss."""
    unit = " (of train's variance)" if "numbers" in METRICS[score].functions else " (nats)"
    figure = Figure(figsize=(9.6, 3.6))
    left, right = figure.subplots(1, 2)
    for ax, column, text in (
        (left, f"dev_{score}", f"dev {metric_title(score)}"),
        (right, "train_loss", f"train loss{unit}"),
    ):
        _lines(ax, history, column, by)
        epoch_axis(ax)
        panel_title(ax, text)
    metric_axis(left.yaxis, score)
    add_legend(figure, left)
    add_title(figure, title)
    return figure


@styled
def learning_curves(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Macro precision, recall and F1 on dev by epoch, side by side."""
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 3, sharey=True)
    metrics = ("macro_precision", "macro_recall", "macro_f1")
    for ax, metric in zip(axes, metrics, strict=True):
        _lines(ax, history, f"dev_{metric}", by)
        epoch_axis(ax)
        panel_title(ax, metric_title(metric))
    metric_axis(axes[0].yaxis)
    axes[0].set_ylabel("on the dev split")
    add_legend(figure, axes[0])
    add_title(figure, title)
    return figure


@styled
def losses(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Train (dashed) and dev loss (solid) by epoch, a panel a group; a ring where mean dev loss
    is lowest, and the rise to the last epoch."""
    palette = colours(history[by])
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, len(palette), sharey=True, squeeze=False)[0]
    for ax, (name, colour) in zip(axes, palette.items(), strict=True):
        of_group = history[history[by] == name]
        _loss_lines(ax, of_group, "train", colour, "--")
        dev_loss = _loss_lines(ax, of_group, "dev", colour, "-")
        _mark_lowest(ax, dev_loss)
        ax.margins(x=0.18)
        epoch_axis(ax)
        panel_title(ax, f"{name} (n = {of_group['seed'].nunique()})")
    axes[0].set_ylabel("mean cross-entropy (nats)")
    axes[0].set_ylim(bottom=0)
    add_title(figure, title)
    return figure


def _loss_lines(ax, history: pd.DataFrame, split: str, colour: str, style: str) -> pd.Series:
    """A loss of every seed and their mean, which is returned, by epoch."""
    column = f"{split}_loss"
    for _, run in history.groupby("seed"):
        ax.plot(run["epoch"], run[column], style, color=colour, alpha=0.22, linewidth=1)
    mean = history.groupby("epoch")[column].mean()
    ax.plot(mean.index, mean, style, color=colour)
    ax.annotate(
        split,
        (mean.index[-1], mean.iloc[-1]),
        (9, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=colour,
    )
    return mean


def _mark_lowest(ax, mean: pd.Series) -> None:
    """A ring at the lowest mean, and how far it has risen by the last epoch."""
    lowest = mean.idxmin()
    last = mean.index[-1]
    ax.plot(
        lowest,
        mean[lowest],
        "o",
        markersize=11,
        markerfacecolor="none",
        color="black",
        markeredgewidth=1.5,
    )
    if lowest < last:
        ax.annotate(
            f"+{mean[last] - mean[lowest]:.3f}\nafter epoch {lowest}",
            (last, mean[last]),
            (-6, 16),
            textcoords="offset points",
            ha="right",
            fontsize=9,
        )


@styled
def learning_rates(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """The learning rate of each epoch, by group."""
    figure = Figure(figsize=(7.2, 3.0))
    ax = figure.subplots()
    palette = colours(history[by])
    for i, (name, colour) in enumerate(palette.items()):
        rates = history[history[by] == name].groupby("epoch")["learning_rate"].mean()
        ax.step(
            [*rates.index, rates.index[-1] + 1],
            [*rates, rates.iloc[-1]],
            where="post",
            color=colour,
            linewidth=2 + 2 * (len(palette) - 1 - i),
            alpha=0.85,
            label=name,
        )
    epochs = np.arange(1, history["epoch"].max() + 1)
    ax.set_xticks(epochs + 0.5, epochs)
    ax.set_xlabel("epoch")
    ax.set_ylim(bottom=0)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    ax.set_ylabel("learning rate (per step)")
    add_legend(figure, ax)
    add_title(figure, title)
    return figure


@styled
def position_weights(weights: list[list[float]], *, title: str) -> Figure:
    """What a weighted average learned: the weight of each position relative to a plain mean, a
    line a seed."""
    figure = Figure(figsize=(7.2, 3.2))
    ax = figure.subplots()
    for i, values in enumerate(weights):
        relative = np.array(values) * len(values)
        positions = np.arange(1, len(values) + 1)
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(positions, relative, color=colour, linewidth=1, label=f"seed {i + 1}")
    ax.axhline(1, color=GREY, linewidth=1)
    ax.set_xlabel("position (token)")
    ax.set_ylabel("weight ÷ weight in a plain mean")
    add_legend(figure, ax)
    add_title(figure, title)
    return figure


@styled
def reliability(table: pd.DataFrame, *, title: str) -> Figure:
    """The share right by mean confidence, a line for each way to make probabilities; below, how
    many decisions each bin has."""
    figure = Figure(figsize=(5.6, 5.0))
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as sure as right")
    for i, (name, colour) in enumerate(colours(table["probabilities"]).items()):
        way = table[table["probabilities"] == name]
        ax.plot(way["confidence"], way["right"], "o-", color=colour, label=name)
        places = way["confidence"] + (i - 0.5) * 0.016
        below.bar(places, way["decisions"], width=0.016, color=colour)
    lowest = max(0.0, float(np.floor(10 * table["confidence"].min()) / 10))
    ax.set_xlim(lowest, 1.01)
    ax.set_ylabel("share right")
    below.set_ylabel("decisions")
    below.set_xlabel("confidence")
    metric_axis(ax.xaxis)
    metric_axis(ax.yaxis)
    add_legend(figure, ax)
    add_title(figure, title)
    return figure


@styled
def number_scatter(table: pd.DataFrame, *, title: str) -> Figure:
    """Predicted against given numbers, a dot a document."""
    figure = Figure(figsize=(5.2, 4.6))
    ax = figure.subplots()
    ends = [table.min().min(), table.max().max()]
    ax.plot(ends, ends, color=GREY, linewidth=1, linestyle="--")
    ax.plot(table["given"], table["predicted"], "o", color=COLOURS[0], markersize=4, alpha=0.4)
    ax.set_xlabel("given")
    ax.set_ylabel("predicted, mean over seeds")
    add_title(figure, title)
    return figure
