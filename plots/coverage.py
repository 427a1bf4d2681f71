"""The figure of what a model gets right when it may leave texts unanswered."""

import pandas as pd
from matplotlib.figure import Figure

from plots.style import COLOURS, GREY, WIDTH, add_legend, add_title, metric_axis, styled


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
    for row in chosen.to_dict("records"):
        ax.axhline(row["right on dev"], color=GREY, linewidth=1, linestyle="--")
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
