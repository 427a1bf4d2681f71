"""Figures of the study of optimizers: learning rates, weight decay, and runs that fail."""

import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from lib.analysis.display import axis_label, share_tick
from lib.analysis.display import title as metric_title
from lib.runs.outcomes import AT_PRIOR, COLLAPSED, DIVERGED, LEARNED
from plots.grids import cells_of
from plots.intervals import class_intervals, grouped_dots
from plots.style import (
    COLOURS,
    DARK,
    add_legend,
    add_title,
    bare_grid,
    colours,
    epoch_axis,
    metric_axis,
    panel_title,
    scale,
    styled,
)

OUTCOME_COLOURS = {
    LEARNED: COLOURS[2],
    AT_PRIOR: COLOURS[4],
    COLLAPSED: COLOURS[1],
    DIVERGED: COLOURS[6],
}


def with_factor(
    table: pd.DataFrame, rates: dict[str, float], factors: list[float], decays: dict[str, float]
) -> pd.DataFrame:
    """The rows of a table that are cells of a grid (its default learning rates times factors, at
    its weight decays), with a column `factor`."""
    names = table["optimizer"]
    ratio = table["learning_rate"].astype(float) / names.map(rates)
    factor = ratio.map(lambda value: float(f"{value:.3g}"))
    decay = names.map(lambda name: decays.get(name, 0.0))
    in_grid = factor.isin(factors) & (table["weight_decay"].astype(float) == decay)
    return table.assign(factor=factor)[in_grid]


@styled
def sweep_panels(history: pd.DataFrame, published: pd.DataFrame, *, score: str) -> Figure:
    """Small multiples, an optimizer a column: train loss above, a dev score below, a line for each
    learning rate.

    `history` and `published` (dashed, thin) have `optimizer`, `learning_rate`, `factor`, `epoch`,
    `train_loss` and the score. They trained for different numbers of epochs, so the axis is the
    share of training.
    """
    optimizers = list(dict.fromkeys(history["optimizer"]))
    palette = scale(sorted(history["factor"].unique(), reverse=True))
    figure = Figure(figsize=(2.3 * len(optimizers), 5.2))
    axes = figure.subplots(2, len(optimizers), sharex=True, sharey="row", squeeze=False)
    thin = {"linewidth": 0.9, "linestyle": (0, (4, 2))}
    for (above, below), optimizer in zip(axes.T, optimizers, strict=True):
        for table, style in ((published, thin), (history, {})):
            of_optimizer = table[table["optimizer"] == optimizer]
            for factor, run in _runs(of_optimizer):
                share = run["epoch"] / run["epoch"].max()
                label = None if style else f"×{factor:g}"
                for ax, name in ((above, "train_loss"), (below, score)):
                    ax.plot(share, run[name], color=palette[factor], label=label, **style)
        panel_title(above, optimizer)
        below.xaxis.set_major_formatter(share_tick)
        below.set_xticks([0, 0.5, 1])
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylabel("train loss (nats)")
    metric = score.removeprefix("dev_")
    axes[1, 0].set_ylabel(f"dev {metric_title(metric)}")
    metric_axis(axes[1, 0].yaxis, metric)
    axes[1, len(optimizers) // 2].set_xlabel("share of the training")
    lines, names = axes[0, 0].get_legend_handles_labels()
    handles = dict(zip(names, lines, strict=True))
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=len(handles), title=None
    )
    add_title(figure, "Loss and P@1 by learning rate")
    return figure


def _runs(history: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    """The history of each run, with its factor; of a published one, which has no seeds, of each
    factor."""
    fields = ["factor", "seed"] if "seed" in history else ["factor"]
    return [(factor, run) for (factor, *_), run in history.groupby(fields)]


@styled
def outcome_grid(table: pd.DataFrame, *, rows: str, columns: str, metric: str) -> Figure:
    """A heat map of a score; in each cell the score and how its runs ended."""
    across = sorted(table[columns].unique(), reverse=True)
    down = list(dict.fromkeys(table[rows]))
    cells, values = cells_of(
        table, rows=rows, columns=columns, metric=metric, down=down, across=across
    )
    figure = Figure(figsize=(1.6 + 1.45 * len(across), 1.0 + 0.7 * len(down)))
    ax = figure.subplots()
    high = np.nanmax(values)
    ax.imshow(values, cmap="Blues", vmin=0, vmax=high, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if (down[y], across[x]) not in cells:
            continue
        cell = cells[down[y], across[x]]
        score = "–" if np.isnan(value) else f"{value:.1%}"
        outcome = cell["outcome"].replace(", ", "\n")
        ax.text(
            x,
            y,
            f"{score}\n{outcome}\nlr {float(cell['learning_rate']):g}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if value > 0.55 * high else DARK,
            linespacing=1.25,
        )
    ax.set_xticks(range(len(across)), [f"×{factor:g}" for factor in across])
    ax.set_yticks(range(len(down)), down)
    ax.set_xlabel("factor of the study's default learning rate")
    bare_grid(ax)
    add_title(figure, "Test P@1 and verdict by learning rate")
    return figure


@styled
def decay_ablation(table: pd.DataFrame, published: pd.DataFrame, *, metric: str) -> Figure:
    """A score by weight decay, the optimizers side by side; hollow: the last epoch of
    `published`."""
    figure = Figure(figsize=(7.2, 3.4))
    ax = figure.subplots()
    values = grouped_dots(ax, table, metric, by="optimizer", within="weight_decay")
    palette = colours(table["optimizer"])
    for i, (name, colour) in enumerate(palette.items()):
        scores = published[published["optimizer"] == name].set_index("weight_decay")[metric]
        ax.plot(
            np.arange(len(values)) + (i - (len(palette) - 1) / 2) * 0.13,
            [scores.get(float(value), np.nan) for value in values],
            "D",
            markerfacecolor="none",
            color=colour,
            label=f"{name}, published",
        )
    ax.set_xticks(range(len(values)), values)
    ax.set_xlabel("weight decay")
    ax.set_ylabel(axis_label(metric))
    add_legend(figure, ax)
    add_title(figure, "P@1 by weight decay")
    return figure


@styled
def health_curves(history: pd.DataFrame) -> Figure:
    """Effective rank and mean pairwise cosine of the document embeddings by epoch; a line a run,
    its `outcome` the colour."""
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 2)
    texts = {"embedding_rank": "effective rank", "embedding_cosine": "mean pairwise cosine"}
    for ax, (column, text) in zip(axes, texts.items(), strict=True):
        for outcome, colour in OUTCOME_COLOURS.items():
            runs = [run for _, run in history[history["outcome"] == outcome].groupby("run")]
            label = f"{outcome} ({len(runs)} run{'s' * (len(runs) > 1)})"
            for i, run in enumerate(runs):
                style = {"color": colour, "linewidth": 1.2, "alpha": 0.75}
                ax.plot(run["epoch"], run[column], label=None if i else label, **style)
        panel_title(ax, text)
        epoch_axis(ax)
    axes[0].set_yscale("log")
    add_legend(figure, axes[0])
    add_title(figure, "Where the documents lie")
    return figure


@styled
def attention_grid(table: pd.DataFrame) -> Figure:
    """Attention of several runs, a row a run, a column a layer; `table` from
    `notebooks.eurlex_optimizers_runs.first_document_attention`."""
    shape = [table[name].max() for name in ("layer", "row", "column")]
    runs = table.groupby("what", sort=False)["weight"]
    maps = {name: weights.to_numpy().reshape(shape) for name, weights in runs}
    every = np.stack(list(maps.values()))
    layers = every.shape[1]
    high = float(np.quantile(every, 0.995))
    figure = Figure(figsize=(1.2 + 2.6 * layers, 2.75 * len(maps)))
    axes = figure.subplots(len(maps), layers, squeeze=False)
    norm = {"gamma": 0.5, "vmin": 0, "vmax": high}  # faint weights are seen, too
    for row, (name, weights) in zip(axes, maps.items(), strict=True):
        for layer, ax in enumerate(row):
            image = ax.imshow(weights[layer], cmap="magma", norm=PowerNorm(**norm))
            panel_title(ax, f"layer {layer + 1}", 9)
            ax.set_xlabel("attended to", fontsize=8)
            ax.grid(visible=False)
        row[0].set_ylabel(f"{name}\n\ntoken", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.7, label="attention weight (square-root colours)")
    add_title(figure, "Attention in a healthy and a failed run, for the same document")
    return figure


def recall_by_frequency(table: pd.DataFrame) -> Figure:
    """Recall of labels by how many train documents have them; `table` from
    `notebooks.eurlex_optimizers.by_frequency`."""
    return class_intervals(
        table,
        by="optimizer",
        metric="R@5",
        within="train documents",
        text="train documents that have the label",
        title="Recall of frequent and of rare labels",
    )
