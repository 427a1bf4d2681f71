"""Tables of differences between groups of runs on the same documents: intervals and verdicts."""

import numpy as np
import pandas as pd

from lib.analysis.display import distance, listed, with_metrics
from lib.analysis.names import spelled_in
from lib.analysis.pairs import Pair, pairs_of
from lib.analysis.predictions import Predictions
from lib.analysis.stats import FEWEST_RUNS, LEVEL, POWER, adjusted, family_level
from lib.metrics import METRICS

# Verdicts
SIGNIFICANT = "significant"  # the interval leaves out zero
EQUAL = "equal within 1 point"  # by two one-sided tests against `MARGIN`
EQUAL_NUMBERS = "equal within 0.01"  # the same of a correlation, which is no share
OPEN = "not significant"
SAME = "the same model"  # the same predictions
TOO_FEW = f"fewer than {FEWEST_RUNS} seeds"

EQUAL_BY_KIND = {"share": EQUAL, "signed": EQUAL_NUMBERS}  # of a metric; others have no margin


def compare_pairs(pairs: list[Pair], names: list[str]) -> list[dict]:
    """A row for each pair, with its name, its difference, an interval and a verdict; the pairs are
    one family."""
    level = level_of(pairs)
    tested = [i for i, pair in enumerate(pairs) if pair.is_tested]
    p_of = dict(zip(tested, adjusted([pairs[i].p for i in tested]), strict=True))
    unequal = adjusted([pairs[i].estimate.p_unequal() for i in tested])
    unequal_of = dict(zip(tested, unequal, strict=True))
    rows = []
    for i, (name, pair) in enumerate(zip(names, pairs, strict=True)):
        metric = pair.metric
        least, most = METRICS[metric].limits
        row = {"compared": name, "documents": len(pair.one.labels), "seeds": pair.seeds}
        low, high = (0.0, 0.0) if pair.is_same_model else pair.estimate.interval(level)
        row[metric] = 0.0 if pair.is_same_model else pair.estimate.value
        row[f"{metric}_low"] = float(np.maximum(least - most, low))
        row[f"{metric}_high"] = float(np.minimum(most - least, high))
        row["p"] = p_of.get(i, float("nan"))
        row["verdict"] = _verdict(pair, row, unequal_of.get(i, 1.0))
        rows.append(row)
    return rows


def level_of(pairs: list[Pair]) -> float:
    """The level of each interval, so that all of a family hold together."""
    return family_level(sum(pair.is_tested for pair in pairs))


def _verdict(pair: Pair, row: dict, p_unequal: float) -> str:
    if pair.is_same_model:
        return SAME
    if not pair.is_tested:
        return TOO_FEW
    low = row[f"{pair.metric}_low"]
    high = row[f"{pair.metric}_high"]
    is_significant = low > 0 or high < 0
    if not pair.has_interval:
        is_significant = row["p"] < 1 - LEVEL
    if is_significant:
        return SIGNIFICANT
    return EQUAL_BY_KIND.get(METRICS[pair.metric].kind, OPEN) if p_unequal < 1 - LEVEL else OPEN


def detectable(pairs: list[Pair]) -> float:
    """The smallest true difference that a typical pair of a family (the median) is found to have
    with a chance of `POWER`; not a number where none can be told."""
    level = level_of(pairs)
    smallest = [
        pair.estimate.detectable(level) for pair in pairs if pair.has_interval and pair.is_tested
    ]
    return float(np.median(smallest)) if smallest else float("nan")


def comparison_table(pairs: list[Pair], names: list[str]) -> pd.DataFrame:
    """The rows of `compare_pairs` as a table, with a note of what its verdicts rest on;
    `attrs["detectable"]` is the smallest difference that it can tell, `attrs["differences"]` the
    columns that hold differences."""
    rows = compare_pairs(pairs, names)
    columns = ["compared", "documents", "seeds", "p", "verdict"]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    metrics = {pair.metric: pair.metric for pair in pairs}
    with_metrics(table, metrics | {"p": "p"})
    table.attrs["differences"] = [*metrics]
    table.attrs["detectable"] = detectable(pairs)
    table.attrs["sides"] = [pair.sides for pair in pairs]
    if rows:
        table.attrs["note"] = _note(pairs, table, names)
    return table


def differences(
    p: Predictions, *, by: str, metric: str = "accuracy", verdict: bool = False
) -> pd.DataFrame:
    """Every pair of groups on the same test documents: difference of the means over seeds, with an
    interval, p and a verdict.

    The intervals hold the true differences of the whole table with 95 %, over other seeds and other
    documents; p is adjusted alike. A difference is significant where its interval leaves out zero,
    which is where p is below 0.05; with `verdict` it is then bold. See docs/statistics.md.
    """
    pairs = list(pairs_of(p, by=by, metric=metric))
    table = comparison_table(pairs, [pair.name for pair in pairs])
    if verdict:
        mark_significant(table, metric)
    return table


def mark_significant(table: pd.DataFrame, metric: str) -> None:
    """Make what is significant bold, and say so in the note."""
    verdicts = enumerate(table["verdict"])
    table.attrs["bold"] = [(row, metric) for row, verdict in verdicts if verdict == SIGNIFICANT]
    if table.attrs["bold"]:
        table.attrs["note"] = f"Bold: significant. {table.attrs['note']}"


def _note(pairs: list[Pair], table: pd.DataFrame, names: list[str]) -> str:
    """What verdicts rest on: the family, the smallest difference they can tell, and runs
    that are the same model, by the pairs' names."""
    tested = [pair for pair in pairs if pair.is_tested]
    sentences = []
    if len(tested) > 1 and any(pair.has_interval for pair in tested):
        sentences.append(f"{len(tested)} comparisons together (Šidák).")
    least = table.attrs["detectable"]
    if np.isfinite(least):
        size = distance(least, pairs[0].metric)
        power = f"{100 * POWER:.0f} % power"
        typical = " by a typical comparison" if len(tested) > 1 else ""
        sentences.append(f"A true difference of {size} is found with {power}{typical}.")
    if any(not pair.has_interval for pair in tested):
        sentences.append("One run against one run: McNemar's exact test, of these two models.")
    for equal in {*EQUAL_BY_KIND.values()} & {*table["verdict"]}:
        margin = equal.removeprefix("equal within ")
        sentences.append(f"Equal: two one-sided tests against {margin}, adjusted alike.")
    alike = [
        f"{spelled_in('compared', name)} ({pair.shared})"
        for name, pair in zip(names, pairs, strict=True)
        if pair.shared
    ]
    if alike:
        sentences.append(f"Runs that are the same model on both sides: {listed(alike)}.")
    return " ".join(sentences)


def best_significant(
    table: pd.DataFrame, compared: pd.DataFrame, *, by: str, metric: str
) -> int | None:
    """The row of the best score of a table, if its difference from every other that `compared`,
    the table of `differences`, has is significant."""
    if not len(compared):
        return None
    sides = compared.attrs["sides"]
    names = {name for pair in sides for name in pair}
    scores = table[metric][table[by].isin(names)]
    if not METRICS[metric].higher_is_better:
        scores = -scores
    best = scores.sort_values(ascending=False, kind="stable").index[0]
    with_best = compared[[table[by][best] in pair for pair in sides]]
    beats_all = len(with_best) == len(names) - 1 and (with_best["verdict"] == SIGNIFICANT).all()
    return int(best) if beats_all else None
