"""Figures: a tidy DataFrame in, a matplotlib Figure out. One figure, one claim; no file is written here."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lib.baselines import NAMES

STYLE = Path(__file__).with_name("style.mplstyle")
# Okabe and Ito's palette, safe for colour-blind readers; a method keeps its place in it across a study
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"
REFERENCES = tuple(NAMES.values())  # grey: not trained here


def styled(make: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in this project's style without touching matplotlib's global state."""

    @wraps(make)
    def inside(*arguments, **options):
        with matplotlib.style.context(STYLE):
            return make(*arguments, **options)

    return inside


def colours(names) -> dict[str, str]:
    names = list(dict.fromkeys(names))
    trained = [name for name in names if name not in REFERENCES]
    return {name: COLOURS[trained.index(name) % len(COLOURS)] if name in trained else GREY for name in names}


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _legend(figure: Figure, ax) -> None:
    """One legend below the figure, where it hides nothing."""
    handles, names = ax.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))


def _dots(ax, places, table: pd.DataFrame, metric: str, colour: str, name: str) -> None:
    """A dot for each row of a table, and a bar for its interval."""
    ax.vlines(places, table[f"{metric}_low"], table[f"{metric}_high"], color=colour, linewidth=3, alpha=0.45)
    ax.plot(places, table[metric], "o", color=colour, label=name)
    ax.grid(axis="x", visible=False)
    _percent(ax.yaxis)


def _grouped_dots(ax, table: pd.DataFrame, metric: str, *, by: str, within: str, step: float = 0.13) -> list[str]:
    """The groups side by side at each value of `within`; returns these values."""
    names, values = list(dict.fromkeys(table[by])), list(dict.fromkeys(table[within]))
    for i, (name, colour) in enumerate(colours(names).items()):
        part = table[table[by] == name].set_index(within).loc[values]
        _dots(ax, np.arange(len(values)) + (i - (len(names) - 1) / 2) * step, part, metric, colour, name)
    return values


def _percent(axis) -> None:
    axis.set_major_formatter(PercentFormatter(1))


def _epochs(ax) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")


def _lines(ax, history: pd.DataFrame, column: str, by: str, *, style: str = "-", legend: bool = True) -> dict:
    """Every seed faint, the mean of each group on top; returns each group's means by epoch."""
    means = {}
    for name, colour in colours(history[by]).items():
        part = history[history[by] == name]
        if part["seed"].nunique() > 1:
            for _, one in part.groupby("seed"):
                ax.plot(one["epoch"], one[column], style, color=colour, alpha=0.25, linewidth=1)
        means[name] = part.groupby("epoch")[column].mean()
        text = f"{name} (n = {part['seed'].nunique()})" if legend else None
        ax.plot(means[name].index, means[name], style, color=colour, marker="o", label=text)
    return means


@styled
def score_intervals(table: pd.DataFrame, *, by: str, metric: str, title: str) -> Figure:
    """Dots with 95 % intervals, a row a group; references are grey."""
    figure = Figure(figsize=(7.2, 0.9 + 0.42 * len(table)))
    ax = figure.subplots()
    places = np.arange(len(table))[::-1]
    palette = colours(table[by])
    for place, row in zip(places, table.to_dict("records"), strict=True):
        colour = palette[row[by]]
        ax.plot([row[f"{metric}_low"], row[f"{metric}_high"]], [place, place], color=colour, linewidth=3, alpha=0.45)
        ax.plot(row[metric], place, "o", color=colour, markersize=8)
        ax.annotate(f"{100 * row[metric]:.1f} %", (row[metric], place), (0, 7), textcoords="offset points",
                    ha="center", fontsize=9, color=colour)  # fmt: skip
    ax.set_yticks(places, [f"{row[by]} (n = {row['seeds']})" for row in table.to_dict("records")])
    ax.set_ylim(-0.6, len(table) - 0.3)
    ax.grid(axis="y", visible=False)
    _percent(ax.xaxis)
    ax.set_xlabel(f"test {metric.replace('_', ' ')}, with 95 % interval")
    _title(figure, title)
    return figure


@styled
def accuracy_curves(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Accuracy on dev by epoch, and train loss."""
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 2)
    for ax, column, text in zip(
        axes, ("dev_accuracy", "train_loss"), ("dev accuracy", "train loss (nats)"), strict=True
    ):
        _lines(ax, history, column, by)
        _epochs(ax)
        ax.set_title(text, fontweight="normal", fontsize=10)
    _percent(axes[0].yaxis)
    _legend(figure, axes[0])
    _title(figure, title)
    return figure


@styled
def learning_curves(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Macro precision, recall and F1 on dev by epoch, side by side."""
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 3, sharey=True)
    for ax, name in zip(axes, ("precision", "recall", "f1"), strict=True):
        _lines(ax, history, f"dev_macro_{name}", by)
        _epochs(ax)
        ax.set_title(f"macro {name if name != 'f1' else 'F1'}", fontweight="normal", fontsize=10)
    _percent(axes[0].yaxis)
    axes[0].set_ylabel("on the dev split")
    _legend(figure, axes[0])
    _title(figure, title)
    return figure


@styled
def losses(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Train (dashed) and dev loss (solid) by epoch, a panel a group; a ring where mean dev loss is lowest, and the rise
    to the last epoch."""
    names = list(dict.fromkeys(history[by]))
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    palette = colours(names)
    for ax, name in zip(axes, names, strict=True):
        part = history[history[by] == name]
        colour = palette[name]
        for column, style in (("train_loss", "--"), ("dev_loss", "-")):
            for _, one in part.groupby("seed"):
                ax.plot(one["epoch"], one[column], style, color=colour, alpha=0.22, linewidth=1)
            mean = part.groupby("epoch")[column].mean()
            ax.plot(mean.index, mean, style, color=colour)
            ax.annotate("dev" if column == "dev_loss" else "train", (mean.index[-1], mean.iloc[-1]), (9, 0),
                        textcoords="offset points", va="center", fontsize=9, color=colour)  # fmt: skip
        lowest, last = mean.idxmin(), mean.index[-1]
        ax.plot(lowest, mean[lowest], "o", markersize=11, markerfacecolor="none", color="black", markeredgewidth=1.5)
        if lowest < last:
            ax.annotate(f"+{mean[last] - mean[lowest]:.3f}\nafter epoch {lowest}", (last, mean[last]), (-6, 16),
                        textcoords="offset points", ha="right", fontsize=9)  # fmt: skip
        ax.margins(x=0.18)
        _epochs(ax)
        ax.set_title(f"{name} (n = {part['seed'].nunique()})", fontweight="normal", fontsize=10)
    axes[0].set_ylabel("mean cross-entropy (nats)")
    axes[0].set_ylim(bottom=0)
    _title(figure, title)
    return figure


@styled
def learning_rates(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """The learning rate of each epoch, by group."""
    figure = Figure(figsize=(7.2, 3.0))
    ax = figure.subplots()
    names = list(dict.fromkeys(history[by]))
    for i, (name, colour) in enumerate(colours(names).items()):
        rates = history[history[by] == name].groupby("epoch")["learning_rate"].mean()
        ax.step([*rates.index, rates.index[-1] + 1], [*rates, rates.iloc[-1]], where="post", color=colour,
                linewidth=2 + 2 * (len(names) - 1 - i), alpha=0.85, label=name)  # fmt: skip
    ax.set_xticks(np.arange(1, history["epoch"].max() + 1) + 0.5, range(1, history["epoch"].max() + 1))
    ax.set_xlabel("epoch")
    ax.set_ylim(bottom=0)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    ax.set_ylabel("learning rate (per step)")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def confusion_matrix(table: pd.DataFrame, *, title: str) -> Figure:
    """Shares of each gold class (rows), the counts beside them; `table` has a column `gold` and one a label."""
    figure = Figure(figsize=(5.6, 4.4))
    ax = figure.subplots()
    names = list(table.columns[1:])
    counts = table[names].to_numpy(dtype=float)
    share = counts / counts.sum(1, keepdims=True)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(len(names)):
        for j in range(len(names)):
            ax.text(j, i, f"{share[i, j]:.1%}\n{counts[i, j]:,.1f}".replace(".0\n", "\n"), ha="center", va="center",
                    fontsize=9, color="white" if share[i, j] > 0.5 else "#222222")  # fmt: skip
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("predicted")
    ax.set_ylabel("gold")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    _title(figure, title)
    return figure


@styled
def class_intervals(table: pd.DataFrame, *, by: str, metric: str, title: str) -> Figure:
    """A score of each class with its 95 % interval, the groups side by side within a class."""
    figure = Figure(figsize=(7.2, 3.6))
    ax = figure.subplots()
    classes = _grouped_dots(ax, table, metric, by=by, within="class")
    ax.set_xticks(range(len(classes)), classes)
    ax.set_ylabel(f"test {metric.upper() if metric == 'f1' else metric}, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def averages(table: pd.DataFrame, *, title: str) -> Figure:
    """Micro and macro F1 of the same predictions, by majority class; `table` from `lib.tables.imbalance`."""
    figure = Figure(figsize=(7.2, 3.4))
    ax = figure.subplots()
    places = np.arange(len(table))
    for shift, metric, colour in ((-0.08, "micro_f1", COLOURS[3]), (0.08, "macro_f1", COLOURS[6])):
        _dots(ax, places + shift, table, metric, colour, metric.replace("_f1", " F1"))
    ax.set_xticks(places, table["majority class"])
    ax.set_xlabel("class made the majority")
    ax.set_ylabel("score, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def accuracy_by_length(table: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Accuracy with 95 % intervals by bin of document length; `table` from `lib.tables.by_length`."""
    figure = Figure(figsize=(7.2, 3.8))
    ax = figure.subplots()
    bins = _grouped_dots(ax, table, "accuracy", by=by, within="tokens")
    cut = table.drop_duplicates("tokens").set_index("tokens").loc[bins, "truncated"]
    ax.set_xticks(range(len(bins)), [f"{bin_}\n{share} cut" for bin_, share in zip(bins, cut, strict=True)])
    ax.set_xlabel("tokens in the document, and the share of documents that are truncated")
    ax.set_ylabel("test accuracy, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def position_weights(weights: list[list[float]], *, title: str) -> Figure:
    """What a weighted average learned: the weight of each position relative to a plain mean, a line a seed."""
    figure = Figure(figsize=(7.2, 3.2))
    ax = figure.subplots()
    for i, values in enumerate(weights):
        relative = np.array(values) * len(values)
        ax.plot(
            np.arange(1, len(values) + 1), relative, color=COLOURS[i % len(COLOURS)], linewidth=1, label=f"seed {i + 1}"
        )
    ax.axhline(1, color=GREY, linewidth=1)
    ax.set_xlabel("position (token)")
    ax.set_ylabel("weight ÷ weight in a plain mean")
    _legend(figure, ax)
    _title(figure, title)
    return figure
