"""Tables of runs that differ in several fields: the cells of a grid."""

from collections import Counter

import pandas as pd

from lib.analysis.display import with_metrics
from lib.analysis.numbers import plain_number
from lib.analysis.predictions import Predictions
from lib.analysis.scores import sample_of
from lib.analysis.stats import mean_and_interval, no_score
from lib.metrics import METRICS

CELL = ("optimizer", "learning_rate", "weight_decay")  # what tells apart the runs of a grid


def cell_of(run: dict) -> tuple:
    return tuple(run["config"][name] for name in CELL)


def outcome_of(run: dict) -> str:
    """How a run ended: its health's verdict, or else its status."""
    return run.get("outcome", run["status"])


def by_cell(
    p: Predictions,
    *,
    by: list[str],
    metrics: list[str],
    epoch: str = "last",
    split: str = "test",
    ranked: bool = False,
) -> pd.DataFrame:
    """One row for each combination of the fields `by` that was run, the highest first if
    `ranked`: how its runs ended, and scores, from three seeds on with 95 % intervals; a run that
    diverged before it could be scored has none. `reason` says why runs diverged."""
    cells = cells_of(p, by)
    if not ranked:
        cells = in_groups(cells)
    rows = []
    for cell in cells:
        runs = p.where(**cell)
        row = {name: _written(value) for name, value in cell.items()}
        row |= _ends(runs)
        row |= _cell_scores(runs, by[0], metrics, split, epoch)
        reasons = [run["reason"] for run in runs.trained.values() if "reason" in run]
        rows.append(row | {"reason": reasons[0] if reasons else ""})
    table = pd.DataFrame(rows)
    if ranked:
        table = table.sort_values(metrics[0], ascending=False, kind="stable", ignore_index=True)
    if not table["reason"].any():
        table = table.drop(columns="reason")
    return with_metrics(table, {metric: metric for metric in metrics})


def cells_of(p: Predictions, by: list[str]) -> list[dict]:
    """Each combination of the fields `by` that was run, in the order of the runs."""
    cells = [tuple(run["config"][name] for name in by) for run in p.trained.values()]
    return [dict(zip(by, cell, strict=True)) for cell in dict.fromkeys(cells)]


def in_groups(cells: list[dict]) -> list[dict]:
    """Together the cells that share the first field; these by the others' values."""
    values = [tuple(cell.values()) for cell in cells]
    order = list(dict.fromkeys(first for first, *_ in values))
    places = sorted(range(len(cells)), key=lambda i: (order.index(values[i][0]), *values[i][1:]))
    return [cells[i] for i in places]


def _written(value) -> str:
    return plain_number(value) if isinstance(value, float) else str(value)


def _ends(p: Predictions) -> dict:
    """How many runs a cell has, and how they ended."""
    ends = Counter()
    for run in p.trained.values():
        stop = run["config"].get("stop_after")
        ends[f"dropped after epoch {stop}" if stop else outcome_of(run)] += 1
    several = ends.total() > 1
    outcomes = [f"{end} ({number})" if several else end for end, number in ends.items()]
    return {"seeds": ends.total(), "outcome": ", ".join(outcomes)}


def _cell_scores(p: Predictions, by: str, metrics: list[str], split: str, epoch: str) -> dict:
    """The scores of a cell's runs, missing where none could be scored."""
    groups = p.groups(by, split=split, epoch=epoch)
    group = next((group for group in groups if not group.is_reference), None)
    row = {}
    for metric in metrics:
        if group is None:
            row |= no_score(metric)
        else:
            sample = sample_of(p, group.counted_once, metric)
            row |= mean_and_interval(metric, sample, METRICS[metric].limits)
    return row
