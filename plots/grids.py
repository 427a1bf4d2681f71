"""Figures of cells: confusions, and the grid that a heat map is drawn from."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plots.style import DARK, add_title, bare_grid, literal, styled


@styled
def confusion_matrix(table: pd.DataFrame, *, title: str) -> Figure:
    """Shares of each gold class (rows), the counts beside them; `table` from
    `lib.analysis.classes.confusion_table`, with the classes as index and columns."""
    names = [literal(name) for name in table.columns]
    side = max(1.0, 0.16 * len(names))
    figure = Figure(figsize=(5.6 * side, 4.4 * side))
    ax = figure.subplots()
    counts = table.to_numpy(dtype=float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{share:.1%}\n{counts[i, j]:,.1f}".replace(".0\n", "\n")
        colour = "white" if share > 0.5 else DARK
        ax.text(j, i, text, ha="center", va="center", fontsize=9, color=colour)
    if sum(map(len, names)) > 48:  # characters, which would run into each other
        ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    else:
        ax.set_xticks(range(len(names)), names, rotation=0, ha="center")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("predicted")
    ax.set_ylabel("gold")
    bare_grid(ax)
    add_title(figure, title)
    return figure


def cells_of(
    table: pd.DataFrame, *, rows: str, columns: str, metric: str, down: list, across: list
) -> tuple[dict, np.ndarray]:
    """The rows of a table by their place in a grid, and the metric as an array (down, across)."""
    cells = {(row[rows], row[columns]): row for row in table.to_dict("records")}
    values = [[cells.get((i, j), {}).get(metric, np.nan) for j in across] for i in down]
    return cells, np.array(values, dtype=float)
