"""Figures: a tidy DataFrame in, a matplotlib Figure out. One figure, one claim; no file is
written here."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from lib.analysis.findings import titled
from lib.metrics import METRICS
from lib.runs.baselines import NAMES

STYLE = Path(__file__).with_name("style.mplstyle")
# Okabe and Ito's palette, safe for colour-blind readers; a method keeps its place in it across a study
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"
REFERENCES = tuple(NAMES.values())  # grey: not trained here


def styled(make: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in this project's style without touching matplotlib's global state; `runs` of the
    figure are the keys of the runs that its tables were made from."""

    @wraps(make)
    def inside(*arguments, **options):
        with matplotlib.style.context(STYLE):
            figure = make(*arguments, **options)
        tables = [
            value for value in (*arguments, *options.values()) if isinstance(value, pd.DataFrame)
        ]
        keys = [
            t["run"].unique().tolist() if "run" in t else t.attrs.get("runs", []) for t in tables
        ]
        figure.runs = list(dict.fromkeys(key for found in keys for key in found))
        return figure

    return inside


def colours(names) -> dict[str, str]:
    names = list(dict.fromkeys(names))
    trained = [name for name in names if name not in REFERENCES]
    return {
        name: COLOURS[trained.index(name) % len(COLOURS)] if name in trained else GREY
        for name in names
    }


def _title(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _legend(figure: Figure, ax) -> None:
    """One legend below the figure, where it hides nothing; in as many rows as its width asks
    for."""
    handles, names = ax.get_legend_handles_labels()
    width = sum(0.7 + 0.075 * len(name) for name in names)  # inches
    rows = int(np.ceil(width / figure.get_figwidth()))
    figure.legend(handles, names, loc="outside lower center", ncols=int(np.ceil(len(names) / rows)))


def _dots(ax, places, table: pd.DataFrame, metric: str, colour: str, name: str) -> None:
    """A dot for each row of a table, and a bar for its interval."""
    ax.vlines(
        places,
        table[f"{metric}_low"],
        table[f"{metric}_high"],
        color=colour,
        linewidth=3,
        alpha=0.45,
    )
    ax.plot(places, table[metric], "o", color=colour, label=name)
    ax.grid(axis="x", visible=False)
    _percent(ax.yaxis)


def _grouped_dots(
    ax, table: pd.DataFrame, metric: str, *, by: str, within: str, step: float = 0.13
) -> list[str]:
    """The groups side by side at each value of `within`; returns these values."""
    names, values = list(dict.fromkeys(table[by])), list(dict.fromkeys(table[within]))
    for i, (name, colour) in enumerate(colours(names).items()):
        part = table[table[by] == name].set_index(within).loc[values]
        _dots(
            ax,
            np.arange(len(values)) + (i - (len(names) - 1) / 2) * step,
            part,
            metric,
            colour,
            name,
        )
    return values


def _share(value: float, _place=None) -> str:
    return f"{round(100 * value, 6):g} %".replace("-", "−")


def _percent(axis, metric: str = "") -> None:
    if not metric or METRICS[metric].kind not in ("number", "signed"):  # those are no shares
        axis.set_major_formatter(_share)


def _told(value: float, metric: str) -> str:
    return (
        f"{value:.3g}" if METRICS[metric].kind in ("number", "signed") else f"{100 * value:.1f} %"
    )


def _epochs(ax) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")


def _lines(
    ax, history: pd.DataFrame, column: str, by: str, *, style: str = "-", legend: bool = True
) -> dict:
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


def _intervals(
    ax, table: pd.DataFrame, by: str, metric: str, names: list[str]
) -> list[tuple[int, dict, str]]:
    """Dots with 95 % intervals, a row each from above, in a colour for each of `by`; hollow
    where the table says that it does not stand. Gives each row's place and colour."""
    palette, rows = colours(table[by]), table.to_dict("records")
    drawn = [
        (place, row, palette[row[by]])
        for place, row in zip(range(len(rows))[::-1], rows, strict=True)
    ]
    for place, row, colour in drawn:
        ax.plot(
            [row[f"{metric}_low"], row[f"{metric}_high"]],
            [place, place],
            color=colour,
            linewidth=3,
            alpha=0.45,
        )
        inside = colour if row.get("stands", "yes") == "yes" else "white"
        ax.plot(row[metric], place, "o", color=colour, markersize=8, markerfacecolor=inside)
    ax.set_yticks([place for place, *_ in drawn], names)
    ax.set_ylim(-0.6, len(table) - 0.3)
    ax.grid(axis="y", visible=False)
    return drawn


@styled
def score_intervals(table: pd.DataFrame, *, by: str, metric: str, title: str) -> Figure:
    """Dots with 95 % intervals, a row a group; references are grey."""
    figure = Figure(figsize=(7.2, 0.9 + 0.42 * len(table)))
    ax, names = (
        figure.subplots(),
        [f"{row[by]} (n = {row['seeds']})" for row in table.to_dict("records")],
    )
    for place, row, colour in _intervals(ax, table, by, metric, names):
        ax.annotate(
            _told(row[metric], metric),
            (row[metric], place),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=colour,
        )
    _percent(ax.xaxis, metric)
    ax.set_xlabel(f"test {titled(metric)}, with 95 % interval")
    _title(figure, title)
    return figure


@styled
def effect_intervals(
    table: pd.DataFrame, *, by: str, within: str, metric: str, title: str
) -> Figure:
    """Differences of a score with 95 % intervals, a row each, in a colour for each of `by`;
    those that do not stand are hollow. `table` has the columns of
    `lib.analysis.tables.differences`, and names each row by `by` and `within`."""
    figure = Figure(figsize=(9.6, 1.1 + 0.36 * len(table)))
    ax, names = figure.subplots(), [f"{row[by]}: {row[within]}" for row in table.to_dict("records")]
    _intervals(ax, table, by, metric, names)
    ax.axvline(0, color=GREY, linewidth=1, zorder=1)
    ax.xaxis.set_major_formatter(
        lambda value, _: f"{100 * value:+.0f}".replace("-", "−").replace("+0", "0")
    )
    ax.set_xlabel(f"difference of test {titled(metric)} in points, with 95 % interval")
    _title(figure, title)
    return figure


@styled
def score_curves(history: pd.DataFrame, *, by: str, title: str, score: str = "accuracy") -> Figure:
    """A score on dev by epoch, and train loss."""
    unit = " (of train's variance)" if "numbers" in METRICS[score].functions else " (nats)"
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 2)
    for ax, column, text in zip(
        axes,
        (f"dev_{score}", "train_loss"),
        (f"dev {titled(score)}", f"train loss{unit}"),
        strict=True,
    ):
        _lines(ax, history, column, by)
        _epochs(ax)
        ax.set_title(text, fontweight="normal", fontsize=10)
    _percent(axes[0].yaxis, score)
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
    """Train (dashed) and dev loss (solid) by epoch, a panel a group; a ring where mean dev loss
    is lowest, and the rise to the last epoch."""
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
            ax.annotate(
                "dev" if column == "dev_loss" else "train",
                (mean.index[-1], mean.iloc[-1]),
                (9, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=colour,
            )
        lowest, last = mean.idxmin(), mean.index[-1]
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
        ax.step(
            [*rates.index, rates.index[-1] + 1],
            [*rates, rates.iloc[-1]],
            where="post",
            color=colour,
            linewidth=2 + 2 * (len(names) - 1 - i),
            alpha=0.85,
            label=name,
        )
    ax.set_xticks(
        np.arange(1, history["epoch"].max() + 1) + 0.5, range(1, history["epoch"].max() + 1)
    )
    ax.set_xlabel("epoch")
    ax.set_ylim(bottom=0)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    ax.set_ylabel("learning rate (per step)")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def confusion_matrix(table: pd.DataFrame, *, title: str) -> Figure:
    """Shares of each gold class (rows), the counts beside them; `table` has a column `gold` and
    one a label."""
    names = list(table.columns[1:])
    side = max(1.0, 0.16 * len(names))
    figure = Figure(figsize=(5.6 * side, 4.4 * side))
    ax = figure.subplots()
    counts = table[names].to_numpy(dtype=float)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(len(names)):
        for j in range(len(names)):
            ax.text(
                j,
                i,
                f"{share[i, j]:.1%}\n{counts[i, j]:,.1f}".replace(".0\n", "\n"),
                ha="center",
                va="center",
                fontsize=9,
                color="white" if share[i, j] > 0.5 else "#222222",
            )
    wide = sum(map(len, names)) > 48  # characters, which would run into each other
    ax.set_xticks(
        range(len(names)), names, rotation=30 if wide else 0, ha="right" if wide else "center"
    )
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("predicted")
    ax.set_ylabel("gold")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    _title(figure, title)
    return figure


@styled
def class_intervals(
    table: pd.DataFrame, *, by: str, metric: str, title: str, within: str = "class", text: str = ""
) -> Figure:
    """A score with its 95 % interval, the groups side by side within each class, or another
    column's values."""
    figure = Figure(figsize=(7.2, 3.6))
    ax = figure.subplots()
    values = _grouped_dots(ax, table, metric, by=by, within=within)
    ax.set_xticks(range(len(values)), values)
    ax.set_xlabel(text)
    ax.set_ylabel(f"test {metric.upper() if metric == 'f1' else metric}, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def averages(table: pd.DataFrame, *, title: str) -> Figure:
    """Micro and macro F1 of the same predictions, by majority class; `table` from
    `lib.analysis.tables.imbalance`."""
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
    """Accuracy with 95 % intervals by bin of document length; `table` from
    `lib.analysis.tables.by_length`."""
    figure = Figure(figsize=(7.2, 3.8))
    ax = figure.subplots()
    bins = _grouped_dots(ax, table, "accuracy", by=by, within="tokens")
    cut = table.drop_duplicates("tokens").set_index("tokens").loc[bins, "truncated"]
    ax.set_xticks(
        range(len(bins)), [f"{bin_}\n{share} cut" for bin_, share in zip(bins, cut, strict=True)]
    )
    ax.set_xlabel("tokens in the document, and the share of documents that are truncated")
    ax.set_ylabel("test accuracy, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def position_weights(weights: list[list[float]], *, title: str) -> Figure:
    """What a weighted average learned: the weight of each position relative to a plain mean, a
    line a seed."""
    figure = Figure(figsize=(7.2, 3.2))
    ax = figure.subplots()
    for i, values in enumerate(weights):
        relative = np.array(values) * len(values)
        ax.plot(
            np.arange(1, len(values) + 1),
            relative,
            color=COLOURS[i % len(COLOURS)],
            linewidth=1,
            label=f"seed {i + 1}",
        )
    ax.axhline(1, color=GREY, linewidth=1)
    ax.set_xlabel("position (token)")
    ax.set_ylabel("weight ÷ weight in a plain mean")
    _legend(figure, ax)
    _title(figure, title)
    return figure


def _scale(names) -> dict:
    """Colours for values in an order, dark to light."""
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, len(names)))
    return dict(zip(names, shades, strict=True))


def with_factor(
    table: pd.DataFrame, rates: dict[str, float], factors: list[float], decays: dict[str, float]
):
    """The rows of a table that are cells of a grid (its default learning rates times factors, at
    its weight decays), with a column `factor`."""
    names = table["optimizer"]
    factor = (table["learning_rate"].astype(float) / names.map(rates)).map(
        lambda value: float(f"{value:.3g}")
    )
    decay = names.map(lambda name: decays.get(name, 0.0))
    return table.assign(factor=factor)[
        factor.isin(factors) & (table["weight_decay"].astype(float) == decay)
    ]


@styled
def sweep_panels(
    history: pd.DataFrame, published: pd.DataFrame, *, score: str, title: str
) -> Figure:
    """Small multiples, an optimizer a column: train loss above, a dev score below, a line for each
    learning rate.

    `history` and `published` (dashed, thin) have `optimizer`, `learning_rate`, `factor`, `epoch`,
    `train_loss` and the score. They trained for different numbers of epochs, so the axis is the
    share of training.
    """
    optimizers = list(dict.fromkeys(history["optimizer"]))
    palette = _scale(sorted(history["factor"].unique(), reverse=True))
    figure = Figure(figsize=(2.3 * len(optimizers), 5.2))
    axes = figure.subplots(2, len(optimizers), sharex=True, sharey="row", squeeze=False)
    for column, optimizer in enumerate(optimizers):
        for table, style in (
            (published, {"linewidth": 0.9, "linestyle": (0, (4, 2))}),
            (history, {}),
        ):
            part = table[table["optimizer"] == optimizer]
            for (factor, *_), one in part.groupby(["factor", *["seed"] * ("seed" in part)]):
                share = one["epoch"] / one["epoch"].max()
                for ax, name in zip(axes[:, column], ("train_loss", score), strict=True):
                    ax.plot(
                        share,
                        one[name],
                        color=palette[factor],
                        label=f"×{factor:g}" if not style else None,
                        **style,
                    )
        axes[0, column].set_title(optimizer, fontweight="normal", fontsize=10)
        axes[1, column].xaxis.set_major_formatter(_share)
        axes[1, column].set_xticks([0, 0.5, 1])
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylabel("train loss (nats)")
    axes[1, 0].set_ylabel(score.replace("dev_", "dev "))
    _percent(axes[1, 0].yaxis)
    axes[1, len(optimizers) // 2].set_xlabel("share of the training")
    handles = {
        text: line for line, text in zip(*axes[0, 0].get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=len(handles), title=None
    )
    _title(figure, title)
    return figure


@styled
def outcome_grid(
    table: pd.DataFrame, *, rows: str, columns: str, metric: str, title: str
) -> Figure:
    """A heat map of a score; in each cell the score and how its runs ended."""
    across = sorted(table[columns].unique(), reverse=True)
    down = list(dict.fromkeys(table[rows]))
    figure = Figure(figsize=(1.6 + 1.45 * len(across), 1.0 + 0.7 * len(down)))
    ax = figure.subplots()
    cells = {(row[rows], row[columns]): row for row in table.to_dict("records")}
    values = np.array(
        [[cells.get((i, j), {}).get(metric, np.nan) for j in across] for i in down], dtype=float
    )
    top = np.nanmax(values)
    ax.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    for y, i in enumerate(down):
        for x, j in enumerate(across):
            if cell := cells.get((i, j)):
                score = "–" if np.isnan(values[y, x]) else f"{values[y, x]:.1%}"
                text = f"{score}\n{cell['outcome'].replace(', ', chr(10))}\nlr {float(cell['learning_rate']):g}"
                colour = "white" if values[y, x] > 0.55 * top else "#222222"
                ax.text(
                    x,
                    y,
                    text,
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color=colour,
                    linespacing=1.25,
                )
    ax.set_xticks(range(len(across)), [f"×{factor:g}" for factor in across])
    ax.set_yticks(range(len(down)), down)
    ax.set_xlabel("factor of the study's default learning rate")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    _title(figure, title)
    return figure


@styled
def decay_ablation(
    table: pd.DataFrame, published: pd.DataFrame, *, metric: str, title: str
) -> Figure:
    """A score by weight decay, the optimizers side by side; hollow: the last epoch of
    `published`."""
    figure = Figure(figsize=(7.2, 3.4))
    ax = figure.subplots()
    values = _grouped_dots(ax, table, metric, by="optimizer", within="weight_decay")
    palette = colours(table["optimizer"])
    for i, (name, colour) in enumerate(palette.items()):
        part = published[published["optimizer"] == name].set_index("weight_decay")
        places = np.arange(len(values)) + (i - (len(palette) - 1) / 2) * 0.13
        ax.plot(
            places,
            [part[metric].get(float(value), np.nan) for value in values],
            "D",
            markerfacecolor="none",
            color=colour,
            label=f"{name}, published",
        )
    ax.set_xticks(range(len(values)), values)
    ax.set_xlabel("weight decay")
    ax.set_ylabel(f"test {metric}, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


OUTCOME_COLOURS = {
    "learned": COLOURS[2],
    "still at the prior": COLOURS[4],
    "collapsed": COLOURS[1],
    "diverged": COLOURS[6],
}


@styled
def health_curves(history: pd.DataFrame, *, title: str) -> Figure:
    """Effective rank and mean pairwise cosine of the document embeddings by epoch; a line a run,
    its `outcome` the colour."""
    figure = Figure(figsize=(9.6, 3.6))
    axes = figure.subplots(1, 2)
    texts = {"embedding_rank": "effective rank", "embedding_cosine": "mean pairwise cosine"}
    for ax, (column, text) in zip(axes, texts.items(), strict=True):
        for outcome, colour in OUTCOME_COLOURS.items():
            runs = [one for _, one in history[history["outcome"] == outcome].groupby("run")]
            for i, one in enumerate(runs):
                name = f"{outcome} ({len(runs)} run{'s' * (len(runs) > 1)})" if i == 0 else None
                ax.plot(
                    one["epoch"], one[column], color=colour, linewidth=1.2, alpha=0.75, label=name
                )
        ax.set_title(text, fontweight="normal", fontsize=10)
        _epochs(ax)
    axes[0].set_yscale("log")
    _legend(figure, axes[0])
    _title(figure, title)
    return figure


@styled
def attention_grid(maps: dict[str, np.ndarray], *, title: str) -> Figure:
    """Attention (layers, tokens, tokens) of several runs, a row a run, a column a layer."""
    every = np.stack(list(maps.values()))
    layers, top = every.shape[1], float(np.quantile(every, 0.995))
    figure = Figure(figsize=(1.2 + 2.6 * layers, 2.75 * len(maps)))
    axes = figure.subplots(len(maps), layers, squeeze=False)
    for row, (name, layers_of_run) in zip(axes, maps.items(), strict=True):
        for number, (ax, weights) in enumerate(zip(row, layers_of_run, strict=True)):
            image = ax.imshow(
                weights, cmap="magma", norm=PowerNorm(0.5, vmin=0, vmax=top)
            )  # faint weights, too
            ax.set_title(f"layer {number + 1}", fontweight="normal", fontsize=9)
            ax.set_xlabel("attended to", fontsize=8)
            ax.grid(visible=False)
        row[0].set_ylabel(f"{name}\n\ntoken", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.7, label="attention weight (square-root colours)")
    _title(figure, title)
    return figure


@styled
def search_grid(table: pd.DataFrame, *, rows: str, columns: str, metric: str, title: str) -> Figure:
    """A heat map of a score over two fields; the best cell, of equal ones the table's first, is
    framed; a cell without a score says how it ended."""
    across = sorted(table[columns].unique(), key=float)
    down = sorted(table[rows].unique(), key=float)
    cells = {(row[rows], row[columns]): row for row in table.to_dict("records")}
    values = np.array(
        [[cells.get((i, j), {}).get(metric, np.nan) for j in across] for i in down], dtype=float
    )
    figure = Figure(figsize=(1.4 + 0.72 * len(across), 1.5 + 0.55 * len(down)))
    ax = figure.subplots()
    low, top = (
        np.nanquantile(values, 0.1),
        np.nanmax(values),
    )  # a few failed cells do not take all the colours
    ax.imshow(values, cmap="Blues", vmin=low, vmax=top, aspect="auto")
    for y, i in enumerate(down):
        for x, j in enumerate(across):
            if cell := cells.get((i, j)):
                text = cell["outcome"] if np.isnan(values[y, x]) else f"{100 * values[y, x]:.1f}"
                colour = "white" if values[y, x] > low + 0.55 * (top - low) else "#222222"
                ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color=colour)
    best = table.loc[table[metric].idxmax()]
    y, x = down.index(best[rows]), across.index(best[columns])
    ax.add_patch(
        Rectangle(
            (x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2.5, clip_on=False
        )
    )
    ax.set_xticks(range(len(across)), across)
    ax.set_yticks(range(len(down)), down)
    ax.set_xlabel(columns.replace("_", " "))
    ax.set_ylabel(rows.replace("_", " "))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    _title(figure, title)
    return figure


@styled
def cell_curves(
    history: pd.DataFrame, *, panels: str, lines: str, score: str, title: str
) -> Figure:
    """A dev score by epoch, a panel for each value of one field, a line for each value of
    another, light to dark."""
    values, names = sorted(history[panels].unique()), sorted(history[lines].unique(), reverse=True)
    palette = _scale(names)
    figure = Figure(figsize=(9.6, 3.8))
    axes = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for ax, value in zip(axes, values, strict=True):
        for name in names[::-1]:
            one = history[(history[panels] == value) & (history[lines] == name)]
            ax.plot(
                one["epoch"],
                one[f"dev_{score}"],
                color=palette[name],
                marker="o",
                markersize=3,
                label=f"{name:g}",
            )
        ax.set_title(f"{panels.replace('_', ' ')} {value}", fontweight="normal", fontsize=10)
        _epochs(ax)
    axes[0].set_ylabel(f"dev {titled(score)}")
    _percent(axes[0].yaxis, score)
    _legend(figure, axes[0])
    _title(figure, title)
    return figure


@styled
def search_cost(expected: pd.DataFrame, halved: pd.DataFrame, *, metric: str, title: str) -> Figure:
    """The expected best dev score by the epochs that a random search trains, and the path of
    successive halving."""
    figure = Figure(figsize=(7.2, 3.6))
    ax = figure.subplots()
    ax.plot(
        expected["epochs trained"],
        expected[metric],
        color=COLOURS[0],
        label="random search, expected best",
    )
    ax.plot(
        halved["epochs trained"], halved[metric], "o-", color=COLOURS[1], label="successive halving"
    )
    ax.set_xlabel("epochs trained")
    ax.set_ylabel(f"best dev {titled(metric)}")
    _percent(ax.yaxis, metric)
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def reliability(table: pd.DataFrame, *, title: str) -> Figure:
    """The share right by mean confidence, a line for each way to make probabilities; below, how
    many decisions each bin has."""
    figure = Figure(figsize=(5.6, 5.0))
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="as sure as right")
    names = list(dict.fromkeys(table["probabilities"]))
    for i, (name, colour) in enumerate(colours(names).items()):
        part = table[table["probabilities"] == name]
        ax.plot(part["confidence"], part["right"], "o-", color=colour, label=name)
        below.bar(
            part["confidence"] + (i - 0.5) * 0.016, part["decisions"], width=0.016, color=colour
        )
    lowest = max(0.0, float(np.floor(10 * table["confidence"].min()) / 10))
    ax.set_xlim(lowest, 1.01)
    ax.set_ylabel("share right")
    below.set_ylabel("decisions")
    below.set_xlabel("confidence")
    for axis in (ax.xaxis, ax.yaxis):
        _percent(axis)
    _legend(figure, ax)
    _title(figure, title)
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
    _title(figure, title)
    return figure


@styled
def speeds(table: pd.DataFrame, *, versus: str, title: str) -> Figure:
    """Documents a second with intervals, a bar a configuration; beside it the ratio (middle,
    low, high) in `versus`."""
    figure = Figure(figsize=(7.2, 1.0 + 0.38 * len(table)))
    ax = figure.subplots()
    places = np.arange(len(table))[::-1]
    speed = table["samples_per_second"]
    whiskers = [speed - table["samples_per_second_low"], table["samples_per_second_high"] - speed]
    shades = [COLOURS[0] if by == "ours" else COLOURS[1] for by in table["by"]]
    ax.barh(
        places,
        speed,
        xerr=whiskers,
        height=0.62,
        color=shades,
        error_kw={"linewidth": 1.2, "ecolor": "#333333"},
    )
    for place, end, ratio in zip(
        places, table["samples_per_second_high"], table[versus], strict=True
    ):
        ax.annotate(
            f"{ratio[0]:.1f}×",
            (end, place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.set_yticks(places, table["configuration"])
    ax.set_xlim(0, 1.12 * table["samples_per_second_high"].max())
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"documents a second, with 95 % interval; {versus} beside the bars")
    _title(figure, title)
    return figure


def _level(ax, row: dict, metric: str, *, colour: str, name: str, style: str = "-") -> None:
    """A horizontal line at a score, in a band that is its interval."""
    ax.axhspan(row[f"{metric}_low"], row[f"{metric}_high"], color=colour, alpha=0.12, linewidth=0)
    ax.axhline(row[metric], color=colour, linestyle=style, linewidth=1.2, label=name)


def _students(table: pd.DataFrame) -> tuple[pd.DataFrame, dict, list[dict]]:
    """The students of `lib.analysis.students.survival`'s table, the teacher's row, and the
    references' but the majority's."""
    rows = table[table["layers"] != "–"]
    references = table[(table["layers"] == "–") & (table["student"] != "majority class")].to_dict(
        "records"
    )
    return (
        rows[rows["layers"] != "all"],
        rows[rows["layers"] == "all"].iloc[0].to_dict(),
        references,
    )


@styled
def depth_scores(table: pd.DataFrame, *, metric: str, title: str) -> Figure:
    """A score by number of layers, the ways to teach side by side, and the teacher's and the
    references' lines; `table` from `lib.analysis.students.survival`."""
    figure = Figure(figsize=(7.2, 4.2))
    ax = figure.subplots()
    students, teacher, references = _students(table)
    students = students.sort_values("layers", kind="stable")
    _level(
        ax, teacher, metric, colour="black", name=f"teacher, all layers (n = {teacher['seeds']})"
    )
    for row, style in zip(references, ("--", ":"), strict=False):
        ax.axhline(row[metric], color=GREY, linestyle=style, linewidth=1.2, label=row["student"])
    values = _grouped_dots(ax, students, metric, by="student", within="layers")
    ax.set_xticks(range(len(values)), values)
    ax.set_xlabel("layers of the student")
    ax.set_ylabel(f"test {titled(metric)}, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def frontier(table: pd.DataFrame, speed: dict[int, float], *, metric: str, title: str) -> Figure:
    """A score against the measured speed, a line a way to teach, from the smallest student to the
    teacher.

    `speed` is in texts per second, by number of layers, 0 being the teacher's.
    """
    figure = Figure(figsize=(7.2, 4.2))
    ax = figure.subplots()
    students, teacher, references = _students(table)
    for row, style in zip(references, ("--", ":"), strict=False):
        ax.axhline(row[metric], color=GREY, linestyle=style, linewidth=1.2, label=row["student"])
    palette = colours(students["student"])
    for i, (name, colour) in enumerate(palette.items()):
        part = students[students["student"] == name]
        places = part["layers"].astype(int).map(speed).to_numpy() * 1.025 ** (
            i - (len(palette) - 1) / 2
        )  # side by side
        order = np.argsort(-places)
        ax.plot(
            [*places[order], speed[0]],
            [*part[metric].to_numpy()[order], teacher[metric]],
            color=colour,
            alpha=0.5,
            linewidth=1,
        )
        _dots(ax, places, part, metric, colour, name)
    ax.vlines(
        speed[0],
        teacher[f"{metric}_low"],
        teacher[f"{metric}_high"],
        color="black",
        linewidth=3,
        alpha=0.45,
    )
    ax.plot(speed[0], teacher[metric], "D", color="black", label="teacher")
    for depth, place in speed.items():
        ax.annotate(
            "all layers" if not depth else f"{depth} layer{'s' * (depth > 1)}",
            (place, 0),
            (0, 4),
            ha="center",
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=9,
        )
    ax.margins(x=0.1, y=0.12)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(ScalarFormatter())
    ax.set_xlabel("texts per second, 32 at once (measured on this machine)")
    ax.set_ylabel(f"test {titled(metric)}, with 95 % interval")
    _legend(figure, ax)
    _title(figure, title)
    return figure


@styled
def loss_terms(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Each loss on dev by epoch, a panel a loss, for those groups whose training weighs it."""
    names = {"dev_loss": "labels", "dev_soft": "soft labels", "dev_hidden": "hidden states"}
    names["dev_attentions"] = "attentions"
    terms = {column: text for column, text in names.items() if column in history}
    figure = Figure(figsize=(2.6 * len(terms), 3.4))
    axes = figure.subplots(1, len(terms), squeeze=False)[0]
    palette = colours(history[by])
    for ax, (column, text) in zip(axes, terms.items(), strict=True):
        for name, colour in palette.items():
            part = history[(history[by] == name) & history[column].notna()]
            for _, one in part.groupby("seed"):
                ax.plot(one["epoch"], one[column], color=colour, alpha=0.25, linewidth=1)
            mean = part.groupby("epoch")[column].mean()
            ax.plot(mean.index, mean, color=colour, marker="o", label=name)
        ax.set_title(text, fontweight="normal", fontsize=10)
        ax.set_ylim(bottom=0)
        _epochs(ax)
    axes[0].set_ylabel("loss on dev, before its weight")
    _legend(figure, axes[0])
    _title(figure, title)
    return figure
