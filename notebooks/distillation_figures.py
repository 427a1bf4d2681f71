"""Figures of the study of distillation: what of a teacher survives in smaller students."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from lib.analysis.display import axis_label, count
from lib.runs.baselines import NAMES
from plots.intervals import dots, grouped_dots
from plots.style import GREY, add_legend, add_title, colours, epoch_axis, panel_title, styled


def _parts(table: pd.DataFrame) -> tuple[pd.DataFrame, dict, list[dict]]:
    """The students of `notebooks.distillation.survival`'s table, the teacher's row, and the
    references' but the majority's."""
    is_reference = table["layers"] == "–"
    is_teacher = table["layers"] == "all"
    references = table[is_reference & (table["student"] != NAMES["majority"])]
    teacher = table[is_teacher].iloc[0].to_dict()
    return table[~is_reference & ~is_teacher], teacher, references.to_dict("records")


def _reference_lines(ax, references: list[dict], metric: str) -> None:
    for row, style in zip(references, ("--", ":"), strict=False):
        ax.axhline(row[metric], color=GREY, linestyle=style, linewidth=1.2, label=row["student"])


@styled
def depth_scores(table: pd.DataFrame, *, metric: str) -> Figure:
    """A score by number of layers, the ways to teach side by side, and the teacher's and the
    references' lines; `table` from `notebooks.distillation.survival`."""
    figure = Figure(figsize=(7.2, 4.2))
    ax = figure.subplots()
    students, teacher, references = _parts(table)
    students = students.sort_values("layers", kind="stable")
    low = teacher[f"{metric}_low"]
    high = teacher[f"{metric}_high"]
    name = f"teacher, all layers (n = {teacher['seeds']})"
    ax.axhspan(low, high, color="black", alpha=0.12, linewidth=0)
    ax.axhline(teacher[metric], color="black", linestyle="-", linewidth=1.2, label=name)
    _reference_lines(ax, references, metric)
    values = grouped_dots(ax, students, metric, by="student", within="layers")
    ax.set_xticks(range(len(values)), values)
    ax.set_xlabel("layers of the student")
    ax.set_ylabel(axis_label(metric))
    add_legend(figure, ax)
    add_title(figure, "Test accuracy by depth and way to teach")
    return figure


@styled
def frontier(table: pd.DataFrame, speed: dict[int, float], *, metric: str) -> Figure:
    """A score against the measured speed, a line a way to teach, from the smallest student to the
    teacher.

    `speed` is in texts per second, by number of layers, 0 being the teacher's.
    """
    figure = Figure(figsize=(7.2, 4.2))
    ax = figure.subplots()
    students, teacher, references = _parts(table)
    _reference_lines(ax, references, metric)
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
    _name_depths(ax, speed)
    ax.margins(x=0.1, y=0.12)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(ScalarFormatter())
    ax.set_xlabel("texts per second, 32 at once (measured on this machine)")
    ax.set_ylabel(axis_label(metric))
    add_legend(figure, ax)
    add_title(figure, "What is lost, and what is won")
    return figure


def _name_depths(ax, speed: dict[int, float]) -> None:
    """The number of layers above the axis, at the speed that they have."""
    for depth, place in speed.items():
        ax.annotate(
            count(depth, "layer") if depth else "all layers",
            (place, 0),
            (0, 4),
            ha="center",
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=9,
        )


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
    figure = Figure(figsize=(2.6 * len(terms), 3.4))
    axes = figure.subplots(1, len(terms), squeeze=False)[0]
    palette = colours(history[by])
    for ax, (column, text) in zip(axes, terms.items(), strict=True):
        for name, colour in palette.items():
            weighed = history[(history[by] == name) & history[column].notna()]
            for _, run in weighed.groupby("seed"):
                ax.plot(run["epoch"], run[column], color=colour, alpha=0.25, linewidth=1)
            mean = weighed.groupby("epoch")[column].mean()
            ax.plot(mean.index, mean, color=colour, marker="o", label=name)
        panel_title(ax, text)
        ax.set_ylim(bottom=0)
        epoch_axis(ax)
    axes[0].set_ylabel("loss on dev, before its weight")
    add_legend(figure, axes[0])
    add_title(figure, title)
    return figure
