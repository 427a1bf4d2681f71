"""Figures of the study of distillation: what of a teacher survives in smaller students."""

from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import axis_label, count, score
from plots.intervals import dots, interval_rows, label_dot
from plots.style import (
    GREY,
    WIDTH,
    add_legend,
    add_title,
    colours,
    epoch_axis,
    metric_axis,
    panel_title,
    styled,
)

NAME_WIDTH = 20  # characters of a line


def _parts(table: pd.DataFrame) -> tuple[pd.DataFrame, dict, dict]:
    """The students of `notebooks.distillation.survival`'s table, the teacher's row, and the best
    reference's."""
    is_reference = table["layers"] == "–"
    is_teacher = table["layers"] == "all"
    best = table[table["student"] == table.attrs["reference"]].iloc[0].to_dict()
    teacher = table[is_teacher].iloc[0].to_dict()
    return table[~is_reference & ~is_teacher], teacher, best


@styled
def depth_scores(table: pd.DataFrame, *, metric: str) -> Figure:
    """A score of the ways to teach, a panel a depth from the deepest, best first, and the lines
    of the teacher and of the best reference; `table` from `notebooks.distillation.survival`."""
    students, teacher, reference = _parts(table)
    panels = [rows for _, rows in students.groupby("layers")][::-1]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.46 * len(students) + 0.3 * len(panels)))
    heights = [len(rows) for rows in panels]
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    palette = colours(students["student"])
    for ax, rows in zip(axes, panels, strict=True):
        rows = rows.sort_values(metric, ascending=False, kind="stable")
        low = teacher[f"{metric}_low"]
        high = teacher[f"{metric}_high"]
        ax.axvspan(low, high, color="black", alpha=0.12, linewidth=0)
        name = f"teacher, {score(teacher[metric], metric)}"
        ax.axvline(teacher[metric], color="black", linestyle="-", linewidth=1.2, label=name)
        name = f"{reference['student']}, {score(reference[metric], metric)}"
        ax.axvline(reference[metric], color=GREY, linestyle="--", linewidth=1.2, label=name)
        depth = count(int(rows["layers"].iloc[0]), "layer")
        of_seeds = table.attrs["seed_scores"]
        seeds = {name: of_seeds[f"{depth}, {name}"] for name in rows["student"]}
        _named_dots(ax, rows, metric, palette, seeds)
        panel_title(ax, depth)
        metric_axis(ax.xaxis, metric)
    axes[-1].set_xlabel(axis_label(metric))
    add_legend(figure, axes[0])
    add_title(figure, "Students by depth and way to teach")
    return figure


def _named_dots(
    ax, rows: pd.DataFrame, metric: str, palette: dict[str, str], seeds: dict[str, list[float]]
) -> None:
    """Dots with intervals, values and the scores of the seeds, a row a student from above."""
    names = ["\n".join(wrap(name, NAME_WIDTH)) for name in rows["student"]]
    for place, row, colour in interval_rows(ax, rows, "student", metric, names, palette, seeds):
        label_dot(ax, score(row[metric], metric), row[metric], place, colour)


@styled
def frontier(table: pd.DataFrame, speed: dict[int, float], *, metric: str) -> Figure:
    """A score against the measured speed, a line a way to teach, from the smallest student to the
    teacher.

    `speed` is in texts per second, by number of layers, 0 being the teacher's.
    """
    figure = Figure(figsize=(WIDTH, 5.0))
    ax = figure.subplots()
    students, teacher, reference = _parts(table)
    line = {"color": GREY, "linestyle": "--", "linewidth": 1.2}
    ax.axhline(reference[metric], label=reference["student"], **line)
    palette = colours(students["student"])
    for i, (name, colour) in enumerate(palette.items()):
        of_method = students[students["student"] == name]
        side_by_side = 1.025 ** (i - (len(palette) - 1) / 2)
        places = of_method["layers"].astype(int).map(speed).to_numpy() * side_by_side
        order = np.argsort(-places)
        scores = of_method[metric].to_numpy()[order]
        line = {"color": colour, "alpha": 0.5, "linewidth": 1}
        ax.plot([*places[order], speed[0]], [*scores, teacher[metric]], **line)
        dots(ax, places, of_method, metric, colour, name)
    low = teacher[f"{metric}_low"]
    high = teacher[f"{metric}_high"]
    ax.vlines(speed[0], low, high, color="black", linewidth=3, alpha=0.45)
    ax.plot(speed[0], teacher[metric], "D", color="black", label="teacher")
    ax.margins(x=0.1, y=0.12)
    ax.set_xscale("log")
    ax.set_xticks([*speed.values()], [_speed_tick(*pair) for pair in speed.items()])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("texts per second, 32 at once, on this machine")
    ax.set_ylabel(axis_label(metric))
    add_legend(figure, ax)
    add_title(figure, "What is lost, and what is won")
    return figure


def _speed_tick(depth: int, speed: float) -> str:
    """A speed, and below it the number of layers that has it."""
    return f"{speed:,.0f}\n{count(depth, 'layer') if depth else 'all'}"


@styled
def loss_terms(history: pd.DataFrame, *, by: str, title: str) -> Figure:
    """Each loss on dev by epoch, a panel a loss, for those groups whose training weighs it."""
    names = {
        "dev_loss": "labels",
        "dev_soft": "soft labels",
        "dev_hidden": "hidden states",
        "dev_attentions": "attentions",
    }
    terms = {column: text for column, text in names.items() if column in history}
    rows = (len(terms) + 1) // 2
    figure = Figure(figsize=(WIDTH, 0.8 + 2.2 * rows))
    axes = figure.subplots(rows, 2).flat
    palette = colours(history[by])
    for ax in axes[len(terms) :]:
        ax.set_visible(False)
    for ax, (column, text) in zip(axes, terms.items(), strict=False):
        for name, colour in palette.items():
            weighed = history[(history[by] == name) & history[column].notna()]
            for _, run in weighed.groupby("seed"):
                ax.plot(run["epoch"], run[column], color=colour, alpha=0.25, linewidth=1)
            mean = weighed.groupby("epoch")[column].mean()
            ax.plot(mean.index, mean, color=colour, marker="o", label=name)
        panel_title(ax, text)
        ax.set_ylim(bottom=0)
        epoch_axis(ax)
    figure.supylabel("loss on dev, before its weight", fontsize=10)
    add_legend(figure, axes[0])
    add_title(figure, title)
    return figure
