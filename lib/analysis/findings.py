"""Sentences on a page: pure functions from predictions to text, so that `verify` can compute
them again."""

import numpy as np
import pandas as pd

from lib.analysis.answers import gap, model_of
from lib.analysis.comparisons import OPEN, TOO_FEW, differences
from lib.analysis.display import escape, percent, spelled, title, words
from lib.analysis.names import MINUS, display_name, spelled_in
from lib.analysis.pairs import pairs_of
from lib.analysis.predictions import Predictions
from lib.analysis.references import beside_reference, best_reference, learning_references
from lib.analysis.tables import by_group
from lib.metrics import METRICS


def best_group(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """The name of the trained group with the best mean score on dev: chosen without a look at
    test."""
    table = by_group(p.only(p.trained), by=by, metrics=[metric], split="dev")
    scores = table[metric] if METRICS[metric].higher_is_better else -table[metric]
    return table.loc[scores.idxmax(), by]


def difference_of(table: pd.DataFrame, one: str, other: str, metric: str) -> dict:
    """How much `one` is above `other`, its interval and verdict, from a table of `differences`."""
    for row in table.to_dict("records"):
        gain = difference_in(row, metric)
        if row["compared"] == f"{one}{MINUS}{other}":
            return gain
        if row["compared"] == f"{other}{MINUS}{one}":
            return gain | {"value": -gain["value"], "low": -gain["high"], "high": -gain["low"]}
    raise LookupError(f"{one} and {other} are not compared")


def difference_in(row: dict, metric: str) -> dict:
    """The difference that a row of a table of differences has, its interval and verdict."""
    low = row[f"{metric}_low"]
    high = row[f"{metric}_high"]
    return {"value": row[metric], "low": low, "high": high, "verdict": row["verdict"]}


def best_beside_reference(
    p: Predictions, *, by: str, metric: str = "accuracy", epoch: str = "chosen"
) -> dict:
    """The test scores of the group that dev chooses and of the best reference, as facts of a page:
    `metric`, and `best` and `reference` with name, score, low and high (None without an
    interval)."""
    table = by_group(p, by=by, metrics=[metric], epoch=epoch).set_index(by)
    names = {"best": best_group(p, by=by, metric=metric)}
    if learning_references(p, metric=metric):
        names["reference"] = best_reference(p, metric=metric)
    return facts_of(table, names, metric)


def facts_of(table: pd.DataFrame, names: dict[str, str], metric: str) -> dict:
    """The same facts, of the rows of a table of scores that are named for each role."""
    facts: dict = {"metric": metric}
    for role, name in names.items():
        row = table.loc[name]
        ends = [row.get(f"{metric}{end}", np.nan) for end in ("_low", "_high")]
        low, high = (None if np.isnan(end) else round(float(end), 6) for end in ends)
        score_of_it = round(float(row[metric]), 6)
        facts[role] = {"name": spelled(name), "score": score_of_it, "low": low, "high": high}
    return facts


def above_reference(p: Predictions, group: str, *, by: str, metric: str = "accuracy") -> dict:
    """How much a group is above the best reference, its interval and verdict.

    Dev has chosen both, so test has one comparison to make: its interval is not widened for the
    others that a table would hold.
    """
    return above_one(p, group, best_reference(p, metric=metric), by=by, metric=metric)


def above_one(
    p: Predictions, group: str, reference: str, *, by: str, metric: str = "accuracy"
) -> dict:
    """The same of a reference that is named, as tables name it: one comparison alone."""
    alone = p.keep(lambda run: str(run["config"][by]) == group)
    table = differences(beside_reference(alone, reference), by=by, metric=metric)
    return difference_of(table, group, reference, metric)


def beyond_baseline(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """What fine-tuning adds to the best reference, for the group that dev chooses."""
    group = best_group(p, by=by, metric=metric)
    gain = above_reference(p, group, by=by, metric=metric)
    reference = escape(best_reference(p, metric=metric))
    if len(p.only(p.trained).groups(by)) == 1:
        beside = gap(gain, metric, f"that of {reference}")
        return f"Test {title(metric)} of {model_of(p)} is {beside}."
    beside = gap(gain, metric, reference)
    return (
        f"With the {words(by)} that dev chooses ({spelled(group)}), test {title(metric)} is "
        f"{beside}."
    )


def outlook(p: Predictions, *, by: str, metric: str = "accuracy") -> str:
    """Which pairs this study leaves open: neither different nor equal."""
    pairs = [
        pair
        for pair in pairs_of(p, by=by, metric=metric)
        if not (pair.one.is_reference or pair.other.is_reference)
    ]
    if not pairs:
        return "There are no two groups to compare."
    table = differences(p, by=by, metric=metric)
    verdicts = dict(zip(table["compared"], table["verdict"], strict=True))
    if np.isnan(table.attrs["detectable"]):
        return f"With {TOO_FEW} no difference between two {words(by)}s can be told from chance."
    names = [pair.name for pair in pairs if verdicts[pair.name] in (OPEN, TOO_FEW)]
    undecided = [escape(spelled_in("compared", name)) for name in names]
    if not undecided:
        return "No pair is left open."
    if len(pairs) == len(undecided) > 1:
        return f"All {len(pairs)} pairs are left open: neither different nor equal."
    return f"Left open, neither different nor equal: {'; '.join(undecided)}."


def headroom(p: Predictions, *, by: str) -> str:
    """How far the chosen group is from the ceiling that label noise sets."""
    table = by_group(p, by=by, metrics=["accuracy"]).set_index(by)["accuracy"]
    chosen = best_group(p, by=by)
    ceiling = table[display_name("noise_ceiling")]
    return (
        f"{percent(1 - ceiling)} of the test labels were replaced on purpose, so no model can be "
        f"expected above {percent(ceiling)}; {spelled(chosen)} reaches {percent(table[chosen])}."
    )
