"""The figure of the study of label budgets: scores against labelled texts."""

import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import axis_label, title
from notebooks.label_budget import EMBEDDINGS, IN_TABLE, SIZE
from plots.style import (
    COLOURS,
    GREY,
    WIDTH,
    add_legend,
    add_title,
    metric_axis,
    styled,
)

LOOKS_OF_MODELS = ((COLOURS[0], "o"), (COLOURS[1], "D"))  # colour and mark
LOOKS = {"TF-IDF": ("#444444", "s"), EMBEDDINGS: (GREY, "^")}
STAGGER = 0.018  # of the axis from a method to the next, so that intervals do not hide each other
DOTS_ASIDE = 0.5  # of that, from a mean to its samples


def looks(methods) -> dict[str, tuple[str, str]]:
    """A colour and a mark for each method, the same on every page: references are dark and light
    grey."""
    looks_of_models = iter(LOOKS_OF_MODELS)
    looks_by_name = {}
    for name in dict.fromkeys(methods):
        reference = EMBEDDINGS if name.endswith(f"'s {EMBEDDINGS}") else name
        looks_by_name[name] = LOOKS.get(reference) or next(looks_of_models)
    return looks_by_name


@styled
def by_texts(table: pd.DataFrame, samples: pd.DataFrame, *, metric: str) -> Figure:
    """Test scores with their intervals by number of labelled texts, a line a method, and a dot
    beside it for each sample."""
    figure = Figure(figsize=(WIDTH, 4.4))
    ax = figure.subplots()
    table = table[~table["method"].isin(IN_TABLE)]
    sizes = sorted(table[SIZE].unique())
    step = (sizes[-1] / sizes[0]) ** STAGGER
    methods = looks(table["method"])
    for i, (name, (colour, mark)) in enumerate(methods.items()):
        aside = step ** (i - (len(methods) - 1) / 2)
        of_method = table[table["method"] == name]
        places = of_method[SIZE] * aside
        low = of_method[f"{metric}_low"]
        high = of_method[f"{metric}_high"]
        ax.vlines(places, low, high, color=colour, linewidth=2.5, alpha=0.4)
        ax.plot(places, of_method[metric], color=colour, marker=mark, markersize=5, label=name)
        dots = samples[samples["method"] == name]
        beside = dots[SIZE] * aside * step**DOTS_ASIDE
        ax.scatter(beside, dots[metric], s=9, color=colour, alpha=0.6, linewidths=0, zorder=3)
    _logarithmic(ax, sizes)
    ax.set_xlabel("labelled texts (logarithmic)")
    ax.set_ylabel(axis_label(metric))
    _finish(figure, ax, metric)
    add_title(figure, f"Test {title(metric)} by number of labels")
    return figure


def _logarithmic(ax, sizes: list[int]) -> None:
    """A logarithmic axis with the sizes themselves at its ticks."""
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=35 if len(sizes) > 6 else 0)
    ax.set_xticks([], minor=True)


def _finish(figure: Figure, ax, metric: str) -> None:
    metric_axis(ax.yaxis, metric)
    add_legend(figure, ax)
