"""Tables of a search: what its cells scored on dev, and what another search would have found
among them."""

import numpy as np
import pandas as pd

from lib.analysis.findings import apart, count, percent, score, titled
from lib.analysis.predictions import Predictions
from lib.analysis.tables import by_cell, by_group, run_scores
from lib.analysis.verdicts import expected_best as expected_best_of
from lib.metrics import classification_scores
from lib.runs.baselines import NAMES


def dev_scores(p: Predictions, metric: str) -> pd.DataFrame:
    """The dev score of every trained run after every epoch: its key, the epoch, the score."""
    rows = [
        {"run": key, "epoch": epoch, metric: run_scores(p, group)[metric][0]}
        for key, epoch, group in p.single("dev")
        if p.runs[key]["config"]["backbone"] not in NAMES
    ]
    return pd.DataFrame(rows, columns=["run", "epoch", metric])


def expected_best(p: Predictions, *, metric: str) -> pd.DataFrame:
    """The expected best dev score after n trials, drawn without replacement from the runs, and the
    epochs they train.

    The unbiased estimator of Tang et al. 2020: the mean of the best over all subsets of n runs. A
    run without a score counts as 0.
    """
    best = dev_scores(p, metric).groupby("run")[metric].max()
    trained = {key: run for key, run in p.runs.items() if run["config"]["backbone"] not in NAMES}
    values, epochs = (
        [best.get(key, 0.0) for key in trained],
        [run["last_epoch"] for run in trained.values()],
    )
    rows = [
        {"trials": n, metric: value, "epochs trained": n * float(np.mean(epochs))}
        for n, value in enumerate(expected_best_of(values), 1)
    ]
    return pd.DataFrame(rows)


def halving(p: Predictions, *, metric: str, eta: int = 3, start: int = 1) -> pd.DataFrame:
    """What successive halving would have done with these runs: after `start` epochs one cell in
    `eta` goes on, for `eta` times the epochs, and so on. Since it continues runs to the same
    bits, their own dev scores tell."""
    table, alive = (
        dev_scores(p, metric),
        [k for k, run in p.runs.items() if run["config"]["backbone"] not in NAMES],
    )
    last, rows, before, cost = int(table["epoch"].max()), [], 0, 0
    everything = sum(p.runs[key]["last_epoch"] for key in alive)
    rung = min(start, last)
    while True:
        best = table[table["epoch"] <= rung].groupby("run")[metric].max()
        cost += sum(max(0, min(rung, p.runs[key]["last_epoch"]) - before) for key in alive)
        row = {
            "after epoch": rung,
            "cells": len(alive),
            "epochs trained": cost,
            "share of the grid": cost / everything,
        }
        rows.append(row | {metric: max(best.get(key, 0.0) for key in alive)})
        if rung == last:
            return pd.DataFrame(rows)
        order = sorted(range(len(alive)), key=lambda i: (-best.get(alive[i], 0.0), i))
        alive = [alive[i] for i in sorted(order[: max(1, -(-len(alive) // eta))])]
        before, rung = rung, min(last, rung * eta)


def effects(p: Predictions, *, by: list[str], metric: str) -> pd.DataFrame:
    """The share of the variance of the best dev score over a full grid that each field explains
    alone, and the rest, which is their interplay and the noise."""
    best = dev_scores(p, metric).groupby("run")[metric].max()
    trained = {key: run for key, run in p.runs.items() if run["config"]["backbone"] not in NAMES}
    table = pd.DataFrame(
        [
            {f: run["config"][f] for f in by} | {metric: best.get(k, 0.0)}
            for k, run in trained.items()
        ]
    )
    whole = table[metric].var(ddof=0)
    shares = {
        f: float(table.groupby(f)[metric].transform("mean").var(ddof=0) / whole) if whole else 0.0
        for f in by
    }
    shares["interplay and noise"] = 1 - sum(shares.values())
    return pd.DataFrame({"field": list(shares), "share of variance": list(shares.values())})


def constant(p: Predictions, *, metric: str) -> str:
    """How many cells do no better on dev than the same class for every document."""
    best = dev_scores(p, metric).groupby("run")[metric].max()
    trained = [key for key, run in p.runs.items() if run["config"]["backbone"] not in NAMES]
    alone = p.keep(lambda run: run is p.runs[best.index[0]])
    labels, n = alone.groups("optimizer", split="dev")[0].labels, len(p.label_names)
    alike = [
        classification_scores(np.eye(n)[np.full(len(labels), k)], labels)[metric] for k in range(n)
    ]
    level = sum(best.get(key, 0.0) <= max(alike) for key in trained)
    return (
        f"The same class for every document scores a dev {titled(metric)} of {score(max(alike), metric)}: "
        f"**{level} of {len(trained)}** cells do no better, whatever their table seems to say."
    )


TABLES = {function.__name__: function for function in (expected_best, halving, effects)}


def chosen(p: Predictions, *, by: list[str], metric: str) -> str:
    """The cell that dev ranks first, how many it cannot be told from, and what it scores on test
    over its seeds."""
    trained = [run for run in p.runs.values() if run["config"]["backbone"] not in NAMES]
    first = p.where(seed=min(run["config"]["seed"] for run in trained))
    table = by_cell(first, by=by, metrics=[metric], epoch="chosen", split="dev", ranked=True)
    top, best = (
        table.iloc[0],
        dev_scores(first, metric).groupby("run", sort=False)[metric].max().idxmax(),
    )
    level = int((table[metric].iloc[1:] >= top[f"{metric}_low"]).sum())
    test = by_group(
        p.where(**{name: p.runs[best]["config"][name] for name in by}), by=by[0], metrics=[metric]
    ).iloc[0]
    named, told = " and ".join(f"{titled(name)} {top[name]}" for name in by), titled(metric)
    within, tested = (
        f"95 % interval {score(row[f'{metric}_low'], metric)} to {score(row[f'{metric}_high'], metric)}"
        for row in (top, test)
    )
    return (
        f"Of {len(table)} cells dev ranks **{named}** first, with a dev {told} of {score(top[metric], metric)} "
        f"({within}); {count(level, 'other cell')} {'lies' if level == 1 else 'lie'} within that interval. With "
        f"{count(int(test['seeds']), 'seed')}, it reaches {score(test[metric], metric)} on test ({tested})."
    )


def cheaper(p: Predictions, *, metric: str, eta: int = 3, start: int = 1) -> str:
    """What successive halving would have reached among these cells, and at what share of the
    grid's cost."""
    last, table = halving(p, metric=metric, eta=eta, start=start).iloc[-1], dev_scores(p, metric)
    gap = last[metric] - table[metric].max()
    return (
        f"Successive halving (one cell in {eta} goes on) would have trained {percent(last['share of the grid'])} of "
        f"the grid's epochs and ended {'at the same best score' if gap == 0 else apart(gap, metric) + ' from it'}, a "
        f"dev {titled(metric)} of {score(last[metric], metric)}."
    )


def trained(p: Predictions, *, search: str, cells: int) -> str:
    """How much of a grid of `cells` a search that is none has trained."""
    own = [run for run in p.runs.values() if run["config"]["backbone"] not in NAMES]
    epochs, whole = sum(run["last_epoch"] for run in own), cells * own[0]["config"]["epochs"]
    told = {"random": "Random search", "tpe": "The TPE sampler", "halving": "Successive halving"}[
        search
    ]
    return (
        f"{told} tried {len(own)} of {cells} cells and trained {count(epochs, 'epoch')}, {percent(epochs / whole)} of "
        f"the {whole:,} that the whole grid has."
    )


FINDINGS = {function.__name__: function for function in (chosen, constant, cheaper, trained)}
