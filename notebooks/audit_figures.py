"""The figure of the study of the original studies' bugs."""

from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.analysis.display import NO_INTERVAL, is_estimable, signed, title
from plots.intervals import interval_rows, label_dot
from plots.style import GREY, WIDTH, add_title, styled

WIDE = 3  # an interval that reaches so many times as far as the median one has another scale
NAME_WIDTH = 26  # characters of a line


@styled
def effect_intervals(table: pd.DataFrame, *, metric: str) -> Figure:
    """What each bug changes, with 95 % intervals, from the largest gain to the largest loss; those
    with the widest intervals in a panel of their own, whose scale is another. `table` is that of
    `effects`; those that are not significant are hollow, and those without an estimable interval
    have no bar."""
    table = _without_bars(table.sort_values(metric, ascending=False, kind="stable"), metric)
    reach = table[[f"{metric}_low", f"{metric}_high", metric]].abs().max(axis=1)
    is_wide = reach > WIDE * reach[reach > 0].median()
    panels = [part for part in (table[~is_wide], table[is_wide]) if len(part)]
    figure = Figure(figsize=(WIDTH, 1.2 + 0.55 * len(panels) + 0.46 * len(table)))
    heights = [len(panel) + 0.6 for panel in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, panel in zip(axes, panels, strict=True):
        names = ["\n".join(_lines(text)) for text in panel["bug"]]
        alike = panel.assign(colour="one")
        for place, row, colour in interval_rows(ax, alike, "colour", metric, names):
            has_bar = not np.isnan(row[f"{metric}_low"])
            label = signed(row[metric], metric) + f" {NO_INTERVAL}" * (not has_bar)
            label_dot(ax, label, row[metric], place, colour)
        ax.axvline(0, color=GREY, linewidth=1, zorder=1)
        ax.xaxis.set_major_formatter(_points_tick)
    axes[-1].set_xlabel("points, with 95 % interval" + "; two scales" * (len(panels) > 1))
    add_title(figure, f"Test {title(metric)} with a bug, less that without")
    return figure


def _without_bars(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A table whose intervals are not numbers where they are not estimable."""
    ends = [f"{metric}_low", f"{metric}_high"]
    estimable = [is_estimable(low, high, metric) for low, high in table[ends].to_numpy()]
    return table.assign(**{end: table[end].where(estimable) for end in ends})


def _lines(bug: str) -> list[str]:
    """A bug's name, and below it what it is shown on."""
    name, what = bug.split(": ")
    return wrap(f"{name}:", NAME_WIDTH) + wrap(what, NAME_WIDTH)


def _points_tick(share: float, _position=None) -> str:
    return f"{100 * share:+.4g}".replace("-", "−").replace("+0", "0")
