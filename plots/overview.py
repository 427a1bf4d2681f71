"""The figure of all pages: each one's best model beside its reference, as dev chooses both."""

import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import score
from lib.metrics import METRICS
from plots.style import (
    COLOURS,
    DARK,
    GREY,
    SMALLEST,
    WIDTH,
    add_title,
    literal,
    metric_axis,
    styled,
    write_beside,
)

PLACES = {"best": 0.36, "reference": 0.68}  # below the top of a page's row, whose height is 1
USUAL = (" + logistic regression", ", whole text")  # endings of references that need no saying
USUAL_METRIC = "accuracy"
AXIS = (
    "test accuracy, or as named, with 95 % interval\n"
    "blue: fine-tuned; grey: reference; sorted by lead"
)
COLOUR = {"best": COLOURS[0], "reference": GREY}
LINE = 20  # characters beside a dot and before a score
APART = 3  # times as far below the median as the highest is above it: another scale


@styled
def overview(table: pd.DataFrame, *, title: str) -> Figure:
    """A row a page, with the columns `data` and `model` (what stands above the row), `metric`
    (named where it is not accuracy), and of `best` and `reference`: its name, `_score`, `_low` and
    `_high` (shares). Pages with far lower scores are in a panel of their own."""
    lowest = table[["best_score", "reference_score"]].astype(float).min(axis=1)
    is_apart = lowest < lowest.median() - APART * (lowest.max() - lowest.median())
    panels = [rows for rows in (table[~is_apart], table[is_apart]) if len(rows)]
    figure = Figure(figsize=(WIDTH, 0.7 + 0.4 * len(panels) + 0.82 * len(table)))
    heights = [len(rows) for rows in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, rows in zip(axes, panels, strict=True):
        _panel(ax, rows)
    axes[-1].set_xlabel(AXIS, loc="right")
    add_title(figure, title)
    return figure


def _panel(ax, table: pd.DataFrame) -> None:
    """Rows on one scale, with room for texts at both ends."""
    ends = [f"{role}_{end}" for role in PLACES for end in ("score", "low", "high")]
    values = table[ends].astype(float)
    low, high = values.min().min(), values.max().max()
    room = max(high - low, 0.02)
    ax.set_xlim(low - 0.3 * room, min(high + 0.3 * room, 1.01))
    ax.set_ylim(len(table), 0)
    for number, row in enumerate(table.to_dict("records")):
        above = f"{row['data']} · {row['model']}"
        at_left = {"transform": ax.get_yaxis_transform(), "va": "top", "color": DARK}
        heading = ax.text(0, number + 0.06, literal(above, 64), fontsize=SMALLEST, **at_left)
        heading.set_in_layout(False)  # the rows take the whole width, and text lies on them
        for role, place in PLACES.items():
            if isinstance(row[role], str):
                _draw(ax, row, role, number + place)
        ax.axhline(number, color="#cccccc", linewidth=0.8)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    metric_axis(ax.xaxis, most=8)  # over the whole width


def _draw(ax, row: dict, role: str, place: float) -> None:
    """A dot with its interval, and beside it whose score it is."""
    value = row[f"{role}_score"]
    ends = [row[f"{role}_low"], row[f"{role}_high"]]
    ax.plot(ends, [place, place], color=COLOUR[role], linewidth=3, alpha=0.45)
    ax.plot(value, place, "o", color=COLOUR[role], markersize=7)
    reach = [value, *(end for end in ends if end == end and end is not None)]
    left, right = ax.get_xlim()
    is_after = right - max(reach) > min(reach) - left  # where there is more room
    name = row[role]
    for ending in USUAL:
        name = name.removesuffix(ending)
    metric = "" if row["metric"] == USUAL_METRIC else f"{METRICS[row['metric']].title} "
    gap = "\n" if len(name) > LINE else " "
    label = write_beside(
        ax,
        f"{literal(name)}{gap}{metric}{score(value, row['metric'])}",
        (max(reach) if is_after else min(reach), place),
        (7 if is_after else -7, 0),
        ha="left" if is_after else "right",
        color=COLOUR[role],
    )
    label.set_in_layout(False)
