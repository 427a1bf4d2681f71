"""Tables of runs that differ in several fields: the cells of a grid, and the best of them."""

from collections import Counter

import numpy as np
import pandas as pd

from lib.analysis.display import with_metrics
from lib.analysis.predictions import HEALTH, Predictions
from lib.analysis.scores import resampled_scores, run_scores
from lib.analysis.stats import mean_and_interval
from lib.metrics import METRICS
from lib.runs.baselines import NAMES
from lib.runs.outcomes import DIVERGED

HEALTH_METRICS = {  # what these columns hold
    "dev_loss": "loss",
    "embedding_cosine": "embedding_cosine",
    "top_label_share": "share",
    "gradient_norm": "gradient_norm",
}


def cell_of(run: dict) -> tuple:
    """What tells apart the runs of a grid: optimizer, learning rate and weight decay."""
    return tuple(run["config"][name] for name in ("optimizer", "learning_rate", "weight_decay"))


def outcome_of(run: dict) -> str:
    """How a run ended: its health's verdict, or else its status."""
    return run.get("outcome", run["status"])


def best(p: Predictions, *, by: str = "optimizer", metric: str = "P@1") -> Predictions:
    """Of every group, the runs of its best cell: the one whose first seed has the highest score
    on dev. A run that diverged is worse than any other."""
    first_seed = min(run["config"]["seed"] for run in p.trained.values())
    best_of: dict[str, tuple[float, tuple]] = {}
    for run in p.trained.values():
        if run["config"]["seed"] != first_seed:
            continue
        alone = p.keep(lambda other, run=run: other is run).groups(by, split="dev")
        group = next((group for group in alone if group.name not in NAMES), None)
        score = float(run_scores(p, group)[metric][0]) if group else 0.0
        score -= outcome_of(run) == DIVERGED
        name = run["config"][by]
        if name not in best_of or score > best_of[name][0]:
            best_of[name] = score, cell_of(run)
    return p.keep(lambda run: cell_of(run) == best_of[run["config"][by]][1])


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
    `ranked`: how its runs ended and in what health, and scores with their 95 % intervals; a run
    that diverged before it could be scored has none. `reason` says why runs diverged."""
    cells = [tuple(run["config"][name] for name in by) for run in p.trained.values()]
    cells = list(dict.fromkeys(cells))
    if not ranked:  # together what shares the first field
        order = list(dict.fromkeys(cell[0] for cell in cells))
        cells.sort(key=lambda cell: (order.index(cell[0]), *cell[1:]))
    rows = []
    for cell in cells:
        runs = p.where(**dict(zip(by, cell, strict=True)))
        row = {name: _written(value) for name, value in zip(by, cell, strict=True)}
        row |= _ends(runs)
        row |= _cell_scores(runs, by[0], metrics, split, epoch)
        rows.append(row | _health(runs))
    table = pd.DataFrame(rows)
    if ranked:
        table = table.sort_values(metrics[0], ascending=False, kind="stable", ignore_index=True)
    table = table.drop(columns=[name for name in ("reason", *HEALTH) if not table[name].any()])
    return with_metrics(table, {metric: metric for metric in metrics} | HEALTH_METRICS)


def _written(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


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
    group = next((group for group in groups if group.name not in NAMES), None)
    if group is None:
        ends = ("", "_low", "_high")
        return {f"{metric}{end}": np.nan for metric in metrics for end in ends}
    scores = run_scores(p, group)
    resampled = resampled_scores(p, group, metrics)
    row = {}
    for metric in metrics:
        limits = METRICS[metric].limits
        row |= mean_and_interval(metric, scores[metric], resampled[metric], limits)
    return row


def _health(p: Predictions) -> dict:
    """The mean health of a cell's runs after their last epoch, and why one diverged."""
    runs = p.trained.values()
    row = {}
    for name in HEALTH:
        values = [run["health"][name] for run in runs if "health" in run]
        row[name] = np.mean(values) if values else np.nan
    row["reason"] = next((run["reason"] for run in runs if "reason" in run), "")
    return row
