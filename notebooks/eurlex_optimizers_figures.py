"""Figures of the study of optimizers: learning rates, and runs that fail."""

import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import listed, spelled
from lib.analysis.display import title as metric_title
from lib.runs.verdict import AT_PRIOR, COLLAPSED, DIVERGED, LEARNED
from plots.curves import alike
from plots.grids import colour_bar, heat_map, title_with_unit
from plots.intervals import class_intervals
from plots.style import (
    COLOURS,
    GREY,
    MOST_LINES,
    REFERENCES,
    WIDTH,
    add_legend,
    add_title,
    colours,
    epoch_axis,
    log_axis,
    metric_axis,
    panel_title,
    styled,
)

MOST_COLUMNS = 5  # of optimizers, for which a figure of the usual width has room
DODGE = 1.22  # times a learning rate, from an optimizer to the next: equal scores hide no line
SHIFT = 0.06  # epochs, from an outcome to the next, alike
OUTCOME_COLOURS = {
    LEARNED: COLOURS[2],
    AT_PRIOR: COLOURS[4],
    COLLAPSED: COLOURS[1],
    DIVERGED: COLOURS[6],
}
OUTCOME_STYLES = {LEARNED: "-", AT_PRIOR: "--", COLLAPSED: "-", DIVERGED: "--"}  # two on each other


def with_factor(table: pd.DataFrame, rates: dict[str, float]) -> pd.DataFrame:
    """A table of cells with a column `factor`: the learning rate over the optimizer's default."""
    ratio = table["learning_rate"].astype(float) / table["optimizer"].map(rates)
    return table.assign(factor=ratio.map(lambda value: float(f"{value:.3g}")))


@styled
def by_learning_rate(
    table: pd.DataFrame, published: pd.DataFrame, *, metric: str, baseline: float
) -> Figure:
    """A dev score by learning rate, a line an optimizer beside those of the same rate, hollow where
    a run did not learn, with the best reference's score; below, the original's (`published`) on
    test."""
    figure = Figure(figsize=(WIDTH, 6.4))
    above, below = figure.subplots(2, 1, sharex=True)
    palette = colours(table["optimizer"])
    middle = (len(palette) - 1) / 2
    for ax, scores in ((above, table), (below, published)):
        for i, (name, colour) in enumerate(palette.items()):
            of_optimizer = scores[scores["optimizer"] == name]
            if len(of_optimizer):
                _rate_line(ax, of_optimizer, metric, colour, DODGE ** (i - middle))
        ax.set_xscale("log")
        metric_axis(ax.yaxis, metric)
    log_axis(below.xaxis, multiples=(1,))
    above.axhline(baseline, color=GREY, linewidth=1.5, label="best reference")
    panel_title(above, f"these runs, dev {metric_title(metric)}")
    panel_title(below, f"the original's, test {metric_title(metric)}")
    below.set_xlabel("learning rate")
    add_legend(figure, above)
    add_title(figure, f"{metric_title(metric)} by learning rate")
    return figure


def _rate_line(ax, scores: pd.DataFrame, metric: str, colour: str, aside: float) -> None:
    """The scores of an optimizer by learning rate, which is drawn `aside` times as high; hollow
    where an `outcome` says that the run did not learn."""
    rate = aside * scores["learning_rate"].astype(float)
    scores = scores.assign(rate=rate).sort_values("rate")
    name = spelled(scores["optimizer"].iloc[0])
    ax.plot(scores["rate"], scores[metric], color=colour, label=name, linewidth=1.5)
    ends = scores.get("outcome", pd.Series(LEARNED, scores.index))
    for is_full, some in scores.groupby(ends == LEARNED):
        inside = colour if is_full else "white"
        ax.plot(some["rate"], some[metric], "o", color=colour, markerfacecolor=inside)


@styled
def outcome_grid(table: pd.DataFrame, *, metric: str) -> Figure:
    """A heat map of a score, an optimizer a column and a factor of its default learning rate a
    row; in each cell the score, how its run ended, and the learning rate."""
    factors = sorted(table["factor"].unique(), reverse=True)
    optimizers = list(dict.fromkeys(table["optimizer"]))
    width = WIDTH * max(1.0, len(optimizers) / MOST_COLUMNS)
    figure = Figure(figsize=(width, 1.3 + 0.72 * len(factors)))
    ax = figure.subplots()
    heat_map(
        ax,
        table,
        metric=metric,
        write=_written_cell,
        low=0.0,
        rows=("factor", factors),
        columns=("optimizer", optimizers),
    )
    ax.set_xticks(range(len(optimizers)), map(spelled, optimizers))
    ax.set_yticks(range(len(factors)), [f"×{factor:g}" for factor in factors])
    ax.set_ylabel("factor of the default learning rate")
    colour_bar(ax, metric)
    add_title(figure, f"Dev {title_with_unit(metric)} and outcome by learning rate")
    return figure


def _written_cell(cell: dict, text: str) -> str:
    outcome = cell["outcome"].replace("still at the prior", "at prior")
    return f"{text}\n{outcome}\n{cell['learning_rate']}"


@styled
def health_curves(history: pd.DataFrame) -> Figure:
    """Effective rank and mean pairwise cosine of the document embeddings by epoch: median and
    range over the runs of each `outcome`."""
    figure = Figure(figsize=(WIDTH, 5.6))
    axes = figure.subplots(2, 1, sharex=True)
    texts = {"embedding_rank": "effective rank", "embedding_cosine": "mean pairwise cosine"}
    for ax, (column, text) in zip(axes, texts.items(), strict=True):
        there = [outcome for outcome in OUTCOME_COLOURS if (history["outcome"] == outcome).any()]
        for place, outcome in enumerate(there):
            runs = history[history["outcome"] == outcome]
            colour = OUTCOME_COLOURS[outcome]
            number = runs["run"].nunique()
            of_epoch = runs.groupby("epoch")[column]
            middle = of_epoch.median()
            label = f"{outcome} ({number} run{'s' * (number > 1)})"
            epochs = middle.index + SHIFT * (place - (len(there) - 1) / 2)
            style = OUTCOME_STYLES[outcome]
            ax.plot(epochs, middle, style, color=colour, marker="o", label=label)
            ax.fill_between(epochs, of_epoch.min(), of_epoch.max(), color=colour, alpha=0.15)
        panel_title(ax, text)
        epoch_axis(ax)
    axes[0].set_xlabel("")
    axes[0].set_yscale("log")
    log_axis(axes[0].yaxis)
    add_legend(figure, axes[0])
    add_title(figure, "Where the documents lie")
    return figure


def coinciding(history: pd.DataFrame, metric: str) -> str:
    """Which optimizers' lines lie on each other in `plots.score_curves`, as a sentence of its
    caption; empty where none do."""
    panels: dict[str, list[str]] = {}
    if history["optimizer"].nunique() > MOST_LINES:  # whose lines are not drawn
        return ""
    names = {f"dev_{metric}": f"dev {metric_title(metric)}", "train_loss": "train loss"}
    for column, panel in names.items():
        lines = {
            name: rows.groupby("epoch")[column].mean()
            for name, rows in history.groupby("optimizer", sort=False)
        }
        for together in alike(lines):
            if len(together) > 1:
                panels.setdefault(listed(map(spelled, together)), []).append(panel)
    texts = [f"{optimizers} ({listed(places)})" for optimizers, places in panels.items()]
    return f" On each other lie, dashed in turn: {'; '.join(texts)}." if texts else ""


def recall_by_frequency(table: pd.DataFrame, reference: str) -> Figure:
    """Recall of labels by how many train documents have them, of the optimizers and one
    `reference`; `table` from `notebooks.eurlex_optimizers.by_frequency`."""
    others = {*REFERENCES} - {reference}
    table = table[~table["optimizer"].isin(others)]
    return class_intervals(
        table,
        by="optimizer",
        metric="R@5",
        within="train documents",
        text="train documents that have the label",
        title="Recall of frequent and of rare labels",
    )
