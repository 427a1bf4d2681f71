"""Figures of the study of learning-rate schedules: how runs learn, and what averages tell."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import title as metric_title
from plots.curves import seed_lines
from plots.intervals import dots
from plots.style import (
    COLOURS,
    add_legend,
    add_title,
    colours,
    epoch_axis,
    literal,
    metric_axis,
    panel_title,
    styled,
)


@styled
def learning_curves(history: pd.DataFrame, *, by: str) -> Figure:
    """Macro precision, recall and F1 on dev by epoch, side by side."""
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 3, sharey=True)
    metrics = ("macro_precision", "macro_recall", "macro_f1")
    for ax, metric in zip(axes, metrics, strict=True):
        seed_lines(ax, history, f"dev_{metric}", by)
        epoch_axis(ax)
        panel_title(ax, metric_title(metric))
    metric_axis(axes[0].yaxis)
    axes[0].set_ylabel("on the dev split")
    add_legend(figure, axes[0])
    add_title(figure, "Macro scores on dev, epoch by epoch")
    return figure


@styled
def losses(history: pd.DataFrame, *, by: str) -> Figure:
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
    add_title(figure, "Where dev loss turns up, the model has gone too far")
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
def learning_rates(history: pd.DataFrame, *, by: str) -> Figure:
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
    add_title(figure, "What the schedules do")
    return figure


@styled
def averages(table: pd.DataFrame) -> Figure:
    """Micro and macro F1 of the same predictions, by majority class; `table` from
    `notebooks.ag_news.imbalance`."""
    figure = Figure(figsize=(7.2, 3.4))
    ax = figure.subplots()
    places = np.arange(len(table))
    for shift, metric, colour in ((-0.08, "micro_f1", COLOURS[3]), (0.08, "macro_f1", COLOURS[6])):
        dots(ax, places + shift, table, metric, colour, metric_title(metric))
    ax.set_xticks(places, table["majority class"].map(literal))
    ax.set_xlabel("class made the majority")
    ax.set_ylabel("score, with 95 % interval")
    add_legend(figure, ax)
    add_title(figure, "Micro and macro F1 of the same predictions")
    return figure
