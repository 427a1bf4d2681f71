"""Figures of cells: confusions, and the grid that a heat map is drawn from."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plots.style import DARK, SMALLEST, WIDTH, add_title, bare_grid, literal, styled

NAME_WIDTH = 18  # characters of a class's name
FEW = 8  # classes whose every cell has room for a share


@styled
def confusion_matrix(table: pd.DataFrame, *, title: str) -> Figure:
    """Shares of each gold class (rows), the counts beside them; `table` from
    `lib.analysis.classes.confusion_table`, with the classes as index and columns."""
    names = [literal(name, NAME_WIDTH) for name in table.columns]
    side = max(1.0, 0.11 * len(names))
    longest = max(map(len, names))
    figure = Figure(figsize=(WIDTH * side, 4.0 * side + 0.03 * longest))
    ax = figure.subplots()
    counts = table.to_numpy(dtype=float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{counts[i, j]:,.0f}" if counts[i, j] or len(names) <= FEW else ""
        if len(names) <= FEW:
            text = f"{share:.0%}\n{text}"
        colour = "white" if share > 0.5 else DARK
        ax.text(j, i, text, ha="center", va="center", fontsize=SMALLEST, color=colour)
    if len(names) * longest > 40 * side:  # characters, which would run into each other
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
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
