"""Differences between groups of runs on the same documents: pairs, intervals, tests, verdicts."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.analysis.display import count, with_metrics
from lib.analysis.groups import Group
from lib.analysis.predictions import Predictions
from lib.analysis.resampling import RESAMPLES
from lib.analysis.scores import display_name, resampled_scores, run_scores
from lib.analysis.stats import family_verdicts, mcnemar, mean_and_interval, p_value
from lib.metrics import METRICS
from lib.runs.baselines import NO_MODEL

MINUS = " − "  # between the two names of a comparison


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two groups whose runs are paired."""

    one: Group
    other: Group
    runs: tuple[list[int], list[int]]  # positions in each group, paired
    values: np.ndarray  # (pairs,) differences of the metric
    resampled: np.ndarray  # (resamples, pairs) the same in every resample of documents

    @property
    def name(self) -> str:
        return f"{display_name(self.one.name)}{MINUS}{display_name(self.other.name)}"


def pairs_of(p: Predictions, *, by: str, metric: str) -> Iterator[Pair]:
    """Every pair of groups with a model. Seeds that only one of two groups has are left out."""
    groups = [group for group in p.groups(by) if group.name not in NO_MODEL]
    values = [run_scores(p, group)[metric].to_numpy() for group in groups]
    resampled = [resampled_scores(p, group, [metric])[metric] for group in groups]
    for i in range(len(groups)):
        for j in range(i):
            a, b = _paired(groups[i].seeds, groups[j].seeds)
            if a:
                differences = values[i][a] - values[j][b]
                drawn = resampled[i][:, a] - resampled[j][:, b]
                yield Pair(groups[i], groups[j], (a, b), differences, drawn)


def _paired(one: list[int], other: list[int]) -> tuple[list[int], list[int]]:
    """Positions of the runs to pair: those of the same seed, or every run with the only one of
    the other group."""
    if 1 in (len(one), len(other)):
        runs = range(max(len(one), len(other)))
        return [i % len(one) for i in runs], [i % len(other) for i in runs]
    common = [seed for seed in one if seed in other]
    return [one.index(seed) for seed in common], [other.index(seed) for seed in common]


def _right(p: Predictions, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Which documents each of two groups does right, runs paired: booleans (pairs, rows). Of
    numbers, the nearer one is right, so that McNemar's test becomes the sign test."""
    a, b = pair.runs
    if p.task != "regression":
        return pair.one.right[a], pair.other.right[b]
    errors = np.abs(pair.one.logits[:, :, 0] - pair.one.labels)[a]
    others = np.abs(pair.other.logits[:, :, 0] - pair.other.labels)[b]
    return errors < others, others < errors


def compare_pairs(p: Predictions, pairs: list[Pair], metric: str, names: list[str]) -> list[dict]:
    """A row for each pair, with its name, its difference and interval, and whether it stands in
    this family (see `differences`)."""
    least, most = METRICS[metric].limits
    rows = []
    for name, pair in zip(names, pairs, strict=True):
        row = {"compared": name, "documents": len(pair.one.labels), "seeds": len(pair.values)}
        limits = (least - most, most - least)
        row |= mean_and_interval(metric, pair.values, pair.resampled, limits)
        rows.append(row)
    leaves_out_zero = [row[f"{metric}_low"] > 0 or row[f"{metric}_high"] < 0 for row in rows]
    of_models = [mcnemar(*_right(p, pair)) for pair in pairs]
    of_seeds = [p_value(pair.values, pair.resampled) for pair in pairs]
    verdicts = family_verdicts(leaves_out_zero, of_models, of_seeds)
    for row, (adjusted, stands) in zip(rows, verdicts, strict=True):
        row["p (Holm)"] = adjusted
        row["stands"] = "yes" if stands else "no"
    return rows


def comparison_table(rows: list[dict], metric: str) -> pd.DataFrame:
    """The rows of `compare_pairs` as a table."""
    return with_metrics(pd.DataFrame(rows), {metric: metric, "p (Holm)": "p"})


def differences(
    p: Predictions, *, by: str, metric: str = "accuracy", verdict: bool = False
) -> pd.DataFrame:
    """Every pair of groups on the same test documents: difference of the means over seeds, with its
    95 % interval.

    Runs of the same seed are paired, on the same documents; a group of one run, such as a baseline,
    is paired with each of the other's; seeds that only one of two groups has are left out. `p` is
    the larger of two, each adjusted by Holm over all pairs of the table: McNemar's test of which
    documents are right (their first label is gold), which speaks of these models, and the p-value
    that goes with the interval, which speaks of other seeds too. A difference stands where the
    interval leaves out zero and p is below 0.05; with `verdict` it is then bold, and a note names
    test, family and n.
    """
    pairs = list(pairs_of(p, by=by, metric=metric))
    rows = compare_pairs(p, pairs, metric, [pair.name for pair in pairs])
    table = comparison_table(rows, metric)
    if verdict and rows:
        test = "the sign test of which is nearer" if p.task == "regression" else "McNemar's"
        mark_verdicts(table, metric, test)
    return table


def mark_verdicts(table: pd.DataFrame, metric: str, test: str, family: str = "") -> None:
    """Make what stands bold, and note what the verdicts rest on."""
    table.attrs["bold"] = [
        (row, metric) for row, stands in enumerate(table["stands"]) if stands == "yes"
    ]
    if len(table):
        table.attrs["note"] = _note(table, test, family)


def _note(table: pd.DataFrame, test: str, family: str) -> str:
    """What a verdict rests on: test, family (left out: the table's pairs) and n."""
    few = int(table["seeds"].min())
    many = int(table["seeds"].max())
    seeds = f"{few} to {many} pairs of runs"
    if few == many:
        seeds = f"{count(few, 'pair')} of runs"
    family = family or f"{count(len(table), 'pair')} of this table"
    return (
        f"Bold: it stands. Tests: {test}, exact, run by run (of several, twice the median p), and "
        f"Student's t over seeds and {RESAMPLES:,} bootstrap resamples of documents, whose "
        "interval is shown; p, the larger of both after Holm, is below 0.05. "
        f"Family: the {family}. n: {table['documents'].iloc[0]:,} documents, {seeds}."
    )


def best_that_stands(
    table: pd.DataFrame, compared: pd.DataFrame, *, by: str, metric: str
) -> int | None:
    """The row of the best score of a table, if it stands against every other that `compared`, the
    table of `differences`, has."""
    if not len(compared):
        return None
    sides = compared["compared"].str.split(MINUS)
    names = {name for pair in sides for name in pair}
    scores = table[metric][table[by].isin(names)]
    if not METRICS[metric].higher_is_better:
        scores = -scores
    if not len(scores):
        return None
    best = scores.sort_values(ascending=False, kind="stable").index[0]
    with_best = compared[[table[by][best] in pair for pair in sides]]
    beats_all = len(with_best) == len(names) - 1 and (with_best["stands"] == "yes").all()
    return int(best) if beats_all else None
