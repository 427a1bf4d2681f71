"""The study of batch sizes and learning rates: what its cells scored on dev, what another search
would have found among them, and what it leaves in the store."""

import math

import numpy as np
import pandas as pd

from lib.analysis import captions, cells
from lib.analysis.display import count, percent, score, title, with_metrics, words
from lib.analysis.predictions import Predictions
from lib.analysis.scores import best_dev_scores, dev_scores
from lib.metrics import classification_scores
from lib.runs.store import Runs
from lib.use.results import write_results

SEARCHES = {
    "random": "Random search",
    "tpe": "The TPE sampler",
    "halving": "Successive halving",
}

CAPTIONS = {  # of the tables and figures by their names
    "cells": "The best dev score of each cell, the highest first; one run each.",
    "cells_figure": "One run a cell, at its best epoch on dev; the framed cell is the best. The "
    "highest of so many is too high by chance.",
    "curves": "Best, quartiles and median of the cells' dev scores after each epoch; grey: one "
    "class for every document.",
    "effects": "How much of the variance over the cells each field explains alone.",
    "expected_best": "The expected best dev score after n trials drawn at random from the cells "
    "(the unbiased estimator).",
    "halving": "What successive halving would have done with these cells.",
    "cost": "The right end of the line is the whole grid.",
    "test": "Test scores of the cell that the search chose and of the default cell, with the same "
    "seeds, which had no part in the search. Each run is scored at its best epoch on dev.",
    "test_figure": captions.DOTS_BESIDE,
    "differences": captions.DIFFERENCES,
    "seeds": "The same, run by run.",
}


def expected_best_of(values) -> list[float]:
    """The expected best of 1, 2, … of these scores (runs,), drawn without replacement: the mean of
    the best over all subsets (Tang et al. 2020)."""
    values = np.sort(values)
    size = len(values)
    expected = []
    for n in range(1, size + 1):
        is_best = [math.comb(i, n - 1) / math.comb(size, n) for i in range(size)]
        expected.append(float(np.array(is_best) @ values))
    return expected


def by_cell(p: Predictions, *, by: list[str], metrics: list[str]) -> pd.DataFrame:
    """`lib.analysis.cells.by_cell` of the best dev scores, the highest first."""
    table = cells.by_cell(p, by=by, metrics=metrics, split="dev", epoch="chosen", ranked=True)
    table.attrs["drawn"] = True
    return table


def expected_best(p: Predictions, *, metric: str) -> pd.DataFrame:
    """The expected best dev score after n trials, drawn without replacement from the runs, and the
    epochs they train (`expected_best_of`). A run without a score counts as 0."""
    epochs = float(np.mean([run["last_epoch"] for run in p.trained.values()]))
    values = expected_best_of(list(best_dev_scores(p, metric).values()))
    rows = [
        {"trials": n, metric: value, "epochs trained": n * epochs}
        for n, value in enumerate(values, 1)
    ]
    table = pd.DataFrame(rows)
    table.attrs["drawn"] = True
    return with_metrics(table, {metric: metric})


def halving(p: Predictions, *, metric: str, eta: int = 3, start: int = 1) -> pd.DataFrame:
    """What successive halving would have done with these runs: after `start` epochs one cell in
    `eta` goes on, for `eta` times the epochs, and so on. Since it continues runs to the same
    bits, their own dev scores tell."""
    scores = dev_scores(p, metric)
    alive = list(p.trained)
    last = int(scores["epoch"].max())
    epochs_of = {key: run["last_epoch"] for key, run in p.trained.items()}
    rows = []
    trained = 0  # epochs of all cells together
    before = 0
    rung = min(start, last)
    while True:
        best = scores[scores["epoch"] <= rung].groupby("run")[metric].max()
        trained += sum(max(0, min(rung, epochs_of[key]) - before) for key in alive)
        rows.append(
            {
                "after epoch": rung,
                "cells": len(alive),
                "epochs trained": trained,
                "share of the grid": trained / sum(epochs_of.values()),
                metric: max(best.get(key, 0.0) for key in alive),
            }
        )
        if rung == last:
            return with_metrics(pd.DataFrame(rows), {"share of the grid": "share", metric: metric})
        ranked = sorted(alive, key=lambda key: -best.get(key, 0.0))
        survivors = ranked[: max(1, math.ceil(len(alive) / eta))]
        alive = [key for key in alive if key in survivors]
        before = rung
        rung = min(last, rung * eta)


def effects(p: Predictions, *, by: list[str], metric: str) -> pd.DataFrame:
    """The share of the variance of the best dev score over a full grid that each field explains
    alone, and the rest, which is their interplay and the noise."""
    table = pd.DataFrame([run["config"] for run in p.trained.values()])[by]
    scores = pd.Series(list(best_dev_scores(p, metric).values()))
    variance = scores.var(ddof=0)
    shares = {}
    for field in by:
        of_field = scores.groupby(table[field]).transform("mean").var(ddof=0)
        shares[field] = float(of_field / variance) if variance else 0.0
    shares["interplay and noise"] = 1 - sum(shares.values())
    fields = [words(field) for field in shares]
    table = pd.DataFrame({"field": fields, "share of variance": list(shares.values())})
    return with_metrics(table, {"share of variance": "share"})


def constant_score(p: Predictions, metric: str) -> float:
    """The best dev score that the same class for every document has."""
    _, _, group = next(each for each in p.single("dev") if each[0] in p.trained)
    of_class = [
        classification_scores(np.tile(one, (len(group.labels), 1)), group.labels)[metric]
        for one in np.eye(len(p.label_names))
    ]
    return float(max(of_class))


def constant(p: Predictions, *, metric: str) -> str:
    """How many cells do no better on dev than the same class for every document."""
    constant = constant_score(p, metric)
    level = sum(value <= constant for value in best_dev_scores(p, metric).values())
    return (
        f"The same class for every document scores a dev {title(metric)} of "
        f"{score(constant, metric)}: **{level} of {len(p.trained)}** cells do no better."
    )


def cheaper(p: Predictions, *, metric: str, eta: int = 3, start: int = 1) -> str:
    """What successive halving would have reached among these cells, and at what share of the
    grid's cost."""
    last = halving(p, metric=metric, eta=eta, start=start).iloc[-1]
    best = dev_scores(p, metric)[metric].max()
    beside = f"where the whole grid has {score(best, metric)}"
    if last[metric] == best:
        beside = "the best of the whole grid"
    return (
        f"Successive halving (one cell in {eta} goes on) would have trained "
        f"{percent(last['share of the grid'])} of the grid's epochs and ended at a dev "
        f"{title(metric)} of {score(last[metric], metric)}, {beside}."
    )


def trained(p: Predictions, *, search: str, cells: int) -> str:
    """How much of a grid of `cells` a search that is none has trained."""
    runs = list(p.trained.values())
    epochs = sum(run["last_epoch"] for run in runs)
    of_grid = cells * runs[0]["config"]["epochs"]
    return (
        f"{SEARCHES[search]} tried {len(runs)} of {cells} cells and trained "
        f"{count(epochs, 'epoch')}, {percent(epochs / of_grid)} of the {of_grid:,} that the whole "
        "grid has."
    )


def write_all_results(runs: Runs) -> None:
    """Write what transformers' example scripts leave to the folder of each run of the store."""
    for run in runs:
        write_results(run)
