"""Figures of the study of learning-rate schedules: how runs learn."""

import pandas as pd
from matplotlib.figure import Figure

from plots.curves import seed_lines
from plots.style import (
    SMALLEST,
    WIDTH,
    add_legend,
    add_title,
    colours,
    epoch_axis,
    metric_axis,
    panel_title,
    styled,
)


@styled
def learning_curves(history: pd.DataFrame, *, by: str) -> Figure:
    """Macro F1 on dev by epoch."""
    figure = Figure(figsize=(WIDTH, 3.4))
    ax = figure.subplots()
    seed_lines(ax, history, "dev_macro_f1", by)
    epoch_axis(ax)
    metric_axis(ax.yaxis)
    ax.set_ylabel("macro F1 on dev")
    add_legend(figure, ax)
    add_title(figure, "Macro F1 on dev by epoch")
    return figure


@styled
def losses(history: pd.DataFrame, *, by: str) -> Figure:
    """Train (dashed) and dev loss (solid) by epoch, a panel a group, one below the other; a ring
    where mean dev loss is lowest, and the rise to the last epoch."""
    palette = colours(history[by])
    figure = Figure(figsize=(WIDTH, 0.8 + 2.3 * len(palette)))
    axes = figure.subplots(len(palette), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, (name, colour) in zip(axes, palette.items(), strict=True):
        of_group = history[history[by] == name]
        train_loss = _loss_lines(ax, of_group, "train", colour, "--")
        dev_loss = _loss_lines(ax, of_group, "dev", colour, "-")
        _name_ends(ax, {"train": train_loss, "dev": dev_loss}, colour)
        _mark_lowest(ax, dev_loss)
        ax.margins(x=0.18, y=0.2)
        panel_title(ax, f"{name} (n = {of_group['seed'].nunique()})")
        ax.set_ylabel("loss (nats)")
    epoch_axis(axes[-1])
    axes[0].set_ylim(bottom=0)
    add_title(figure, "Mean cross-entropy on train and dev by epoch")
    return figure


def _loss_lines(ax, history: pd.DataFrame, split: str, colour: str, style: str) -> pd.Series:
    """A loss of every seed and their mean, which is returned, by epoch."""
    column = f"{split}_loss"
    for _, run in history.groupby("seed"):
        ax.plot(run["epoch"], run[column], style, color=colour, alpha=0.22, linewidth=1)
    mean = history.groupby("epoch")[column].mean()
    ax.plot(mean.index, mean, style, color=colour)
    return mean


def _name_ends(ax, means: dict[str, pd.Series], colour: str) -> None:
    """The names of two lines at their ends, the upper one's above the lower one's."""
    names = sorted(means, key=lambda name: means[name].iloc[-1])
    for name, side in zip(names, ("top", "bottom"), strict=True):
        mean = means[name]
        ax.annotate(
            name,
            (mean.index[-1], mean.iloc[-1]),
            (9, 0),
            textcoords="offset points",
            va=side,
            fontsize=SMALLEST,
            color=colour,
        )


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
        ax.text(
            *(0.02, 0.06),
            f"dev: lowest after epoch {lowest}, then +{mean[last] - mean[lowest]:.3f}",
            transform=ax.transAxes,
            fontsize=SMALLEST,
        )
