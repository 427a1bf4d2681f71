"""Figures of what changes with an epoch, a position, a cost or a confidence."""

import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import title as metric_title
from lib.metrics import METRICS
from plots.style import (
    add_legend,
    add_title,
    colours,
    epoch_axis,
    metric_axis,
    panel_title,
    styled,
)


def seed_lines(ax, history: pd.DataFrame, column: str, by: str) -> None:
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
        seed_lines(ax, history, column, by)
        epoch_axis(ax)
        panel_title(ax, text)
    metric_axis(left.yaxis, score)
    add_legend(figure, left)
    add_title(figure, title)
    return figure
